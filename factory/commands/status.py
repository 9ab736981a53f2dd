"""`factory status`: how endpoints are now."""

from __future__ import annotations

import click

from factory.commands import options


@click.command()
@click.argument("targets", metavar="[RECIPE|ENDPOINT]...", nargs=-1)
@click.option("--watch", "is_watching", is_flag=True, help="Look again and again, until Ctrl-C.")
@options.as_json
def status(targets: tuple[str, ...], is_watching: bool, as_json: bool) -> None:
    """Show how endpoints are: workers and what their states mean, queue, release, failures, money.

    Without an argument every endpoint of the account, a line each; a recipe, or an endpoint's name or id, is shown in
    full. What can't be had is named on stderr and the rest is shown; the exit code is then that of the first such
    error. --watch looks every 5 seconds, less often where that would be more than RunPod's 60 management calls a
    minute; with --json it prints one document a line.
    """
    from factory.commands.status_view import show_status

    show_status(targets, is_watching=is_watching, as_json=as_json)
