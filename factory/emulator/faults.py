"""Things that go wrong on the way, played on demand, and a log of every call.

`Faults` wraps any of the emulators. Give it `Fault`s before or while it serves; each is played `times` times on the
calls that its `path` (a glob), `method` and `containing` name, the first match wins, and then it is spent.

    app.state.faults.append(Fault("status", status=503, times=2, path="/api/models/*/tree/*"))
    assert [call.status for call in app.state.calls] == [200, 503, 503, 200]

All of it is emulator only: no route of the real services does this on demand.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal, get_args

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FOREVER = -1
LOG_LIMIT = 50_000
"""Calls that the log holds; then the older half goes."""

Kind = Literal["status", "rate_limit", "html", "garbage", "cut", "stall", "late", "flip", "hold"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_ANSWERED = {"status": 0, "rate_limit": 429, "html": 200, "garbage": 200}
"""The kinds that answer in the application's place; 0: with the fault's own status."""


@dataclass(slots=True)
class Fault:
    """One thing that goes wrong.

    status      answer `status` with a JSON error; `wait_s` becomes Retry-After
    rate_limit  answer 429 with the Hub's RateLimit headers, the window resetting in `wait_s`
    html        answer 200 with a web page, as a captive portal or a wrong endpoint does
    garbage     answer 200 with JSON that breaks off
    cut         close the connection after `after_bytes` of the body
    stall       wait `wait_s` after `after_bytes` of the body (0: before the application is asked)
    late        ask the application, then wait `wait_s` before the answer's first byte
    flip        invert the byte at `after_bytes` of the body
    hold        wait until `release` before the application is asked

    `after`: status, rate_limit, html, garbage and hold come after the application was asked: what the call changes is
    changed, and its answer is lost (or held). `body` replaces the text that is answered. `containing` chooses calls by
    a text in their body: all of GraphQL has one path.
    """

    kind: Kind
    times: int = 1
    path: str = "*"
    method: str = "*"
    status: int = 503
    wait_s: float | None = None
    after_bytes: int = 0
    after: bool = False
    body: str | None = None
    containing: str = ""
    _held: list[asyncio.Future[None]] = field(default_factory=list, repr=False, compare=False)

    def matches(self, method: str, path: str) -> bool:
        """Say whether the fault is due on this call, as far as its path and method tell."""
        return self.times != 0 and fnmatchcase(path, self.path) and fnmatchcase(method, self.method)

    @property
    def held(self) -> int:
        """How many calls a `hold` keeps waiting now."""
        return len(self._held)

    def release(self) -> int:
        """Let the calls go on that are held now, and say how many. From any thread."""
        held = list(self._held)
        for waiting in held:
            waiting.get_loop().call_soon_threadsafe(_let_go, waiting)
        return len(held)

    async def _hold(self) -> None:
        waiting = asyncio.get_running_loop().create_future()
        self._held.append(waiting)
        try:
            await waiting
        finally:
            self._held.remove(waiting)


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
        call = self._logged(scope)
        send = _counting(send, call)
        if not self._faults:  # the common case, and the fast one
            await self._app(scope, receive, send)
            return
        fault, receive = await self._due(call, receive)
        if fault is None:
            await self._app(scope, receive, send)
            return
        fault.times -= fault.times > 0
        await self._play(fault, scope, receive, send)

    def _logged(self, scope: Scope) -> Call:
        headers = dict(scope["headers"])  # every call of every worker is logged: no framework's view of them
        byte_range = headers.get(b"range")
        call = Call(
            method=scope["method"],
            path=scope["path"],
            query=_without_key(scope["query_string"].decode("latin-1")),
            host=headers.get(b"host", b"").decode("latin-1"),
            byte_range=None if byte_range is None else byte_range.decode("latin-1"),
            has_token=b"authorization" in headers or b"api_key=" in scope["query_string"],
        )
        if len(self._calls) >= LOG_LIMIT:
            del self._calls[: LOG_LIMIT // 2]
        self._calls.append(call)
        return call

    async def _due(self, call: Call, receive: Receive) -> tuple[Fault | None, Receive]:
        """Return the fault for this call; the body is read only where a fault asks for it, and then given again."""
        body: bytes | None = None
        for fault in self._faults:
            if not fault.matches(call.method, call.path):
                continue
            if fault.containing:
                if body is None:
                    body, receive = await _peeked(receive)
                # Others may have spent it while the body came.
                if fault.times == 0 or fault.containing.encode() not in body:
                    continue
            return fault, receive
        return None, receive

    async def _play(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        if fault.kind in _ANSWERED:
            if fault.after:
                await self._app(scope, receive, _nowhere)
            await _answer(fault, send, has_body=scope["method"] != "HEAD")
            return
        if fault.kind == "stall" and fault.after_bytes == 0:
            await asyncio.sleep(fault.wait_s or 0)
        if fault.kind == "hold" and not fault.after:
            await fault._hold()
        try:
            await self._app(scope, receive, _spoilt(send, fault))
        except _Cut:
            return


def _let_go(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _without_key(query: str) -> str:
    return (
        "&".join(part for part in query.split("&") if not part.startswith("api_key=")) if "api_key" in query else query
    )


async def _peeked(receive: Receive) -> tuple[bytes, Receive]:
    """Read a request's body, and return it with a `receive` that gives it again."""
    messages: list[Message] = []
    while not messages or messages[-1].get("more_body"):
        messages.append(await receive())
    body = b"".join(message.get("body", b"") for message in messages)

    async def again() -> Message:
        return messages.pop(0) if messages else await receive()

    return body, again


async def _nowhere(_: Message) -> None:
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
        if message["type"] == "http.response.start":
            await _put_off(fault)
        body: bytes = message.get("body", b"")
        at = fault.after_bytes - seen
        seen += len(body)
        is_here = message["type"] == "http.response.body" and 0 <= at < len(body)
        if not is_here or fault.kind not in ("flip", "cut", "stall"):
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


async def _put_off(fault: Fault) -> None:
    """Keep back an answer that is ready."""
    if fault.kind == "late":
        await asyncio.sleep(fault.wait_s or 0)
    elif fault.kind == "hold" and fault.after:
        await fault._hold()


async def _answer(fault: Fault, send: Send, *, has_body: bool) -> None:
    status = _ANSWERED[fault.kind] or fault.status
    content_type = "text/html" if fault.kind == "html" else "application/json"
    body = (_text(fault) if fault.body is None else fault.body).encode()
    headers = MutableHeaders(headers={"content-type": content_type, "content-length": str(len(body))})
    wait_s = int(fault.wait_s or 0)
    if fault.kind == "rate_limit":
        # As huggingface_hub 2.4.0 reads them (utils/_http.py, seen 2026-11-23).
        headers["ratelimit"] = f'"api";r=0;t={wait_s}'
        headers["ratelimit-policy"] = '"fixed window";"api";q=500;w=300'
    elif fault.wait_s is not None:
        headers["retry-after"] = str(wait_s)
    await send({"type": "http.response.start", "status": status, "headers": headers.raw})
    await send({"type": "http.response.body", "body": body if has_body else b""})


def _text(fault: Fault) -> str:
    if fault.kind == "html":
        return "<!doctype html><title>Welcome</title>"
    if fault.kind == "garbage":
        return '{"id": "broke'
    return json.dumps({"error": "played fault"})
