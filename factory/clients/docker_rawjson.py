"""What `docker buildx build --progress=rawjson` prints: BuildKit's SolveStatus as JSON, among lines of plain words.

The objects are those of moby/buildkit's client/graph.go (`vertexes`, `statuses`, `logs`; a log's `data` is base64),
each on one line or indented over several (buildx 0.13.1, looked at 2026-11-25). Nothing here raises on junk.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from factory.clients.docker_buildkit import Log, Status, Trace, Vertex


def read_rawjson(lines: Iterable[str]) -> Iterator[Trace | str]:
    """Yield a Trace for each object, and every other line as it is, without its end."""
    pending: list[str] = []
    for line in lines:
        line = line.rstrip("\r\n")
        if not pending and not line.startswith("{"):
            if line:
                yield line
            continue
        pending.append(line)
        if line.endswith("}") and (line.startswith(("{", "}"))):
            found = _parsed("\n".join(pending))
            if found is not None:
                pending.clear()
                yield _trace(found)
            elif line == "}":  # an object's end, and it is none
                yield from pending
                pending.clear()
    yield from pending


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _trace(found: dict[str, Any]) -> Trace:
    return Trace(
        vertexes=tuple(_vertex(item) for item in _items(found, "vertexes")),
        statuses=tuple(
            Status(_text(item, "id"), _text(item, "vertex"), _number(item, "current"), _number(item, "total"))
            for item in _items(found, "statuses")
        ),
        logs=tuple(Log(_text(item, "vertex"), _data(item)) for item in _items(found, "logs")),
    )


def _vertex(item: dict[str, Any]) -> Vertex:
    return Vertex(
        digest=_text(item, "digest"),
        name=_text(item, "name"),
        is_cached=item.get("cached") is True,
        started_s=_time_s(item.get("started")),
        completed_s=_time_s(item.get("completed")),
        error=_text(item, "error"),
    )


def _items(found: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = found.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(item: dict[str, Any], key: str) -> str:
    value = item.get(key)
    return value if isinstance(value, str) else ""


def _number(item: dict[str, Any], key: str) -> int:
    value = item.get(key)
    return value if isinstance(value, int) else 0


def _data(item: dict[str, Any]) -> str:
    try:
        return base64.b64decode(_text(item, "data")).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


def _time_s(value: object) -> float | None:
    try:
        return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else None
    except (ValueError, OverflowError, OSError):
        return None
