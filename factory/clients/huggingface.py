"""The Hugging Face Hub through huggingface_hub 2.4: the `ModelHub` port.

Listing goes through the client's own session, page by page, under one retry policy of ours: the client does not retry
the first API call at all, waits without a limit on a rate limit, and has no time-out on the pages of a tree (2.4.0,
measured 2026-11-23). Files are fetched by `hf_hub_download` alone, and each is checked afterwards: it does not.

Retries: connection errors, 408, 429, 5xx and a CDN's 403 (an address that ran out); up to ATTEMPTS times within
`patience_s` seconds in all. A 429 waits as long as the Hub says, and fails at once when that is longer.
"""

from __future__ import annotations

import difflib
import functools
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs, quote, urlsplit

import httpcore2
import stamina
from huggingface_hub import constants
from huggingface_hub.errors import FileMetadataError, HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import (
    build_hf_headers,
    get_session,
    hf_raise_for_status,
    httpx,
    logging,
    parse_ratelimit_headers,
)

from factory.clients import huggingface_errors as sentences
from factory.clients.huggingface_answers import gathered, is_intact, licence, model_file, parameters
from factory.clients.huggingface_errors import Answer, Asked
from factory.errors import HubFailed, RepoNotFound, ResolveError, RevisionNotFound, SettingsError
from factory.records import ModelFile, Progress, RepoInfo, Tell

if TYPE_CHECKING:
    from huggingface_hub.utils import tqdm

T = TypeVar("T")

ATTEMPTS = 6
CONNECT_PATIENCE_S = 3.0  # refused, or no such host: somebody waits for the sentence
HEAD_BYTES = 100_001
"""Holds the whole header of 97 % of safetensors files (huggingface_hub 2.4.0, `parse_safetensors_file_metadata`)."""
MAX_HEADER_BYTES = 100_000_000
"""The format's own limit (safetensors docs)."""
EXPAND = ("sha", "gated", "private", "safetensors", "cardData", "tags")
DOWNLOADS_AT_ONCE = 4
NEAR = 0.6
"""From this likeness on (difflib's ratio, 0 to 1) a name is worth suggesting."""
_TRIES_PER_FILE = 2
_CUTS_BORNE = 5  # in a row, without a byte in between
READ_BYTES = 1 << 19  # a few of these wait in the weights lane, whose memory is counted
# The Hub's client reads 64 KiB at a time, which takes 2.6 s of a core for 1 GiB; in such pieces 1.2 s (2026-11-25).
httpcore2.HTTP11Connection.READ_NUM_BYTES = READ_BYTES
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})


class HuggingFaceHub:
    """A hub that speaks the Hugging Face API.

    `token` None: the one that huggingface_hub finds on this machine, if any. `timeout_s` bounds each wait for bytes,
    `patience_s` all the retries of one call, `first_wait_s` is the first pause between two.
    Raises SettingsError for an endpoint or token that can't be one.
    """

    def __init__(
        self,
        endpoint: str,
        token: str | None = None,
        *,
        timeout_s: float = 15,
        patience_s: float = 60,
        first_wait_s: float = 0.5,
    ) -> None:
        if urlsplit(endpoint).scheme not in ("http", "https") or not urlsplit(endpoint).hostname:
            fix = "use https://huggingface.co, or unset it"
            raise SettingsError("not an http(s) address", where="HF_ENDPOINT", fix=fix)
        self._endpoint = endpoint.rstrip("/")
        self._token = token.strip() if token else None
        if self._token and not re.fullmatch(r"[!-~]+", self._token):
            fix = f"copy it again from {Asked(self._endpoint).hub}/settings/tokens"
            raise SettingsError("the token holds characters that no token has", where="HF_TOKEN", fix=fix)
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._first_wait_s = first_wait_s
        # Else it first asks the Hub for a list of coding agents, to name the one at work in its User-Agent (2.4.0).
        constants.HF_HUB_DISABLE_TELEMETRY = True
        self._headers = build_hf_headers(token=self._token, library_name="factory")
        logging.set_verbosity(logging.ERROR)  # its warnings about retries would mix with our own words

    def info(self, repo: str, revision: str) -> RepoInfo:
        """Return the commit and what is known of the repository, in one call."""
        asked = self._asked(repo, revision)
        path = f"/api/models/{repo}/revision/{quote(revision, safe='')}"
        try:
            says = self._json(path, {"expand": list(EXPAND)}, asked)
            return RepoInfo(
                repo=repo,
                commit=str(says["sha"]),
                gated=says.get("gated") or "no",
                is_private=bool(says.get("private")),
                licence=licence(says),
                parameters={
                    str(k): int(v) for k, v in ((says.get("safetensors") or {}).get("parameters") or {}).items()
                },
            )
        except RepoNotFound as error:
            raise sentences.no_repo(asked, self.suggest(repo)) from error
        except RevisionNotFound as error:
            raise sentences.no_revision(asked, self._ref_names(repo)) from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise sentences.not_a_hub(asked, f"no model in {path}") from error

    def files(self, repo: str, commit: str) -> Iterator[ModelFile]:
        """Yield every file at the commit, recursively: one call per 1,000 entries (folders count)."""
        asked = self._asked(repo, commit)
        path = f"/api/models/{repo}/tree/{quote(commit, safe='')}"
        params: dict[str, Any] | None = {"recursive": "true", "expand": "false"}
        while params is not None:
            response = self._get(path, params, asked)
            try:
                yield from [model_file(row) for row in response.json() if row["type"] == "file"]
            except (KeyError, TypeError, ValueError) as error:
                raise sentences.not_a_hub(asked, f"no listing in {path}") from error
            # Only the query of the next page's address is used: a mirror names the Hub it mirrors, and the token
            # must go nowhere else.
            following = response.links.get("next", {}).get("url")
            params = dict(parse_qs(urlsplit(following).query)) if following else None

    def probe(self, repo: str, commit: str, path: str) -> Mapping[str, int]:
        """Read the head of one file: proof of access, and a safetensors file's dtype → parameters.

        One call; a second when the header is longer than 100 kB. Empty for another format. Raises AccessDenied when
        the repository is gated for this token, HubFailed when the header can't be read.
        """
        asked = self._asked(repo, commit)
        url = self._address(repo, commit, path)
        if not path.endswith(".safetensors"):
            self._call(lambda: self._head_of(url, 8), asked)
            return {}
        head = self._call(lambda: self._head_of(url, HEAD_BYTES), asked)
        length = int.from_bytes(head[:8], "little")
        try:
            if not 2 <= length <= MAX_HEADER_BYTES:
                raise ValueError(f"a header of {length} bytes")
            if length > len(head) - 8:
                head = self._call(lambda: self._head_of(url, length + 8), asked)
            return parameters(head[8 : 8 + length])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise HubFailed(f"{path} has no readable safetensors header", where=repo) from error

    def suggest(self, repo: str) -> tuple[str, ...]:
        """Return up to three repositories with a similar name, best first; empty when the Hub can't be searched."""
        owner, _, name = repo.rpartition("/")
        words = sorted(re.split(r"[-_.]", name), key=len, reverse=True)
        found: set[str] = set()
        for query in ({"search": name}, {"search": words[0]}, {"author": owner}):
            try:
                rows = self._json("/api/models", {**query, "limit": 50}, self._asked())
                found.update(str(row["id"]) for row in rows)
            except (ResolveError, KeyError, TypeError):
                return ()
            if near := _nearest(repo, found):
                return near
        return ()

    def download(self, repo: str, commit: str, files: Iterable[ModelFile], folder: Path, tell: Tell) -> None:
        """Lay the files below `folder`, each checked against its digest; what is there and right stays as it is.

        Raises HubFailed when a file arrives damaged twice, and ResolveError when the folder can't be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        missing = [file for file in files if not is_intact(folder, file)]
        stop = threading.Event()
        with ThreadPoolExecutor(DOWNLOADS_AT_ONCE, thread_name_prefix="download") as pool:
            waiting = [pool.submit(self._fetch, repo, commit, file, folder, tell, stop) for file in missing]
            try:
                for future in waiting:
                    future.result()
            except BaseException:
                stop.set()  # leaving the block waits for the threads
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        shutil.rmtree(folder / ".cache" / "huggingface", ignore_errors=True)  # the client's notes about these files

    def read(self, repo: str, commit: str, file: ModelFile) -> Iterator[bytes]:
        """Yield a file's content in order; a cut connection goes on where it broke. No digest is checked.

        Raises HubFailed when what comes has another length than the file, or breaks off again and again.
        """
        url = self._address(repo, commit, file.path)
        asked, at, tries = self._asked(repo, commit), 0, 0
        while at < file.size_bytes:
            response = self._call(functools.partial(self._open, url, at), asked)
            try:
                if int(response.headers.get("content-length", -1)) != file.size_bytes - at:
                    raise sentences.not_the_file(asked, file.path)
                for piece in gathered(response.iter_raw(), READ_BYTES):
                    at, tries = at + len(piece), 0
                    yield piece
            except httpx.TransportError as error:
                tries += 1
                if tries > _CUTS_BORNE:
                    raise self._in_words(error, asked, None) from error
            finally:
                response.close()

    def _fetch(self, repo: str, commit: str, file: ModelFile, folder: Path, tell: Tell, stop: threading.Event) -> None:
        from huggingface_hub import hf_hub_download  # what only asks needn't import it

        def fetch() -> None:
            (folder / file.path).unlink(missing_ok=True)
            hf_hub_download(
                repo,
                file.path,
                revision=commit,
                local_dir=folder,
                endpoint=self._endpoint,
                token=self._token,
                library_name="factory",
                tqdm_class=_bar(file, tell, stop),
            )

        for _ in range(_TRIES_PER_FILE):
            self._call(fetch, self._asked(repo, commit), folder)
            if is_intact(folder, file):
                tell(Progress("bytes", file.path, file.path, "done", file.size_bytes, file.size_bytes))
                return
        (folder / file.path).unlink(missing_ok=True)
        fix = "try again; if it stays so, the file on the Hub is damaged or a proxy changes it"
        raise HubFailed(f"{file.path} arrived damaged twice (expected {file.digest})", where=repo, fix=fix)

    # --- the one door to the network -----------------------------------------------------------------------------
    def _json(self, path: str, params: Mapping[str, Any], asked: Asked) -> Any:
        response = self._get(path, params, asked)
        try:
            return response.json()
        except ValueError as error:
            found = response.headers.get("content-type", "no content type")
            raise sentences.not_a_hub(asked, sentences.one_line(found)) from error

    def _get(self, path: str, params: Mapping[str, Any], asked: Asked) -> httpx.Response:
        def ask() -> httpx.Response:
            url = f"{self._endpoint}{path}"
            response = get_session().get(url, params=dict(params), headers=self._headers, timeout=self._timeout_s)
            hf_raise_for_status(response)
            return response

        return self._call(ask, asked)

    def _head_of(self, url: str, size_bytes: int) -> bytes:
        # Streamed, so that a server which ignores Range costs no more than what was asked for.
        headers = {**self._headers, "Range": f"bytes=0-{size_bytes - 1}", "Accept-Encoding": "identity"}
        head = bytearray()
        with get_session().stream("GET", url, headers=headers, timeout=self._timeout_s) as response:
            hf_raise_for_status(response)
            for chunk in response.iter_bytes():
                head += chunk
                if len(head) >= size_bytes:
                    break
        return bytes(head[:size_bytes])

    def _open(self, url: str, start: int) -> httpx.Response:
        headers = {**self._headers, "Accept-Encoding": "identity"}
        if start:  # an answer that ignores it has the whole file's length
            headers["Range"] = f"bytes={start}-"
        http = get_session()
        asking = http.build_request("GET", url, headers=headers, timeout=self._timeout_s)
        response = http.send(asking, stream=True)
        try:
            hf_raise_for_status(response)
        except HfHubHTTPError:
            response.close()
            raise
        return response

    def _call(self, action: Callable[[], T], asked: Asked, folder: Path | None = None) -> T:
        start_s = time.monotonic()
        deadline = start_s + self._patience_s

        def is_worth_another(error: Exception) -> bool | float:
            cause = _cause(error)
            if isinstance(cause, httpx.ConnectError) and time.monotonic() > start_s + CONNECT_PATIENCE_S:
                return False
            wait_s = self._wait_s(cause)
            if wait_s is None or time.monotonic() + wait_s > deadline:
                return False
            return wait_s or True

        try:
            for attempt in stamina.retry_context(
                on=is_worth_another,
                attempts=ATTEMPTS,
                timeout=self._patience_s,
                wait_initial=self._first_wait_s,
                wait_jitter=self._first_wait_s,
            ):
                with attempt:
                    return action()
        except (httpx.HTTPError, FileMetadataError, OSError) as error:
            raise self._in_words(_cause(error), asked, folder) from error
        raise AssertionError("stamina returns or raises")

    def _wait_s(self, error: Exception) -> float | None:
        """Return the seconds to wait before another try, 0 for the usual pause, None when it makes no sense."""
        if isinstance(error, HfHubHTTPError):
            if error.response.status_code in _RETRIED:
                return _reset_s(error.response) or 0.0
            # A signed address of the CDN ran out: the next try gets a fresh one.
            is_elsewhere = error.response.url.host != urlsplit(self._endpoint).hostname
            return 0.0 if error.response.status_code == 403 and is_elsewhere else None
        return 0.0 if isinstance(error, httpx.TransportError) else None

    def _in_words(self, error: Exception, asked: Asked, folder: Path | None) -> ResolveError:
        if isinstance(error, OfflineModeIsEnabled):
            return sentences.offline(asked)
        if isinstance(error, HfHubHTTPError):
            response = error.response
            headers = response.headers
            said = headers.get("x-error-message") or error.server_message or ""
            code = headers.get("x-error-code", "")
            return sentences.refused(Answer(response.status_code, code, said, _reset_s(response)), asked)
        if isinstance(error, httpx.HTTPError):
            return sentences.unreachable(asked, sentences.one_line(error) or type(error).__name__)
        if isinstance(error, FileMetadataError):
            return sentences.not_a_hub(asked, sentences.one_line(error))
        fix = "free some space there, or choose another folder (FACTORY_HOME)"
        return ResolveError(f"can't write there ({sentences.one_line(error)})", where=str(folder or ""), fix=fix)

    def _address(self, repo: str, commit: str, path: str) -> str:
        """Return where a file's content is (huggingface_hub 2.4.0, `hf_hub_url`)."""
        return f"{self._endpoint}/{repo}/resolve/{quote(commit, safe='')}/{quote(path)}"

    def _asked(self, repo: str = "", revision: str = "") -> Asked:
        return Asked(self._endpoint, repo, revision, has_token="authorization" in self._headers)

    def _ref_names(self, repo: str) -> tuple[str, ...]:
        try:
            says = self._json(f"/api/models/{repo}/refs", {}, self._asked(repo))
            return tuple(str(ref["name"]) for kind in ("branches", "tags") for ref in says[kind])[:6]
        except (ResolveError, KeyError, TypeError):
            return ()


def _cause(error: Exception) -> Exception:
    """Return what truly went wrong: the client hides it behind a file that "can't be found locally"."""
    while isinstance(error, FileNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error


def _reset_s(response: httpx.Response) -> float | None:
    """Return the seconds after which the Hub will answer again, from RateLimit or Retry-After."""
    limit = parse_ratelimit_headers(response.headers)
    if response.status_code == 429 and limit and limit.remaining == 0:
        return limit.reset_in_seconds + 1.0
    after = response.headers.get("retry-after", "").strip()
    return float(after) if after.isdigit() else None


def _nearest(repo: str, found: Iterable[str]) -> tuple[str, ...]:
    """Return up to three of the ids, those whose name (without its owner) is close, the closest id first."""

    def likeness(one: str, other: str) -> float:
        return difflib.SequenceMatcher(None, one.lower(), other.lower()).ratio()

    name = repo.rpartition("/")[2]
    near = [i for i in found if i != repo and likeness(name, i.rpartition("/")[2]) >= NEAR]
    return tuple(sorted(near, key=lambda i: (-likeness(repo, i), i))[:3])


class _Stopped(Exception):
    """Another file has failed, or Ctrl-C: this download ends too."""


def _bar(file: ModelFile, tell: Tell, stop: threading.Event) -> type[tqdm]:
    """Return a progress bar in the client's terms that draws nothing, tells, and can end its download."""
    from huggingface_hub.utils import tqdm

    class Bar(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": True})  # type: ignore[no-untyped-call]
            self.arrived_bytes = int(options.get("initial") or 0)

        def update(self, n: float | None = 1) -> None:
            if stop.is_set():
                raise _Stopped(file.path)
            self.arrived_bytes += int(n or 0)
            tell(Progress("bytes", file.path, file.path, "running", self.arrived_bytes, file.size_bytes))

    return Bar
