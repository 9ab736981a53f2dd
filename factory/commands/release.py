"""`factory release`: from a recipe to a live endpoint that answered its test jobs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from factory.commands import options
from factory.commands.durations import DURATION

if TYPE_CHECKING:
    from factory.lanes.packing import Compress
    from factory.shipping import Lane


@click.command()
@options.recipe
@click.option("--no-run", "is_still", is_flag=True, help="Prove the image from the registry only; start no container.")
@click.option("--replace", "is_replacing", is_flag=True, help="Remove and make anew what can't be changed.")
@click.option("--guard", "guard_s", type=DURATION, help="Then watch it for so long (10m), as `factory guard` does.")
@click.option("--force", is_flag=True, help="Do every stage again, whatever is there already.")
@options.lane
@options.compress
@options.locked
@options.builder
@options.network
@options.ca_file
@options.as_json
def release(
    recipe: Path,
    is_still: bool,
    is_replacing: bool,
    guard_s: float | None,
    force: bool,
    lane: Lane,
    compress: Compress,
    must_be_locked: bool,
    network: str | None,
    ca_file: Path | None,
    as_json: bool,
) -> None:
    """Take a recipe to a live endpoint that answered its test jobs.

    resolve, size, render, build, push, verify, provision, and the recipe's tests through the endpoint. It goes on where
    it stopped, and does nothing twice. When the tests fail on a new release, the previous one is put back (exit code
    96). Prints the endpoint's id. With --guard it ends when the guard does (98: stopped).
    """
    from factory.commands.releases import release_one

    release_one(
        recipe,
        runs=not is_still,
        is_replacing=is_replacing,
        force=force,
        lane=lane,
        compress=compress,
        must_be_locked=must_be_locked,
        network=network,
        ca_file=ca_file,
        guard_s=guard_s,
        as_json=as_json,
    )
