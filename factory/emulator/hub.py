"""A model hub over a local folder, close enough that the unmodified huggingface_hub client can't tell.

    from factory.emulator.hub import create_hub
    from factory.emulator.serve import serve, running

    create_hub(folder: Path, *, tokens: frozenset[str] | None = None, faults: Sequence[Fault] = ()) -> Starlette
    serve(app, host="127.0.0.1", port=0, on_ready=lambda url: …)        # until Ctrl-C
    with running(app) as url: …                                            # tests; HF_ENDPOINT=url

`app.state.calls` is the log of every call and `app.state.faults` the list of what still goes wrong (faults.py).
`folder` holds org/name/…; what a `.hub.json` there can say is in hub_repos.py.

Large files are redirected to another origin (127.0.0.1 ↔ localhost) with a signed address, as the Hub's CDN has, so
that a client which sends its token there is found out. `tokens`: the tokens that are valid at all; None: any is.

Each route says what it was checked against. "Client" means the unmodified huggingface_hub 2.4.0, over loopback,
2026-11-24. What it does not do: Xet, datasets, spaces, uploads, commit history.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from factory.emulator.faults import Call, Fault, Faults
from factory.emulator.hub_repos import BadHubFile, Commit, HubFile, Repo, Repositories

PAGE = 1_000
"""Entries per page of a tree (measured 2026-11-23); 50 when each is expanded."""
_OTHER_ORIGIN = {"127.0.0.1": "localhost", "localhost": "127.0.0.1"}


class _Download(FileResponse):
    chunk_size = 1 << 20


def create_hub(folder: Path, *, tokens: frozenset[str] | None = None, faults: Sequence[Fault] = ()) -> Starlette:
    """Make the hub's application. Raises NotADirectoryError when there is no such folder."""
    repositories = Repositories(folder)
    hub = _Hub(repositories, tokens)
    calls: list[Call] = []
    due = list(faults)
    repo = "/{org}/{name}"
    app = Starlette(
        routes=[
            Route("/api/whoami-v2", hub.whoami),
            Route("/api/models", hub.search),
            Route(f"/api/models{repo}", hub.info),
            Route(f"/api/models{repo}/revision/{{revision:path}}", hub.info),
            Route(f"/api/models{repo}/refs", hub.refs),
            Route(f"/api/models{repo}/tree/{{rest:path}}", hub.tree),
            Route(f"/api/models{repo}/paths-info/{{revision:path}}", hub.paths_info, methods=["POST"]),
            Route(f"{repo}/resolve/{{rest:path}}", hub.resolve),
            Route(f"/_cdn{repo}/{{sha}}/{{path:path}}", hub.cdn),
        ],
        middleware=[Middleware(Faults, faults=due, calls=calls)],
        exception_handlers={HTTPException: _refused, BadHubFile: _broken},
    )
    app.state.calls, app.state.faults, app.state.repositories = calls, due, repositories
    return app


class _Hub:
    def __init__(self, repositories: Repositories, tokens: frozenset[str] | None) -> None:
        self._repositories = repositories
        self._tokens = tokens
        self._key = secrets.token_bytes(16)

    # --- the API ------------------------------------------------------------------------------------------------
    def whoami(self, request: Request) -> Response:
        """GET /api/whoami-v2. Checked: client `whoami`."""
        if not self._token(request):
            raise _refusal(401, "Invalid username or password.")
        return JSONResponse({"type": "user", "name": "emulated", "fullname": "Emulated User", "orgs": []})

    def search(self, request: Request) -> Response:
        """GET /api/models?search=&author=&limit=. Checked: client `list_models`; the matching is emulator only."""
        token = self._token(request)
        words = request.query_params.get("search", "").lower()
        author = request.query_params.get("author")
        limit = int(request.query_params.get("limit", PAGE))
        ids = [i for i in self._repositories.ids() if words in i.lower() and author in (None, i.split("/")[0])]
        repos = [r for r in map(self._repositories.get, ids) if r and _is_seen(r, token)]
        return JSONResponse(
            [{"id": r.id, "modelId": r.id, "private": r.private, "gated": r.gated, "tags": []} for r in repos[:limit]]
        )

    def info(self, request: Request) -> Response:
        """GET /api/models/{repo}[/revision/{rev}]?expand=&blobs=. Checked: client `model_info`."""
        repo = self._repo(request)
        commit = _commit_of(repo, request.path_params.get("revision", "main"))
        answer = _info(repo, commit, with_sizes="blobs" in request.query_params)
        expand = request.query_params.getlist("expand")
        if unknown := sorted(set(expand) - answer.keys()):
            raise _refusal(400, f"expand: {unknown[0]} is not known here")
        wanted = {"_id", "id", *expand} if expand else answer.keys() - {"usedStorage"}
        return JSONResponse({key: value for key, value in answer.items() if key in wanted})

    def refs(self, request: Request) -> Response:
        """GET /api/models/{repo}/refs. Checked: client `list_repo_refs`."""
        refs = self._repo(request).refs.items()
        rows = {
            kind: [
                {"name": name, "ref": f"refs/{'heads' if kind == 'branch' else 'tags'}/{name}", "targetCommit": c.sha}
                for name, (its_kind, c) in refs
                if its_kind == kind
            ]
            for kind in ("branch", "tag")
        }
        return JSONResponse({"branches": rows["branch"], "tags": rows["tag"], "converts": []})

    def tree(self, request: Request) -> Response:
        """GET /api/models/{repo}/tree/{rev}/{path}?recursive=&expand=&cursor=. Checked: client `list_repo_tree`."""
        repo = self._repo(request)
        commit, path = _split(repo, request.path_params["rest"])
        query = request.query_params
        entries = _below(commit, path, is_recursive=query.get("recursive", "").lower() in ("true", "1"))
        is_expanded = query.get("expand", "").lower() in ("true", "1")
        start = int(query.get("cursor", 0))
        size = min(int(query.get("limit", PAGE)), 50 if is_expanded else PAGE)
        page = entries[start : start + size]
        headers = {}
        if start + size < len(entries):
            following = request.url.include_query_params(cursor=start + size)
            headers["Link"] = f'<{following}>; rel="next"'
        return JSONResponse([_expanded(e, commit) for e in page] if is_expanded else page, headers=headers)

    async def paths_info(self, request: Request) -> Response:
        """POST /api/models/{repo}/paths-info/{rev}, a form. Checked: client `get_paths_info`."""
        form = parse_qs((await request.body()).decode())
        repo = await run_in_threadpool(self._repo, request)
        commit = _commit_of(repo, request.path_params["revision"])
        paths = set(form.get("paths", ()))
        return JSONResponse([entry for entry in commit.entries if entry["path"] in paths])

    # --- content ------------------------------------------------------------------------------------------------
    def resolve(self, request: Request) -> Response:
        """GET, HEAD /{repo}/resolve/{rev}/{path}, with Range. Checked: client `hf_hub_download`, LFS or not."""
        repo = self._repo(request)
        self._demand_access(repo, request)
        commit, path = _split(repo, request.path_params["rest"])
        file = commit.files.get(path)
        headers = {"X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
        if file is None:
            raise _refusal(404, f"Entry not found: {path}", "EntryNotFound", headers)
        headers["ETag"] = f'"{file.etag}"'
        if not file.sha256:
            return _content(repo, file, request, headers)
        headers |= {"X-Linked-Etag": f'"{file.etag}"', "X-Linked-Size": str(file.size)}
        return RedirectResponse(self._cdn_url(request, repo, commit, file), status_code=302, headers=headers)

    def cdn(self, request: Request) -> Response:
        """GET, HEAD of a signed address, with Range. Checked: client `hf_hub_download`, `snapshot_download`."""
        if not hmac.compare_digest(request.query_params.get("signature", ""), self._signature(request.url.path)):
            raise _refusal(403, "the signature is missing or wrong")
        repo = self._repositories.get(f"{request.path_params['org']}/{request.path_params['name']}")
        commit = repo.at(request.path_params["sha"]) if repo else None
        if repo is None or commit is None:
            raise _refusal(404, "the folder has changed since this address was signed", "EntryNotFound")
        return _content(repo, commit.files[request.path_params["path"]], request, {})

    def _cdn_url(self, request: Request, repo: Repo, commit: Commit, file: HubFile) -> str:
        path = f"/_cdn/{repo.id}/{commit.sha}/{file.path}"
        host = request.url.hostname or ""
        origin = request.url.replace(hostname=_OTHER_ORIGIN.get(host, host), path="", query="")
        return f"{str(origin).rstrip('/')}{quote(path)}?signature={self._signature(path)}"

    def _signature(self, path: str) -> str:
        return hmac.new(self._key, path.encode(), hashlib.sha256).hexdigest()

    # --- who may -----------------------------------------------------------------------------------------------
    def _token(self, request: Request) -> str | None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ").strip() or None
        if token and self._tokens is not None and token not in self._tokens:
            # The client tells an invalid token by this very sentence (2.4.0, utils/_http.py).
            raise _refusal(401, "Invalid credentials in Authorization header")
        return token

    def _repo(self, request: Request) -> Repo:
        token = self._token(request)
        repo = self._repositories.get(f"{request.path_params['org']}/{request.path_params['name']}")
        if repo is None or not _is_seen(repo, token):
            raise _refusal(404 if token else 401, "Repository not found", "RepoNotFound")
        return repo

    def _demand_access(self, repo: Repo, request: Request) -> None:
        token = self._token(request)
        if repo.gated and token not in repo.tokens:
            sentence = f"Access to model {repo.id} is restricted."
            raise _refusal(403 if token else 401, sentence, "GatedRepo")


def _is_seen(repo: Repo, token: str | None) -> bool:
    return not repo.private or token in repo.tokens


def _info(repo: Repo, commit: Commit, *, with_sizes: bool) -> dict[str, Any]:
    licence_tags = [f"license:{repo.licence}"] if repo.licence else []
    return {
        "_id": hashlib.sha256(repo.id.encode()).hexdigest()[:24],
        "id": repo.id,
        "modelId": repo.id,
        "author": repo.id.split("/")[0],
        "sha": commit.sha,
        "gated": repo.gated,
        "private": repo.private,
        "disabled": False,
        "tags": licence_tags,
        "cardData": {"license": repo.licence} if repo.licence else {},
        "safetensors": repo.safetensors,
        "usedStorage": sum({f.etag: f.size for f in commit.files.values()}.values()),
        "siblings": [
            {"rfilename": f.path, **({"size": f.size, "blobId": f.oid} if with_sizes else {})}
            for f in commit.files.values()
        ],
    }


def _commit_of(repo: Repo, revision: str) -> Commit:
    commit = repo.at(revision)
    if commit is None:
        raise _refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    return commit


def _split(repo: Repo, rest: str) -> tuple[Commit, str]:
    """Part `rev/path`: a revision may hold slashes itself, so the known ones are tried first."""
    for name, (_, commit) in repo.refs.items():
        if rest == name or rest.startswith(f"{name}/"):
            return commit, rest[len(name) + 1 :]
    revision, _, path = rest.partition("/")
    return _commit_of(repo, revision), path


def _below(commit: Commit, path: str, *, is_recursive: bool) -> list[dict[str, Any]]:
    path = path.strip("/")
    prefix = f"{path}/" if path else ""
    if is_recursive and not prefix:
        return commit.entries
    entries = [e for e in commit.entries if e["path"].startswith(prefix)]
    if path and not entries:
        raise _refusal(404, f"{path} does not exist at {commit.sha}", "EntryNotFound")
    return entries if is_recursive else [e for e in entries if "/" not in e["path"][len(prefix) :]]


def _expanded(entry: Mapping[str, Any], commit: Commit) -> dict[str, Any]:
    last = {"id": commit.sha, "title": "emulated", "date": "2026-01-01T00:00:00.000Z"}
    return {**entry, "lastCommit": last}


def _content(repo: Repo, file: HubFile, request: Request, headers: Mapping[str, str]) -> Response:
    if file.source is not None:
        return _Download(file.source, headers=dict(headers), media_type="application/octet-stream")
    header = repo.headers.get(file.path)
    if request.method == "HEAD":
        return Response(headers={**headers, "Content-Length": str(file.size)})
    wanted = request.headers.get("range", "").removeprefix("bytes=").partition("-")
    if header is None or not wanted[1]:
        raise _refusal(404, f"{file.path} is only listed: this emulator has no content for it", "EntryNotFound")
    start = int(wanted[0] or 0)
    part = header[start : int(wanted[2]) + 1 if wanted[2] else None]
    if not part:
        raise _refusal(404, f"{file.path}: only its header is here", "EntryNotFound")
    content_range = f"bytes {start}-{start + len(part) - 1}/{file.size}"
    return Response(part, 206, {**headers, "Content-Range": content_range}, "application/octet-stream")


def _refusal(
    status: int, sentence: str, code: str | None = None, headers: Mapping[str, str] | None = None
) -> HTTPException:
    said = {"X-Error-Message": quote(sentence, safe=" .,:;'/()[]"), **({"X-Error-Code": code} if code else {})}
    return HTTPException(status, sentence, {**said, **(headers or {})})


def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def _broken(_: Request, error: Exception) -> Response:
    sentence = str(error)
    return Response(json.dumps({"error": sentence}), 500, {"X-Error-Message": quote(sentence, safe=" .,:;'/()[]")})
