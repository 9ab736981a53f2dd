"""HTTP of the job API without a framework in between: one body, one JSON answer, and who hangs up on a long poll."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NoReturn

from starlette.types import Receive, Scope, Send

from factory.emulator.runpod.refusals import Refused

Answer = tuple[int, Any]
"""Status and what is sent as JSON; None is no body."""
NOTHING: Answer = (204, None)
NOT_FOUND: Answer = (404, {"message": "Not Found"})
"""What RunPod's gateway says where it knows no route."""


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


# Made once: json.loads and json.dumps with options make theirs at each call.
_decode = json.JSONDecoder(parse_constant=_no_number).decode
_encode = json.JSONEncoder(separators=(",", ":")).encode


def problem(status: int, detail: str) -> Answer:
    """Return a refusal; `status` in the body is a number, as it was seen in a 404 of RunPod's (2026)."""
    return status, {"title": HTTPStatus(status).phrase, "status": status, "detail": detail}


async def send_answer(send: Send, answer: Answer) -> None:
    """Send an answer."""
    status, value = answer
    body = b"" if value is None else _encode(value).encode()
    headers = [(b"content-length", b"%d" % len(body))] if status != 204 else []
    if body:
        headers.append((b"content-type", b"application/json"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def read_json(receive: Receive, most_bytes: int | None = None) -> tuple[Any, int]:
    """Return a call's body and its length; `Content-Type` is not asked (the SDK's worker says form, and means JSON).

    Refused (400) when it isn't JSON or is longer than `most_bytes`; it is read to its end even then, so that the
    client hears why.
    """
    message = await receive()
    body: bytes = message.get("body", b"")
    size = len(body)
    if message.get("more_body"):
        chunks = [body]
        while message.get("more_body"):
            message = await receive()
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if most_bytes is None or size <= most_bytes:
                chunks.append(chunk)
        body = b"".join(chunks)
    if most_bytes is not None and size > most_bytes:
        raise Refused(400, f"the body has {size} bytes; at most {most_bytes} are allowed")
    try:
        return _decode(body.decode()), size
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is not JSON: {error}") from None


async def when_gone(receive: Receive, act: Callable[[], None]) -> None:
    """Wait until the client has hung up, then act."""
    while (await receive())["type"] != "http.disconnect":
        pass
    act()


def watch(receive: Receive, act: Callable[[], None]) -> asyncio.Task[None]:
    """Act when the client hangs up; cancel the task when that no longer matters."""
    return asyncio.get_running_loop().create_task(when_gone(receive, act))


def query_of(scope: Scope) -> str:
    """Return a call's query string."""
    query: bytes = scope["query_string"]
    return query.decode("latin-1")
