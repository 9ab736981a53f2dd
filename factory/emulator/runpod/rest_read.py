"""From bytes to an `Ask`: parameters and body, held against the OpenAPI. What doesn't fit raises `Refused`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NoReturn

from starlette.requests import Request

from factory.emulator.runpod.openapi import Match, Operation, Parameter
from factory.emulator.runpod.refusals import Refused
from factory.emulator.runpod.rest_wire import Ask, Page, invalid

MAX_BODY_BYTES = 10 * 1024 * 1024
"""The emulator's own limit for a management call; RunPod's isn't published."""
_INTEGER = re.compile(r"-?\d{1,18}", re.ASCII)
_BOOLEANS = {"true": True, "false": False}


async def read_ask(request: Request, match: Match) -> Ask:
    """Return the call. Raises Refused: 400 or 422 for a body that isn't JSON, 413, 422 for what breaks the OpenAPI."""
    operation = match.operation
    body = None if operation.body is None else await _body(request, operation)
    query, errors = _parameters(request, operation.parameters)
    if operation.body is not None:
        errors += operation.body.problems(body)
    if errors:
        raise invalid(*errors)
    return Ask(match.path, query, body, _url(request), _page(request))


async def _body(request: Request, operation: Operation) -> Any:
    raw = await _bytes(request)
    kind = request.headers.get("content-type", "application/json").split(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(operation.malformed_status, f"content type {kind!r} is not supported: send application/json")
    if not raw:
        raise Refused(operation.malformed_status, "request body is required")
    try:
        body = json.loads(raw, parse_constant=_not_json, parse_float=_finite)
        json.dumps(body, ensure_ascii=False).encode()  # a lone surrogate is no text: nothing could store it
    except (ValueError, RecursionError):
        raise Refused(operation.malformed_status, "request body is not valid JSON") from None
    return body


async def _bytes(request: Request) -> bytes:
    read = bytearray()
    async for piece in request.stream():
        read += piece
        if len(read) > MAX_BODY_BYTES:
            raise Refused(413, f"request body is larger than {MAX_BODY_BYTES} bytes")
    return bytes(read)


def _not_json(constant: str) -> NoReturn:
    raise ValueError(constant)


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(text)
    return number


def _parameters(request: Request, parameters: Iterable[Parameter]) -> tuple[dict[str, Any], list[str]]:
    """Return the documented parameters that came along, and what is wrong with them. Others are ignored."""
    values: dict[str, Any] = {}
    errors: list[str] = []
    for parameter in parameters:
        source = request.query_params if parameter.place == "query" else request.headers
        texts = source.getlist(parameter.name)
        if len(texts) > 1:
            errors.append(f"{parameter.name}: got {len(texts)} values, want 1")
        elif texts:
            values[parameter.name] = _read(texts[0], parameter.kind)
            errors += parameter.schema.problems(_checked(parameter, values[parameter.name]), at=parameter.name)
    return values, errors


def _read(text: str, kind: str) -> Any:
    """Return a text as its type; as it is where it can't be, so that the schema says what is wrong."""
    if kind == "array":
        return text.split(",") if text else []
    if kind == "integer" and _INTEGER.fullmatch(text):
        return int(text)
    if kind == "boolean":
        return _BOOLEANS.get(text, text)
    return text


def _checked(parameter: Parameter, value: Any) -> Any:
    # The OpenAPI calls Last-Event-ID a time, and shows events whose id is `<time>/<number>`: both are taken.
    return value.split("/")[0] if parameter.name == "Last-Event-ID" else value


def _page(request: Request) -> Page | None:
    limit, cursor = request.query_params.get("limit", ""), request.query_params.get("cursor", "")
    if not _INTEGER.fullmatch(limit) or int(limit) < 1:
        return None
    return Page(int(limit), int(cursor) if _INTEGER.fullmatch(cursor) and int(cursor) > 0 else 0)


def _url(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"
