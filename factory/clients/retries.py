"""When an HTTP call is worth another try: one policy for every service that factory reads.

| what came | then |
| --- | --- |
| refused, or no such host | again for CONNECT_PATIENCE_S: somebody waits for the sentence |
| cut off, silence | again, with back-off |
| 408, 429, 500, 502, 503, 504 | again: after `Retry-After` where it says one, else with back-off |
| `Retry-After` beyond our patience | the answer as it is, at once |
| any other answer | the answer as it is |

A call that creates something goes through here only with `may_repeat=False`: then it is sent again only when it
certainly did nothing. That is so when no connection came about (not a byte left), and after a 429 (a limit turns a call
away before anyone acts on it). It is not so of 503, 502 and 504: a proxy says those also of a call that it passed on.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection

import httpx
import stamina

RETRIED = (408, 429, 500, 502, 503, 504)
ATTEMPTS = 8
CONNECT_PATIENCE_S = 3.0


NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


def send_patiently(
    send: Callable[[], httpx.Response],
    patience_s: float,
    *,
    retried: Collection[int] = RETRIED,
    attempts: int | None = ATTEMPTS,
    may_repeat: bool = True,
    wait_s: Callable[[httpx.Response], float | None] | None = None,
) -> httpx.Response:
    """Send until there is an answer that stays; it may still be one of `retried`. Raises httpx.TransportError.

    `wait_s` reads the seconds that an answer asks for (`retry_after_s`). `attempts` None: only `patience_s` counts.
    """
    started_s = time.monotonic()
    read_wait_s = wait_s or retry_after_s

    def is_worth_a_retry(error: Exception) -> bool | float:
        left_s = started_s + patience_s - time.monotonic()
        if isinstance(error, httpx.HTTPStatusError):
            wait = read_wait_s(error.response)
            return left_s > 0 if wait is None else wait if wait < left_s else False
        if isinstance(error, httpx.ConnectError):
            return time.monotonic() < started_s + min(CONNECT_PATIENCE_S, patience_s)
        if isinstance(error, httpx.UnsupportedProtocol) or not isinstance(error, httpx.TransportError):
            return False
        return may_repeat or isinstance(error, NEVER_SENT)

    def send_once() -> httpx.Response:
        answer = send()
        repeated = answer.status_code in retried and (may_repeat or answer.status_code == 429)
        return answer.raise_for_status() if repeated else answer

    caller = stamina.RetryingCaller(attempts=attempts, timeout=patience_s, wait_initial=0.2, wait_jitter=0.2)
    try:
        return caller(is_worth_a_retry, send_once)
    except httpx.HTTPStatusError as error:
        return error.response


def retry_after_s(answer: httpx.Response) -> float | None:
    """Return the seconds that an answer asks us to wait; None when it doesn't say.

    Docker Hub's API sends `X-Retry-After`, a Unix time (docker/docs, api/hub/latest.yaml, read 2026-11-24): a number
    above 10^9 is taken for one.
    """
    text = answer.headers.get("retry-after") or answer.headers.get("x-retry-after") or ""
    if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]+)?", text):
        return None
    seconds = float(text)
    return max(0.0, seconds - time.time()) if seconds > 1e9 else seconds
