"""`factory run`: one job through a live endpoint."""

from __future__ import annotations

from pathlib import Path

import click

from factory.commands import options


@click.command()
@click.argument("target", metavar="RECIPE|ENDPOINT")
@click.option("--input", "source", type=click.File("rb"), help="JSON of the job, or of its input alone; - reads stdin.")
@click.option("--test", "test_name", help="Send this test of the recipe, by name or number (default: the first).")
@click.option("--sync", "is_sync", is_flag=True, help="Wait inside the call (runsync): results up to 20 MB, not 10.")
@click.option("--stream", "is_streamed", is_flag=True, help="Print each chunk as it comes, one JSON value a line.")
@click.option("--detach", "is_detached", is_flag=True, help="Print the job's id and leave it running.")
@click.option("--webhook", help="URL that RunPod posts the finished job to.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(1), help="Seconds to wait for the end.")
@click.option("--out", "folder", type=click.Path(file_okay=False, path_type=Path), help="Save the result's files here.")
@options.as_json
def run(target: str, **words: object) -> None:
    """Send a job to an endpoint, show how it waits and works, and print its output.

    Without --input, the recipe's first test is sent. Ctrl-C cancels the job. Exit codes: 91 failed, 92 timed out,
    93 cancelled or expired.
    """
    from factory.commands.running import RunWords, run_job

    run_job(target, RunWords(**words))  # type: ignore[arg-type]  # click checked each word's type
