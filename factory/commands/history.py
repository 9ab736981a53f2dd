"""`factory releases`: what ran on an endpoint when."""

from __future__ import annotations

import click

from factory.commands import options


@click.command()
@click.argument("target", metavar="RECIPE|ENDPOINT")
@options.as_json
def releases(target: str, as_json: bool) -> None:
    """List what ran on an endpoint when, newest first: image, configuration, models, by whom, and how it ended.

    From this machine's journal and from RunPod's own releases (REST v2 alone has them). `good` answered its test jobs;
    `*` runs now. What `factory rollback` may go back to is listed here.
    """
    from factory.commands.mending import list_releases

    list_releases(target, as_json)
