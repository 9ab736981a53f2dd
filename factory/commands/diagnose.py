"""`factory diagnose`: why an endpoint doesn't answer, and the command that mends it."""

from __future__ import annotations

import click

from factory.commands import options


@click.command()
@click.argument("target", metavar="RECIPE|ENDPOINT")
@click.option("--watch", "watch_s", type=click.FloatRange(1, 600), help="Look for so many seconds, not just for one.")
@click.option("--fix", "is_fixing", is_flag=True, help="Run the safe mends after showing them, and look again.")
@click.option("--yes", "is_sure", is_flag=True, help="With --fix: don't ask before running them.")
@click.option("--unbuilt", "is_unbuilt", is_flag=True, help="For `factory emulator --workers process`: needs no image.")
@options.as_json
def diagnose(target: str, **words: object) -> None:
    """Say why an endpoint doesn't answer: what was seen, the cause, the command that mends it, and how sure that is.

    Looks at the account, the endpoint, its workers and their logs, its jobs, the registry and the Hub; changes nothing
    without --fix. A safe mend costs nothing, loses nothing and can be taken back. Exit codes: 100 something keeps the
    endpoint from answering, 101 only warnings, 0 nothing is wrong.
    """
    from factory.commands.diagnosing import DiagnoseWords, diagnose_endpoint

    diagnose_endpoint(target, DiagnoseWords(**words))  # type: ignore[arg-type]  # click checked each word's type
