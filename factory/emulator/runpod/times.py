"""RFC 3339, as REST v2 writes and reads times."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def parsed_time(text: str) -> float | None:
    """Return an RFC 3339 time as seconds since the epoch; None when it isn't one."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    day, time, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{time}.{(fraction or '0')[:6]:0<6}{zone.upper()}")
    except ValueError:
        return None
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()


def time_text(seconds: float) -> str:
    """Return seconds since the epoch as RFC 3339 in UTC, whole seconds: `2026-06-01T12:00:00Z`."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def exact_time_text(seconds: float) -> str:
    """Return seconds since the epoch as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
