"""Things that go wrong on the way, played on demand, and a log of every call.

`Faults` wraps any of the emulators. Give it `Fault`s before or while it serves; each is played `times` times on the
calls that its `path` (a glob) and `method` name, the first match wins, and then it is spent.

    app.state.faults.append(Fault("status", status=503, times=2, path="/api/models/*/tree/*"))
    assert [call.status for call in app.state.calls] == [200, 503, 503, 200]

All of it is emulator only: no route of the real services does this on demand.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FOREVER = -1

Kind = Literal["status", "rate_limit", "html", "cut", "stall", "flip"]


@dataclass(slots=True)
class Fault:
    """One thing that goes wrong.

    status      answer `status` with a JSON error; `wait_s` becomes Retry-After
    rate_limit  answer 429 with the Hub's RateLimit headers, the window resetting in `wait_s`
    html        answer 200 with a web page, as a captive portal or a wrong endpoint does
    cut         close the connection after `after_bytes` of the body
    stall       wait `wait_s` after `after_bytes` of the body (0: before the answer)
    flip        invert the byte at `after_bytes` of the body
    """

    kind: Kind
    times: int = 1
    path: str = "*"
    method: str = "*"
    status: int = 503
    wait_s: float | None = None
    after_bytes: int = 0

    def matches(self, method: str, path: str) -> bool:
        """Say whether the fault is due on this call."""
        return self.times != 0 and fnmatchcase(path, self.path) and fnmatchcase(method, self.method)


@dataclass(slots=True)
class Call:
    """One call as it came in and what was answered. `has_token` says that a token came along, never which."""

    method: str
    path: str
    query: str
    host: str
    byte_range: str | None
    has_token: bool
    status: int = 0
    sent_bytes: int = 0


class _Cut(Exception):
    """Leaves the application in mid-answer; the server then closes the connection."""


class Faults:
    """ASGI middleware: logs calls into `calls` and plays `faults`."""

    def __init__(self, app: ASGIApp, faults: list[Fault], calls: list[Call]) -> None:
        self._app = app
        self._faults = faults
        self._calls = calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call, with the fault that is due on it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        call = Call(
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"].decode("latin-1"),
            host=headers.get("host", ""),
            byte_range=headers.get("range"),
            has_token="authorization" in headers,
        )
        self._calls.append(call)
        send = _counting(send, call)
        fault = next((f for f in self._faults if f.matches(call.method, call.path)), None)
        if fault is None:
            await self._app(scope, receive, send)
            return
        fault.times -= fault.times > 0
        if fault.kind in ("status", "rate_limit", "html"):
            await _answer(fault, send, has_body=call.method != "HEAD")
            return
        if fault.kind == "stall" and fault.after_bytes == 0:
            await asyncio.sleep(fault.wait_s or 0)
        try:
            await self._app(scope, receive, _spoilt(send, fault))
        except _Cut:
            return


def _counting(send: Send, call: Call) -> Send:
    async def count(message: Message) -> None:
        if message["type"] == "http.response.start":
            call.status = message["status"]
        else:
            call.sent_bytes += len(message.get("body", b""))
        await send(message)

    return count


def _spoilt(send: Send, fault: Fault) -> Send:
    seen = 0

    async def spoil(message: Message) -> None:
        nonlocal seen
        body: bytes = message.get("body", b"")
        at = fault.after_bytes - seen
        seen += len(body)
        if message["type"] != "http.response.body" or not 0 <= at < len(body):
            await send(message)
        elif fault.kind == "flip":
            await send({**message, "body": body[:at] + bytes([body[at] ^ 0xFF]) + body[at + 1 :]})
        elif fault.kind == "cut":
            await send({**message, "body": body[:at], "more_body": True})
            raise _Cut
        else:
            await send({**message, "body": body[:at], "more_body": True})
            await asyncio.sleep((fault.wait_s or 0) if fault.after_bytes else 0)
            await send({**message, "body": body[at:]})

    return spoil


async def _answer(fault: Fault, send: Send, *, has_body: bool) -> None:
    status = {"status": fault.status, "rate_limit": 429, "html": 200}[fault.kind]
    content_type = "text/html" if fault.kind == "html" else "application/json"
    text = "<!doctype html><title>Welcome</title>" if fault.kind == "html" else json.dumps({"error": "played fault"})
    headers = MutableHeaders(headers={"content-type": content_type, "content-length": str(len(text))})
    wait_s = int(fault.wait_s or 0)
    if fault.kind == "rate_limit":
        # As huggingface_hub 2.4.0 reads them (utils/_http.py, seen 2026-11-23).
        headers["ratelimit"] = f'"api";r=0;t={wait_s}'
        headers["ratelimit-policy"] = '"fixed window";"api";q=500;w=300'
    elif fault.wait_s is not None:
        headers["retry-after"] = str(wait_s)
    await send({"type": "http.response.start", "status": status, "headers": headers.raw})
    await send({"type": "http.response.body", "body": text.encode() if has_body else b""})
