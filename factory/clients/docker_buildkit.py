"""What BuildKit tells while it builds: `moby.buildkit.trace`, a protobuf message in base64, read without protobuf.

The fields are those of `StatusResponse` in moby/buildkit's api/services/control/control.proto (read 2026-11-23):
1 vertexes (1 digest, 3 name, 4 cached, 5 started, 6 completed, 7 error), 2 statuses (1 id, 2 vertex, 3 name,
4 current, 5 total), 3 logs (1 vertex, 4 msg). Nothing here raises on junk: progress is no reason to fail a build.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

Fields = dict[int, list[int | bytes]]


@dataclass(frozen=True, slots=True)
class Vertex:
    """A step of the build as BuildKit sees it. Times are seconds since the epoch, None while it hasn't happened."""

    digest: str
    name: str
    is_cached: bool
    started_s: float | None
    completed_s: float | None
    error: str


@dataclass(frozen=True, slots=True)
class Status:
    """Something that moves within a vertex; `current` and `total` are bytes, `total` 0 when unknown."""

    id: str
    vertex: str
    current: int
    total: int


@dataclass(frozen=True, slots=True)
class Log:
    """Bytes that a vertex printed, cut anywhere."""

    vertex: str
    text: str


@dataclass(frozen=True, slots=True)
class Trace:
    """One message of the trace."""

    vertexes: tuple[Vertex, ...] = ()
    statuses: tuple[Status, ...] = ()
    logs: tuple[Log, ...] = ()


def decode(aux: object) -> Trace:
    """Decode the `aux` of one trace message; an empty or partial Trace when it isn't what it should be."""
    try:
        data = base64.b64decode(aux, validate=True) if isinstance(aux, str) else b""
    except (binascii.Error, ValueError):
        data = b""
    message = wire_fields(data)
    return Trace(
        vertexes=tuple(_vertex(wire_fields(part)) for part in _messages(message, 1)),
        statuses=tuple(_status(wire_fields(part)) for part in _messages(message, 2)),
        logs=tuple(_log(wire_fields(part)) for part in _messages(message, 3)),
    )


def wire_fields(data: bytes) -> Fields:
    """Read a protobuf message's fields: number → values in order. Stops quietly where the bytes make no sense."""
    fields: Fields = {}
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        value: int | bytes
        if kind == 0:
            value, at = _varint(data, at)
        elif kind in (1, 5):
            width = 8 if kind == 1 else 4
            value, at = data[at : at + width], at + width
        elif kind == 2:
            length, at = _varint(data, at)
            value, at = data[at : at + length], at + length
        else:
            return fields
        if at > len(data):
            return fields
        fields.setdefault(number, []).append(value)
    return fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number and where it ends; an end beyond the data when it has none."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    return 0, len(data) + 1


def _messages(fields: Fields, number: int) -> list[bytes]:
    return [value for value in fields.get(number, []) if isinstance(value, bytes)]


def _text(fields: Fields, number: int) -> str:
    parts = _messages(fields, number)
    return parts[-1].decode("utf-8", "replace") if parts else ""


def _number(fields: Fields, number: int) -> int:
    numbers = [value for value in fields.get(number, []) if isinstance(value, int)]
    return numbers[-1] if numbers else 0


def _time_s(fields: Fields, number: int) -> float | None:
    parts = _messages(fields, number)
    if not parts:
        return None
    stamp = wire_fields(parts[-1])
    return _number(stamp, 1) + _number(stamp, 2) / 1e9


def _vertex(fields: Fields) -> Vertex:
    return Vertex(
        digest=_text(fields, 1),
        name=_text(fields, 3),
        is_cached=bool(_number(fields, 4)),
        started_s=_time_s(fields, 5),
        completed_s=_time_s(fields, 6),
        error=_text(fields, 7),
    )


def _status(fields: Fields) -> Status:
    return Status(_text(fields, 1), _text(fields, 2), _number(fields, 4), _number(fields, 5))


def _log(fields: Fields) -> Log:
    return Log(_text(fields, 1), _text(fields, 4))
