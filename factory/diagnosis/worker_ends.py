"""How workers' containers ended, from the lines that the platform and the workers themselves left behind."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from factory.account import LogLine
from factory.diagnosis.evidence import Evidence
from factory.recipe.tokens import redacted

# `worker exited with exit code 1` (docs.runpod.io, "Worker states", read 2026-11-23); other spellings are Docker's.
_EXIT = re.compile(r"\bexit(?:ed)?(?: with)?(?: exit)?(?:[ -]?code)?[:=]? ?\(?(\d{1,3})\b", re.IGNORECASE)
_NO_START = re.compile(r"error starting container|failed to create (?:task|shim|container)|OCI runtime", re.IGNORECASE)
_NOT_FOUND = re.compile(r"no such file or directory|executable file not found|not found in \$?PATH", re.IGNORECASE)
_FORBIDDEN = re.compile(r"permission denied|exec format error|is a directory", re.IGNORECASE)
LAST_LINES = 5
LINE_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Ends:
    """How one worker's containers ended, oldest first; `last_lines` is what the last one said before it did.

    `span_s` is from the first end to the last (None: the times can't be read).
    """

    worker: str
    status: str
    codes: tuple[int, ...]
    last_lines: tuple[str, ...]
    span_s: float | None

    @property
    def last_line(self) -> str:
        """What it said last, or nothing."""
        return self.last_lines[-1] if self.last_lines else ""


def ends_of(evidence: Evidence) -> tuple[Ends, ...]:
    """Return the ends of every worker that is listed now and has at least one, most ends first."""
    statuses = {worker.id: worker.status for worker in evidence.workers}
    found = (_ends(worker, statuses[worker], lines) for worker, lines in evidence.logs.items() if worker in statuses)
    return tuple(sorted((ends for ends in found if ends.codes), key=lambda ends: -len(ends.codes)))


def _ends(worker: str, status: str, lines: Sequence[LogLine]) -> Ends:
    codes: list[int] = []
    times: list[str] = []
    said: list[str] = []
    last: list[str] = []
    for line in lines:
        code = _code(line) if line.source == "system" else None
        if code is not None:
            codes.append(code)
            times.append(line.ts)
            said, last = [], said or last or [line.line]
        elif line.source == "container" and line.line.strip():
            said.append(line.line)
    shown = tuple(text for text in map(_shown, last) if text)[-LAST_LINES:]
    return Ends(worker, status, tuple(codes), shown, _span_s(times))


def _code(line: LogLine) -> int | None:
    """Return the exit code that a line of the platform tells of; a container that can't be started has a shell's."""
    if _NO_START.search(line.line):
        return 127 if _NOT_FOUND.search(line.line) else 126 if _FORBIDDEN.search(line.line) else 128
    found = _EXIT.search(line.line)
    return int(found[1]) if found else None


def _span_s(times: Sequence[str]) -> float | None:
    try:
        first, *_, last = [datetime.fromisoformat(ts) for ts in (times[0], times[-1])]
    except (IndexError, ValueError):
        return None
    return max(0.0, (last - first).total_seconds())


# --- what a worker says of itself ------------------------------------------------------------------------------------
def event(line: LogLine) -> Mapping[str, object]:
    """Return the event of factory's runtime that a line holds (docs/worker.md), or nothing."""
    if line.source != "container" or not line.line.startswith("{"):
        return {}
    try:
        found = json.loads(line.line)
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    inner = found.get("message")  # the SDK wraps lines into {"requestId", "message", "level"}
    if "event" not in found and isinstance(inner, str) and inner.startswith("{"):
        return event(LogLine(line.ts, "container", inner))
    return found if "event" in found else {}


def events(lines: Sequence[LogLine], name: str) -> Iterator[Mapping[str, object]]:
    """Yield the runtime's events of one name, oldest first."""
    return (found for found in map(event, lines) if found.get("event") == name)


def _shown(text: str) -> str:
    """Return a line as it is shown: a failure of the runtime by its sentence, tokens struck out, cut to fit."""
    found = event(LogLine("", "container", text))
    if found:
        text = f"{found['code']}: {found.get('sentence', '')}" if found.get("code") else ""
    return redacted(" ".join(text.split()))[:LINE_CHARACTERS]
