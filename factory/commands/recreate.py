"""`factory recreate`: an endpoint anew, with the same configuration."""

from __future__ import annotations

from pathlib import Path

import click

from factory.commands import options


@click.command()
@click.argument("target", metavar="RECIPE|ENDPOINT")
@click.option(
    "--env-file", type=click.Path(dir_okay=False, path_type=Path), help="Write the new id into this file (.env)."
)
@click.option("--key", default="RUNPOD_ENDPOINT_ID", show_default=True, help="The variable of it that holds the id.")
@click.option("--yes", "is_sure", is_flag=True, help="Don't ask.")
@options.as_json
def recreate(target: str, env_file: Path | None, key: str, is_sure: bool, as_json: bool) -> None:
    """Delete an endpoint and make it anew with the same configuration, under a new id.

    For one whose job API answers 404 while RunPod still lists it, as after an unpaid balance. Its waiting jobs are
    lost. Killed anywhere, the next run goes on. Prints the old and the new id.
    """
    from factory.commands.mending import recreate_one

    recreate_one(target, env_file, key, is_sure=is_sure, as_json=as_json)
