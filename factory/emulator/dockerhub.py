"""Docker Hub in a box: its tag API, its token realm and its registry's front, over a real registry on loopback.

    app = create_dockerhub("127.0.0.1:5000", users={"ada": "secret"}, private=frozenset({"ada/closed"}))
    with running(app) as url: ...    # DOCKERHUB_API=url; images are host:port/ada/name

`app.state.calls` is the log of every call, `app.state.faults` the list of what still goes wrong (faults.py), and
`app.state.hub` has the switches: `expire_tokens()` voids every token now, `pulls_left` is the pull limit's rest.

What each route was checked against (2026-11-24):

| route | checked against |
| --- | --- |
| GET /v2/repositories/{ns}/{repo}/tags/{tag} and /v2/namespaces/{ns}/repositories/{repo}/tags/{tag} | documented: Docker's OpenAPI (docker/docs, content/reference/api/hub/latest.yaml); `last_updated` is the image's own date here |
| GET /v2/repositories/{ns}/{repo}/ | documented, same file; only the fields that factory reads |
| POST /v2/auth/token | documented, same file: identifier and secret give `access_token`, 401 otherwise |
| GET and POST /token | documented: distribution's spec/auth/token.md and oauth.md; scopes one does not get are left out, as Docker Hub does |
| /v2/…/manifests and blobs | proved with a real docker-registry 2.8.2 behind it and dockerd 20.10.24 pushing and pulling; 401, 429 and `ratelimit-*` as Docker documents them (docker-hub/usage/pulls) |
| GET /_cdn/… | emulator only: another origin that refuses a request with a login, as a signed address does |

Not here: organisations, teams, search, webhooks, automated builds, abuse limits of the API itself.
"""  # noqa: E501  a table's row is one line

from __future__ import annotations

import base64
import json
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from factory.emulator.faults import Call, Fault, Faults
from factory.emulator.registry_proxy import Upstream

SERVICE = "registry.docker.io"
WINDOW_S = 21_600  # Docker Hub counts pulls per six hours (docs.docker.com/docker-hub/usage/pulls, 2026-11)
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json"
)
_OTHER_ORIGIN = {"127.0.0.1": "localhost", "localhost": "127.0.0.1"}


@dataclass(frozen=True, slots=True)
class _Grant:
    """What a token allows: actions by repository, until a moment of the monotonic clock."""

    user: str
    actions: Mapping[str, frozenset[str]]
    ends_at_s: float


@dataclass
class HubState:
    """Accounts, private repositories, tokens and the pull limit. A name space belongs to the user of that name."""

    users: Mapping[str, str]
    private: frozenset[str]
    token_s: float
    pulls_limit: int
    pulls_left: int
    grants: dict[str, _Grant] = field(default_factory=dict)

    def expire_tokens(self) -> None:
        """Void every token given so far."""
        self.grants.clear()

    def knows(self, user: str, password: str) -> bool:
        """Is this an account and its password?"""
        return secrets.compare_digest(self.users.get(user, "").encode(), password.encode()) and user in self.users

    def may_see(self, user: str, repository: str) -> bool:
        """May this user ('' is anonymous) pull the repository?"""
        return repository not in self.private or repository.split("/")[0] == user

    def give(self, user: str, scopes: Sequence[str]) -> str:
        """Make a token for scopes such as `repository:ada/x:pull,push`; what is not allowed is left out."""
        actions = dict[str, frozenset[str]]()
        for scope in scopes:
            _, repository, asked = [*scope.split(":"), "", ""][:3]
            allowed = {"pull"} if self.may_see(user, repository) else set()
            if user and repository.split("/")[0] == user:
                allowed |= {"push", "delete"}
            actions[repository] = frozenset(allowed & set(asked.split(",")))
        token = secrets.token_urlsafe(24)
        self.grants[token] = _Grant(user, actions, time.monotonic() + self.token_s)
        return token

    def allows(self, token: str, repository: str, action: str) -> bool:
        """Does a token of ours, still valid, allow this?"""
        grant = self.grants.get(token)
        return bool(
            grant and grant.ends_at_s > time.monotonic() and action in grant.actions.get(repository, frozenset())
        )


def create_dockerhub(
    registry: str,
    *,
    users: Mapping[str, str] | None = None,
    private: frozenset[str] = frozenset(),
    token_s: float = 300,
    pulls_limit: int = 100,
    faults: Sequence[Fault] = (),
) -> Starlette:
    """Make the application in front of the registry at `registry` (host:port, plain HTTP).

    `users` maps names to passwords, `private` holds repositories (`ada/closed`), `token_s` is how long tokens last.
    """
    state = HubState(dict(users or {}), private, token_s, pulls_limit, pulls_limit)
    api, front = _Api(state, Upstream(registry)), _Front(state, Upstream(registry))
    calls: list[Call] = []
    due = list(faults)
    app = Starlette(
        routes=[
            Route("/v2/auth/token", api.log_in, methods=["POST"]),
            Route("/v2/repositories/{ns}/{repo}/", api.repository),
            Route("/v2/repositories/{ns}/{repo}/tags/{tag}", api.tag),
            Route("/v2/namespaces/{ns}/repositories/{repo}/tags/{tag}", api.tag),
            Route("/token", front.token, methods=["GET", "POST"]),
            Route("/_cdn/{path:path}", front.cdn),
            Route("/v2/", front.ping),
            Route("/v2/{path:path}", front.serve, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
        ],
        middleware=[Middleware(Faults, faults=due, calls=calls)],
        exception_handlers={OSError: _registry_down},
    )
    app.state.calls, app.state.faults, app.state.hub = calls, due, state
    return app


class _Api:
    """hub.docker.com: the tag API, computed over the registry."""

    def __init__(self, state: HubState, upstream: Upstream) -> None:
        self._state = state
        self._upstream = upstream

    async def log_in(self, request: Request) -> Response:
        body = await request.json()
        user, secret = str(body.get("identifier", "")), str(body.get("secret", ""))
        if not self._state.knows(user, secret):
            return JSONResponse({"detail": "Incorrect authentication credentials", "message": "unauthorized"}, 401)
        return JSONResponse({"access_token": self._state.give(user, [])})

    async def repository(self, request: Request) -> Response:
        name = "{ns}/{repo}".format(**request.path_params)
        status, _, body = await run_in_threadpool(self._upstream.read, "GET", f"/v2/{name}/tags/list")
        if status != 200 or not self._is_visible(request, name):
            return _not_found()
        namespace, repo = name.split("/")
        tags = json.loads(body).get("tags") or []
        is_private = name in self._state.private
        return JSONResponse({"namespace": namespace, "name": repo, "is_private": is_private, "tags_count": len(tags)})

    async def tag(self, request: Request) -> Response:
        name = "{ns}/{repo}".format(**request.path_params)
        if not self._is_visible(request, name):
            return _not_found()
        found = await run_in_threadpool(self._describe, name, request.path_params["tag"])
        return JSONResponse(found) if found else _not_found()

    def _is_visible(self, request: Request, name: str) -> bool:
        grant = self._state.grants.get(_bearer(request))
        is_valid = grant is not None and grant.ends_at_s > time.monotonic()
        return self._state.may_see(grant.user if grant and is_valid else "", name)

    def _describe(self, name: str, tag: str) -> dict[str, object] | None:
        """Compute what Docker Hub says of a tag; sizes are the layers', compressed."""
        status, headers, raw = self._upstream.read("GET", f"/v2/{name}/manifests/{tag}", _MANIFESTS)
        if status != 200:
            return None
        manifest, digest = json.loads(raw), headers["Docker-Content-Digest"]
        children = [child["digest"] for child in manifest.get("manifests", [])] or [digest]
        images = [self._image(name, child) for child in children]
        updated = max(str(image["last_pushed"]) for image in images)
        return {
            "name": tag,
            "digest": digest,
            "full_size": images[0]["size"],
            "images": images,
            "last_updated": updated,
            "tag_last_pushed": updated,
            "tag_status": "active",
            "media_type": manifest.get("mediaType", ""),
            "v2": True,
        }

    def _image(self, name: str, digest: str) -> dict[str, object]:
        _, _, raw = self._upstream.read("GET", f"/v2/{name}/manifests/{digest}", _MANIFESTS)
        manifest = json.loads(raw)
        _, _, raw = self._upstream.read("GET", f"/v2/{name}/blobs/{manifest['config']['digest']}")
        config = json.loads(raw)
        return {
            "architecture": config.get("architecture", ""),
            "os": config.get("os", ""),
            "digest": digest,
            "size": sum(layer["size"] for layer in manifest["layers"]),
            "status": "active",
            "last_pushed": config.get("created") or "1970-01-01T00:00:00Z",
        }


class _Front:
    """registry-1.docker.io and auth.docker.io: tokens checked, pulls counted, the rest passed on."""

    def __init__(self, state: HubState, upstream: Upstream) -> None:
        self._state = state
        self._upstream = upstream

    async def token(self, request: Request) -> Response:
        """The realm: anonymous, HTTP Basic, or OAuth 2 with `refresh_token` (USER:PASSWORD, emulator only)."""
        form = dict(parse_qsl((await request.body()).decode()))
        # A form has all scopes in one text, a query one each (distribution, spec/auth/token.md and oauth.md).
        scopes = form.get("scope", "").split() or request.query_params.getlist("scope")
        user, password = _basic(request)
        if form:
            user, _, password = form.get("refresh_token", "").partition(":")
        if (user or password or form) and not self._state.knows(user, password):
            return JSONResponse({"details": "incorrect username or password"}, 401)
        token = self._state.give(user, scopes)
        return JSONResponse({"token": token, "access_token": token, "expires_in": self._state.token_s})

    async def ping(self, request: Request) -> Response:
        """Docker's own first call: 401, so that it asks the realm; any valid token will do."""
        grant = self._state.grants.get(_bearer(request))
        if grant and grant.ends_at_s > time.monotonic():
            return JSONResponse({}, headers={"Docker-Distribution-Api-Version": "registry/2.0"})
        return self._challenge(request, "")

    async def serve(self, request: Request) -> Response:
        """Manifests and blobs."""
        found = re.fullmatch(r"/v2/(.+?)/(manifests|blobs|tags)/.*", request.url.path)
        if not found:
            return _not_found()
        name, kind = found[1], found[2]
        is_reading = request.method in ("GET", "HEAD")
        source = request.query_params.get("from") if request.method == "POST" else None
        may_read = source is None or self._state.allows(_bearer(request), source, "pull")
        if not (may_read and self._state.allows(_bearer(request), name, "pull" if is_reading else "push")):
            more = f" repository:{source}:pull" if source else ""  # a mount needs both
            return self._challenge(request, f"repository:{name}:{'pull' if is_reading else 'pull,push'}{more}")
        if kind == "manifests" and is_reading:
            return await self._manifest(request)
        if kind == "blobs" and request.method == "GET":
            host = _OTHER_ORIGIN.get(request.url.hostname or "", "localhost")
            return RedirectResponse(str(request.url.replace(hostname=host, path=f"/_cdn{request.url.path}")), 307)
        return await self._upstream.pass_on(request, request.url.path)

    async def cdn(self, request: Request) -> Response:
        """The storage that blobs are redirected to."""
        if "authorization" in request.headers:
            return JSONResponse({"message": "only one auth mechanism allowed"}, 400)
        return await self._upstream.pass_on(request, "/" + request.path_params["path"])

    async def _manifest(self, request: Request) -> Response:
        """A GET is a pull and counts; a HEAD does not."""
        if request.method == "GET" and self._state.pulls_left <= 0:
            answer: Response = JSONResponse(
                {"errors": [{"code": "TOOMANYREQUESTS", "message": "You have reached your pull rate limit."}]},
                429,
                headers={"retry-after": str(WINDOW_S)},
            )
        else:
            self._state.pulls_left -= request.method == "GET"
            answer = await self._upstream.pass_on(request, request.url.path)
        answer.headers["ratelimit-limit"] = f"{self._state.pulls_limit};w={WINDOW_S}"
        answer.headers["ratelimit-remaining"] = f"{self._state.pulls_left};w={WINDOW_S}"
        return answer

    def _challenge(self, request: Request, scope: str) -> Response:
        realm = request.url.replace(path="/token", query="")
        parts = [f'Bearer realm="{realm}"', f'service="{SERVICE}"']
        parts += [f'scope="{scope}"'] if scope else []
        parts += ['error="insufficient_scope"'] if _bearer(request) in self._state.grants else []
        return JSONResponse(
            {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]},
            401,
            headers={"www-authenticate": ",".join(parts), "docker-distribution-api-version": "registry/2.0"},
        )


def _registry_down(_: Request, error: Exception) -> Response:
    return JSONResponse({"message": f"no registry behind this emulator ({type(error).__name__})"}, 502)


def _not_found() -> Response:
    return JSONResponse({"message": "httperror 404: object not found", "errinfo": {}}, 404)


def _bearer(request: Request) -> str:
    return request.headers.get("authorization", "").removeprefix("Bearer ")


def _basic(request: Request) -> tuple[str, str]:
    """Read HTTP Basic; two empty texts when there is none, or none that can be read."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return (user, password) if scheme.lower() == "basic" else ("", "")
