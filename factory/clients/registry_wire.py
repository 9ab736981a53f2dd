"""Single exchanges with a registry that is written to: whose credentials go where, and what an answer stands for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import copy

import httpx

from factory.clients.registry_auth import Login, Notes
from factory.clients.registry_http import Connections, exchange
from factory.clients.registry_refusals import PASSING, VOID, lasting, refusal, unreachable
from factory.clients.registry_upload import Body
from factory.clients.retries import send_patiently
from factory.errors import PushDenied, PushError, RegistryDenied, RegistryFailed
from factory.references import Reference, is_loopback

FAREWELL_S = 5.0  # for taking back an upload that came to nothing
TEXT_LIMIT_BYTES = 64 * 1024


class Wire:
    """Makes exchanges and counts them; safe to use from several threads.

    `timeout_s` is for one connect and one silence, `patience_s` for how long `ask` waits a fault out.
    """

    def __init__(
        self, login_for: Callable[[str], Login | None], *, timeout_s: float, patience_s: float, notes: Notes | None
    ) -> None:
        self._connections = Connections(login_for, timeout_s=timeout_s, notes=notes)
        self._timeout_s = timeout_s
        self.patience_s = patience_s
        self.sent_bytes = 0
        self._lock = threading.Lock()

    def counting_apart(self) -> Wire:
        """Return the same connections with bytes counted from nothing."""
        other = copy(self)
        other.sent_bytes, other._lock = 0, threading.Lock()
        return other

    @property
    def requests(self) -> int:
        """HTTP requests made so far."""
        return self._connections.requests

    def close(self) -> None:
        """Close every connection."""
        self._connections.close()

    def ask(
        self,
        where: Reference,
        method: str,
        path: str,
        what: str,
        headers: Mapping[str, str] | None = None,
        limit: int = 0,
        content: bytes | None = None,
    ) -> httpx.Response:
        """Send something that may be repeated, with retries. 2xx, 404 and 416 are returned."""
        url = path if path.startswith("http") else f"/v2/{where.path}/{path}"
        try:
            answer = send_patiently(
                lambda: self.send(where, method, url, what, headers, limit, content), self.patience_s
            )
        except httpx.TransportError as error:
            raise unreachable(error, where) from error
        if answer.status_code in PASSING:
            raise lasting(answer, where, what)
        return answer

    def once(
        self,
        where: Reference,
        method: str,
        url: httpx.URL | str,
        what: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: Body | None = None,
        silence_s: float | None = None,
    ) -> httpx.Response:
        """Send once. Raises HTTPStatusError for what may pass."""
        answer = self.send(where, method, str(url), what, headers, 0, content, silence_s)
        if answer.status_code in PASSING + VOID:
            answer.raise_for_status()
        return answer

    def send(
        self,
        where: Reference,
        method: str,
        url: str,
        what: str,
        headers: Mapping[str, str] | None = None,
        limit: int = 0,
        content: Body | bytes | None = None,
        silence_s: float | None = None,
    ) -> httpx.Response:
        """Make one exchange; credentials go to the registry's own address alone. Raises what no repetition mends."""
        client, auth = self._connections.to(where.registry)
        timeout = httpx.Timeout(self._timeout_s, read=silence_s or self._timeout_s)
        request = client.build_request(method, url, headers=headers, content=content, timeout=timeout)
        is_own = _origin(request.url) == _origin(client.base_url)
        try:
            answer = exchange(client, request, auth if is_own else None, limit or TEXT_LIMIT_BYTES)
        except RegistryDenied as error:  # the realm's
            raise PushDenied(error.what, where=error.where, fix=error.fix) from error
        except (httpx.TooManyRedirects, httpx.DecodingError, httpx.InvalidURL) as error:
            raise RegistryFailed(f"no sense in its answer ({error})", where=where.registry) from error
        if found := refusal(answer, where, auth.who, what):
            raise found
        return answer

    def location(self, where: Reference, answer: httpx.Response) -> httpx.URL:
        """Return where an upload goes on. Another host gets the bytes, never who we are; nothing goes in the open."""
        text = answer.headers.get("location", "")
        try:
            url = answer.request.url.join(text)
        except httpx.InvalidURL:
            text = ""
        if not text:
            raise RegistryFailed("it begins an upload and doesn't say where", where=where.registry)
        is_here = is_loopback(url.host)
        if is_here != is_loopback(where.registry) or url.scheme != ("http" if is_here else "https"):
            raise RegistryFailed(
                f"it sends the blob to {url.scheme}://{url.host}, where it would not be safe",
                where=where.registry,
                fix="let the proxy before the registry pass on X-Forwarded-Proto, or set the registry's `http.host`",
            )
        return url

    def count(self, size_bytes: int) -> None:
        """So many bytes of a blob or a manifest were sent."""
        with self._lock:
            self.sent_bytes += size_bytes

    def drop(self, where: Reference, url: httpx.URL) -> None:
        """Take an upload back, if the registry listens: it would keep the bytes for days."""
        with suppress(httpx.HTTPError, PushError):
            self.send(where, "DELETE", str(url), "the blob", silence_s=FAREWELL_S)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
