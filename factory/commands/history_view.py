"""`factory releases` for people: one row a release, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.text import Text

from factory.commands.tables import new_grid, open_console
from factory.mending.history import Ran

STYLES = {"good": "green", "rolled_back": "red", "stopped": "red", "failed": "red", "unknown": "dim"}


def show_history(rows: Sequence[Ran]) -> None:
    """Print the rows."""
    grid = new_grid("left", "left", "left", "left", "left", "left", "left")
    grid.add_row("", "WHEN", "HOW", "ENDED", "IMAGE", "MODELS AND CHANGES", "WHO")
    for row in rows:
        outcome = Text(row.outcome.replace("_", " "), STYLES[row.outcome])
        grid.add_row("*" if row.is_current else "", _when(row.at), row.kind, outcome, _image(row), _what(row), row.who)
    open_console().print(grid)


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at else "unknown"


def _image(row: Ran) -> str:
    return row.digest[:19] or row.image or "unknown"


def _what(row: Ran) -> str:
    models = [f"{repo}@{commit[:7]}" for repo, commit in row.models.items()]
    changes = [f"changed {', '.join(row.changes)}"] if row.changes else []
    return "; ".join([*models, *changes, *row.problems])
