"""What passes between the REST face and its handlers: an `Ask` that the OpenAPI has accepted, and an `Answer`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from factory.emulator.runpod.refusals import Refused

JSON = "application/json"
PROBLEM = "application/problem+json"
EVENTS = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Ask:
    """One call. `query` holds the documented parameters (headers too) that came along, each as its own type.

    `url` is where the caller reached us, without a path; `page` is there when a page of a list was asked for.
    """

    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Any
    url: str
    page: Page | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """`?limit=&cursor=`: not in the OpenAPI of August 2026, but seen in October (lists then carry `pagination`)."""

    limit: int
    start: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back: a JSON body, events, or (both None) nothing."""

    status: int = 200
    body: dict[str, Any] | None = None
    events: AsyncIterator[bytes] | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def media_type(self) -> str | None:
        """The content type; None without a body."""
        if self.events is not None:
            return EVENTS
        if self.body is None:
            return None
        return PROBLEM if self.status >= 400 else JSON


Handler = Callable[[Ask], Answer | Awaitable[Answer]]


def problem(refused: Refused, **headers: str) -> Answer:
    """Return a refusal as RFC 9457 wants it."""
    body: dict[str, Any] = {
        "title": HTTPStatus(refused.status).phrase,
        "status": refused.status,
        "detail": refused.message,
    }
    if refused.errors:
        body["errors"] = list(refused.errors)
    return Answer(refused.status, body, headers={name.replace("_", "-"): value for name, value in headers.items()})


def invalid(*errors: str) -> Refused:
    """Return the 422 for what doesn't fit the OpenAPI, or its prose."""
    return Refused(422, "Request validation failed.", errors)


def listing(ask: Ask, key: str, rows: list[dict[str, Any]]) -> Answer:
    """Return a list under its key; only the page that was asked for, and then with `pagination`."""
    if ask.page is None:
        return Answer(body={key: rows})
    end = ask.page.start + ask.page.limit
    has_next = end < len(rows)
    pagination = {"nextCursor": str(end) if has_next else None, "hasNextPage": has_next}
    return Answer(body={key: rows[ask.page.start : end], "pagination": pagination})


async def send_answer(answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
    """Send an answer; events as they come, for as long as somebody listens."""
    response: Response
    if answer.events is not None:
        response = StreamingResponse(answer.events, answer.status, answer.headers, EVENTS)
    else:
        text = "" if answer.body is None else json.dumps(answer.body, separators=(",", ":"), allow_nan=False)
        response = Response(text, answer.status, answer.headers, answer.media_type)
    await response(scope, receive, send)
