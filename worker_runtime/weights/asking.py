"""One request for a file: the token kept at home, redirects followed, signed addresses remembered, refusals told."""

from __future__ import annotations

import http.client
import time
from http import HTTPStatus

from worker_runtime.errors import HubFailed, HubUnreachable, StartError
from worker_runtime.recipe import Model, WeightFile
from worker_runtime.weights.hub import Hub, failed, refusal, wait_s
from worker_runtime.weights.wire import MAX_REDIRECTS, Wire, drain, next_url, origin_of

_FOR_EVERYONE = frozenset(("user-agent",))  # the header that another origin may see, too


class TryAgain(Exception):
    """What may go better next time. `wait_s`: the server's own word for when, which holds for all connections."""

    def __init__(self, failure: StartError, wait_s: float | None = None) -> None:
        super().__init__(failure.what)
        self.failure = failure
        self.wait_s = wait_s


class Asking:
    """Asks the Hub for files, or the addresses that it gave for them. Used by all connections at once."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._headers = {name.lower(): value for name, value in hub.headers().items()}
        self._addresses: dict[str, str] = {}  # the Hub's address of a file → where that led to

    def head(self, wire: Wire, model: Model, file: WeightFile) -> None:
        """Ask whether a file may be had, and remember where it is. Raises TryAgain and StartError."""
        response, _ = self._ask(wire, "HEAD", model, file, None)
        if not drain(response):
            wire.drop(self._hub.url(model, file.path))

    def range(
        self, wire: Wire, model: Model, file: WeightFile, start: int, end: int
    ) -> tuple[http.client.HTTPResponse, str]:
        """Ask for the bytes from `start` to before `end`: the answer, its body unread, and its URL.

        Raises TryAgain, also when the answer is something else than this range; and StartError.
        """
        response, url = self._ask(wire, "GET", model, file, f"bytes={start}-{end - 1}")
        problem = _not_the_range(response, file, start, end)
        if problem is not None:
            wire.drop(url)
            self._forget(self._hub.url(model, file.path), url)
            raise TryAgain(HubFailed(f"{place(url)} {problem}", fix="check HF_ENDPOINT and what stands before it"))
        return response, url

    def _ask(
        self, wire: Wire, method: str, model: Model, file: WeightFile, byte_range: str | None
    ) -> tuple[http.client.HTTPResponse, str]:
        home = self._hub.url(model, file.path)
        url = self._addresses.get(home, home)
        for _ in range(MAX_REDIRECTS + 1):
            response = self._exchange(wire, method, url, home, byte_range)
            target = self._redirect(response, url, home)
            if target is None:
                self._demand_success(response, wire, url, home, model, file)
                return response, url
            if not drain(response):
                wire.drop(url)
            url = self._addresses[home] = target
            if method == "HEAD" and origin_of(url) != origin_of(home):
                return response, url  # allowed; and a signed address is often signed for GET alone
        self._forget(home, url)
        raise TryAgain(HubFailed(f"more than {MAX_REDIRECTS} redirects", fix="check HF_ENDPOINT"))

    def _exchange(
        self, wire: Wire, method: str, url: str, home: str, byte_range: str | None
    ) -> http.client.HTTPResponse:
        """Send one request. The token goes along only to the scheme, host and port of the Hub's own address."""
        is_home = origin_of(url) == origin_of(home)
        headers = {name: value for name, value in self._headers.items() if is_home or name in _FOR_EVERYONE}
        if byte_range:
            headers["range"] = byte_range
        try:
            return wire.ask(method, url, headers)
        except (OSError, http.client.HTTPException) as error:
            self._forget(home, url)
            raise TryAgain(unreachable(error, url, wire)) from error

    def _redirect(self, response: http.client.HTTPResponse, url: str, home: str) -> str | None:
        target = next_url(response, url)
        try:
            if target is not None:
                origin_of(target)
        except ValueError as error:
            self._forget(home, url)
            raise TryAgain(HubFailed(f"{place(url)} redirects to {error}", fix="check HF_ENDPOINT")) from error
        return target

    def _demand_success(
        self, response: http.client.HTTPResponse, wire: Wire, url: str, home: str, model: Model, file: WeightFile
    ) -> None:
        if response.status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            return
        wire.drop(url)
        self._forget(home, url)
        if url == home or "X-Error-Code" in response.headers:
            final = refusal(response.status, response.headers, model, file)
            if final is not None:
                raise final
        # A signed address that has expired is answered 403 by the CDN: the next attempt asks the Hub for another.
        what = f"{model.repo}@{model.commit[:12]} {file.path} at {place(url)}"
        raise TryAgain(failed(response.status, what), wait_s(response.headers, time.time()))

    def _forget(self, home: str, url: str) -> None:
        if self._addresses.get(home) == url:  # else another connection has a new one already
            self._addresses.pop(home, None)


def unreachable(error: Exception, url: str, wire: Wire) -> StartError:
    """Return the error for a connection that failed."""
    if isinstance(error, TimeoutError):
        sentence = f"{place(url)} sent nothing for {wire.stall_s:g} s"
    else:
        sentence = f"the connection to {place(url)} failed ({type(error).__name__})"
    return HubUnreachable(sentence, fix="check HF_ENDPOINT and the network")


def place(url: str) -> str:
    """Return host and port: all of a signed address that may be shown."""
    _, host, port = origin_of(url)
    return f"{host}:{port}"


def _not_the_range(response: http.client.HTTPResponse, file: WeightFile, start: int, end: int) -> str | None:
    """Say why an answer of success isn't the range that was asked for; None when it is."""
    size, headers = file.size_bytes, response.headers
    if headers.get("Content-Encoding", "identity") != "identity":
        return f"encoded {file.path} as {headers['Content-Encoding']}"
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        said, asked = headers.get("Content-Range", ""), f"bytes {start}-{end - 1}/{size}"
        return None if said == asked else f"sent {said!r} of {file.path} where {asked!r} was asked for"
    if start == 0 and end == size and headers.get("Content-Length") == str(size):
        return None
    kind, length = headers.get("Content-Type", "?"), headers.get("Content-Length", "?")
    return f"sent {length} bytes of {kind} for {file.path} where {end - start} of {size} bytes were asked for"
