"""`factory guard`: a fresh deployment under watch."""

from __future__ import annotations

import click

from factory.commands import options
from factory.commands.durations import DURATION


@click.command()
@click.argument("target", metavar="RECIPE|ENDPOINT")
@click.option("--for", "lasting_s", type=DURATION, default="10m", show_default=True, help="How long to watch.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="The same, in minutes; wins over --for.")
@click.option("--patience", "patience_s", type=DURATION, help="How long a sign must last [90s; a pull: 5m].")
@click.option("--purge", "is_purging", is_flag=True, help="Drop the jobs that wait when it is stopped.")
@options.as_json
def guard(
    target: str, lasting_s: float, minutes: float | None, patience_s: float | None, is_purging: bool, as_json: bool
) -> None:
    """Watch an endpoint; when its workers only crash, or can't pull their image, stop them before they cost more.

    Stopping sets workers.max to 0: `factory release` or `factory rollback` starts them again. Exit codes: 0 it stayed
    well, 98 it was stopped (or was already).
    """
    from factory.commands.mending import guard_one

    guard_one(target, minutes * 60 if minutes else lasting_s, patience_s, is_purging=is_purging, as_json=as_json)
