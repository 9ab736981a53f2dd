"""When an HTTP call is worth another try: one policy for every service that factory reads.

| what came | then |
| --- | --- |
| refused, or no such host | again for CONNECT_PATIENCE_S: somebody waits for the sentence |
| cut off, silence | again, with back-off |
| 408, 429, 500, 502, 503, 504 | again: after `Retry-After` where it says one, else with back-off |
| `Retry-After` beyond our patience | the answer as it is, at once |
| any other answer | the answer as it is |

Only calls that create nothing may go through here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import httpx
import stamina

RETRIED = (408, 429, 500, 502, 503, 504)
ATTEMPTS = 8
CONNECT_PATIENCE_S = 3.0


def send_patiently(send: Callable[[], httpx.Response], patience_s: float) -> httpx.Response:
    """Send until there is an answer that stays; it may still be one of RETRIED. Raises httpx.TransportError."""
    connect_deadline_s = time.monotonic() + min(CONNECT_PATIENCE_S, patience_s)

    def is_worth_a_retry(error: Exception) -> bool | float:
        if isinstance(error, httpx.HTTPStatusError):
            wait = retry_after_s(error.response)
            return True if wait is None else wait if wait < patience_s else False
        if isinstance(error, httpx.ConnectError):
            return time.monotonic() < connect_deadline_s
        return isinstance(error, httpx.TransportError) and not isinstance(error, httpx.UnsupportedProtocol)

    def send_once() -> httpx.Response:
        answer = send()
        return answer.raise_for_status() if answer.status_code in RETRIED else answer

    caller = stamina.RetryingCaller(attempts=ATTEMPTS, timeout=patience_s, wait_initial=0.2, wait_jitter=0.2)
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
