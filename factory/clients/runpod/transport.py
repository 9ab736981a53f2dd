"""The one way to RunPod's three APIs over HTTP: who we are, the key, time limits, and when a call is sent again.

| a call that | is sent again, within `patience_s` in all, after |
| --- | --- |
| reads or sets (GET, HEAD, PUT, DELETE; any other marked `SAFE`) | a lost connection, silence, 429, 502, 503, 504 |
| creates (any POST or PATCH that isn't marked) | a connection that never came about; 429 |

After a 429 we wait as long as `Retry-After` says, or `RateLimit` (`t=`). The reasons are in `clients/retries.py`, the
prose for users in docs/runpod.md.
"""

from __future__ import annotations

import re
from types import TracebackType
from typing import Any, Final

import httpx

from factory import __version__
from factory.clients.retries import retry_after_s, send_patiently
from factory.clients.tls import trusted
from factory.references import is_loopback

PATIENCE_S = 60.0
TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 10.0
RETRIED: Final = (429, 502, 503, 504)

# Cloudflare, before api.runpod.io, answers `403 error code: 1010` to some clients without a name of their own
# (Python-urllib; seen in public repositories, 2026).
USER_AGENT = f"factory/{__version__} (+one recipe to a RunPod endpoint)"

# Marks for `extensions=` of a call.
SAFE: Final[dict[str, Any]] = {"factory.safe": True}  # sending it twice does what sending it once does
ONCE: Final[dict[str, Any]] = {"factory.safe": False}  # a GET that takes something away at RunPod (a stream's chunks)


class RunPodTransport(httpx.BaseTransport):
    """Sends over `httpx.Client` (with the machine's proxy and CA bundle) by the policy above.

    Answers are read whole before they are given on, so that a body that breaks off counts as a lost connection; a call
    with the extension `factory.stream` is given on as it comes.
    """

    def __init__(self, *, patience_s: float = PATIENCE_S, trust_env: bool = True) -> None:
        self._patience_s = patience_s
        self._inner = httpx.Client(trust_env=trust_env, verify=trusted())

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one call, perhaps several times. Raises httpx.TransportError."""
        is_stream = bool(request.extensions.get("factory.stream"))

        def send() -> httpx.Response:
            answer = self._inner.send(request, stream=is_stream)
            if is_stream and not answer.is_success:
                answer.read()
            return answer

        return send_patiently(
            send,
            self._patience_s,
            retried=RETRIED,
            attempts=None,
            may_repeat=may_repeat(request),
            wait_s=asked_wait_s,
        )

    def close(self) -> None:
        """Close every connection."""
        self._inner.close()


class RunPodClient:
    """An API of RunPod at one base URL, for one key. Thread-safe; the key is in no text that it makes."""

    def __init__(
        self, base_url: str, key: str, *, timeout_s: float = TIMEOUT_S, patience_s: float = PATIENCE_S
    ) -> None:
        self.base_url = base_url.rstrip("/")
        host = httpx.URL(self.base_url).netloc.decode()
        self.http = httpx.Client(
            base_url=self.base_url,
            headers={"User-Agent": USER_AGENT, "Authorization": f"Bearer {key}", "Accept": "application/json"},
            timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s)),
            transport=RunPodTransport(patience_s=patience_s, trust_env=not is_loopback(host)),
        )

    def __repr__(self) -> str:
        """Return what this is, without the key."""
        return f"RunPodClient({self.base_url!r})"

    def __enter__(self) -> RunPodClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()


def may_repeat(request: httpx.Request) -> bool:
    """Does sending this call twice do what sending it once does?"""
    is_marked: bool | None = request.extensions.get("factory.safe")
    return request.method in ("GET", "HEAD", "PUT", "DELETE") if is_marked is None else is_marked


def asked_wait_s(answer: httpx.Response) -> float | None:
    """Return the seconds that RunPod asks us to wait; None when it doesn't say.

    `Retry-After`, else `RateLimit`: `"minute";r=0;t=12, "hour";r=2800;t=1812`, of which the windows with nothing left
    (`r=0`) count (RunPod's OpenAPI 2.0.0, RateLimitHeader, read 2026-11-23).
    """
    asked = retry_after_s(answer)
    if asked is not None or answer.status_code != 429:
        return asked
    windows = re.findall(r"r=(\d{1,9})\s*;\s*t=(\d{1,9})", answer.headers.get("ratelimit", ""))
    return max((float(t) for r, t in windows if int(r) == 0), default=None)
