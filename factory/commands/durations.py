"""Durations as people write them: `90`, `90s`, `10m`, `1h`."""

from __future__ import annotations

import re
from typing import Any

import click

SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


class Duration(click.ParamType[float]):
    """Seconds; a word of its own says minutes or hours."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds. Fails for what is no duration, and for none at all."""
        if isinstance(value, (int, float)):
            return float(value)
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", str(value).strip())
        seconds = float(found[1]) * SECONDS[found[2]] if found else 0.0
        if seconds <= 0:
            self.fail(f"{value!r} is no duration; write 90s, 10m or 1h.", param, ctx)
        return seconds


DURATION = Duration()
