"""`factory logs`: what workers print, and what the platform says of them."""

from __future__ import annotations

from pathlib import Path

import click

from factory.commands import options


@click.command()
@click.argument("target", metavar="RECIPE|ENDPOINT")
@click.option("--worker", metavar="ID", help="One worker: its id, or the beginning of it.")
@click.option("--follow", "-f", "is_following", is_flag=True, help="Go on with lines to come, until Ctrl-C.")
@click.option("--since", metavar="T", help="Lines since then: 90s, 10m, 2h, 1d ago, or a date and time.")
@click.option("--source", type=click.Choice(["container", "system"]), help="The worker's own lines, or the platform's.")
@click.option("--grep", metavar="RE", help="Lines in which this regular expression is found.")
@click.option("--tail", type=click.IntRange(1, 5000), default=100, show_default=True, help="Last lines of each worker.")
@click.option("--save", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Keep every line there.")
@options.as_json
def logs(
    target: str,
    worker: str | None,
    is_following: bool,
    since: str | None,
    source: str | None,
    grep: str | None,
    tail: int,
    save: Path | None,
    as_json: bool,
) -> None:
    """Show the log of an endpoint's workers, merged by time.

    The runtime's events are said in words; --json prints each line as it came, one object a line. RunPod forgets a
    container's lines with the container: --save keeps them, one file a worker, also those that are not shown, each
    once however often it is read. With --follow new workers join by themselves.
    """
    from factory.commands.logs_view import LogWords, show_logs

    words = LogWords(worker, is_following, since, source, grep, tail, save, as_json)
    show_logs(target, words)
