"""`factory rollback`: an earlier release comes back."""

from __future__ import annotations

import click

from factory.commands import options


@click.command()
@click.argument("target", metavar="RECIPE|ENDPOINT")
@click.option("--to", metavar="DIGEST", help="The release to go back to; the beginning of its digest is enough.")
@options.as_json
def rollback(target: str, to: str | None, as_json: bool) -> None:
    """Put back the newest good release before the one that runs: its image and its configuration.

    Waits until the workers are on it, and asks the recipe's test jobs (an endpoint's name or id says none). Killed
    anywhere, the next run goes on with the same release; after its end the next one goes further back. Prints the
    endpoint's id. Exit codes: 71 its image is gone, 75 it runs and fails its tests, 87 there is no such release, 88
    workers still roll, 89 several begin so.
    """
    from factory.commands.mending import roll_back_one

    roll_back_one(target, to, as_json)
