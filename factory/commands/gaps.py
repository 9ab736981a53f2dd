"""What could not be had, said after all that could."""

from __future__ import annotations

from collections.abc import Sequence

import click

from factory.overview.gap import Gap


def say_gaps(gaps: Sequence[Gap]) -> None:
    """Print each gap on stderr; the same reason for many things is one line."""
    by_reason: dict[str, list[str]] = {}
    for gap in gaps:
        by_reason.setdefault(str(gap.error), []).append(gap.what)
    for reason, missing in by_reason.items():
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        click.echo(f"not shown: {', '.join(missing[:3])}{more}: {reason}", err=True)


def exit_by(gaps: Sequence[Gap]) -> None:
    """End with the first gap's exit code; go on when there is none."""
    if gaps:
        click.get_current_context().exit(gaps[0].error.exit_code)
