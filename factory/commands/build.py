"""`factory build`: from recipes to images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from factory.commands import options

if TYPE_CHECKING:
    from factory.lanes.packing import Compress
    from factory.shipping import Lane


@click.command()
@options.recipes
@click.option("--push", "is_pushed", is_flag=True, help="Push the images and print their digests.")
@options.jobs
@options.force
@options.lane
@options.compress
@options.locked
@options.builder
@options.network
@options.ca_file
@options.as_json
def build(
    recipes: tuple[Path, ...],
    is_pushed: bool,
    jobs: int,
    force: bool,
    lane: Lane,
    compress: Compress,
    must_be_locked: bool,
    network: str | None,
    ca_file: Path | None,
    as_json: bool,
) -> None:
    """Check, size, render and build images; with --push, push them.

    Prints one line per recipe: repository:tag, or repository@digest when pushed. Of several, those with the same
    packages and steps wait for the first of them, which makes what they share. One that fails doesn't stop the others;
    the exit code is the first failure's.
    """
    from factory.commands.lines import walk

    walk(
        recipes,
        "push" if is_pushed else "build",
        jobs=jobs,
        force=force,
        lane=lane,
        compress=compress,
        must_be_locked=must_be_locked,
        network=network,
        ca_file=ca_file,
        as_json=as_json,
    )
