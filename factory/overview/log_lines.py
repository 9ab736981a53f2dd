"""Workers' log lines as people read them: times, and the runtime's events in words (docs/worker.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from factory.account import LogLine
from factory.errors import SettingsError
from factory.wording import seconds_text

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
LONGEST_VALUE = 200


@dataclass(frozen=True, slots=True)
class Taken:
    """A line, and the worker that it is from."""

    worker: str
    line: LogLine

    @property
    def moment(self) -> datetime:
        """When it was said; one without a time comes first."""
        return moment(self.line.ts) or datetime.min.replace(tzinfo=UTC)

    def as_record(self) -> dict[str, object]:
        """Return what `--json` prints, and what is kept in a file."""
        line = self.line
        return {"id": line.id, "ts": line.ts, "worker": self.worker, "source": line.source, "line": line.line}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are to be shown. `source` None: both."""

    since: datetime | None = None
    source: str | None = None
    pattern: re.Pattern[str] | None = None

    def has(self, taken: Taken) -> bool:
        """Is a line one of them? A pattern is looked for in the line as it came, and as it reads."""
        line = taken.line
        if self.source not in (None, line.source) or (self.since is not None and taken.moment < self.since):
            return False
        return self.pattern is None or any(self.pattern.search(text) for text in (line.line, readable(line)))


def moment(text: str) -> datetime | None:
    """Return the time of a line (RFC 3339, any number of decimals); None for what is none."""
    try:
        found = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def since(text: str, now: datetime) -> datetime:
    """Return the time that `10m`, `2h`, `90s`, `1d` ago or a date and time mean. Raises SettingsError."""
    if found := re.fullmatch(r"(\d{1,6})([smhd])", text):
        return now - timedelta(**{_UNITS[found[2]]: int(found[1])})
    if (at := moment(text)) is not None:
        return at
    raise SettingsError(
        f"{text!r} is no time", where="--since", fix="write 90s, 10m, 2h, 1d, or a time such as 2026-11-25T03:00:00Z"
    )


def pattern(text: str) -> re.Pattern[str]:
    """Return a compiled pattern. Raises SettingsError."""
    try:
        return re.compile(text)
    except re.error as error:
        raise SettingsError(
            f"{text!r} is no regular expression ({error})", where="--grep", fix="escape what is meant as it stands"
        ) from error


def readable(line: LogLine) -> str:
    """Return a line as people read it: the runtime's events and the SDK's records in words, the rest as it is."""
    if not line.line.startswith("{"):
        return line.line
    try:
        said = json.loads(line.line)
    except ValueError:
        return line.line
    if not isinstance(said, dict):
        return line.line
    if isinstance(said.get("event"), str):
        return _event(said)
    if isinstance(said.get("message"), str):  # RunPod's SDK 1.12.0: {requestId, message, level}
        job = f"[{said['requestId']}] " if said.get("requestId") else ""
        return f"{str(said.get('level') or '').lower()} {job}{said['message']}".strip()
    return line.line


def _event(said: Mapping[str, Any]) -> str:
    """Say one event of the worker runtime."""
    match said["event"]:
        case "phase":
            return f"{said.get('phase')} took {_seconds(said.get('seconds'))}"
        case "failed":
            fix = f"; {said['fix']}" if said.get("fix") else ""
            return f"FAILED in {said.get('phase')}: {said.get('sentence')}{fix} [{said.get('code')}]"
        case "job":
            parts = ("queue", "inputs", "inference", "outputs")
            times = [f"{part} {_seconds(said[f'{part}_s'])}" for part in parts if f"{part}_s" in said]
            why = f": {said['sentence']} [{said.get('code')}]" if said.get("sentence") else ""
            parts_text = f" ({', '.join(times)})" if times else ""
            took = f"in {_seconds(said.get('seconds'))}{parts_text}"
            return f"job {said.get('id')} {said.get('status')} {took}{why}"
        case "progress":
            return f"job {said.get('id')}: {_value(said.get('value'))}"
        case name:
            rest = [f"{key} {_value(value)}" for key, value in said.items() if key != "event" and value is not None]
            return f"{str(name).replace('_', ' ')}{': ' if rest else ''}{', '.join(rest)}"


def _seconds(value: object) -> str:
    return seconds_text(value) if isinstance(value, int | float) else "an unknown time"


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"
