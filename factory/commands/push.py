"""`factory push`: a recipe's image to its registry."""

from __future__ import annotations

from pathlib import Path

import click

from factory.commands import options


@click.command()
@options.recipes
@options.jobs
@options.network
@options.ca_file
@options.as_json
def push(recipes: tuple[Path, ...], jobs: int, network: str | None, ca_file: Path | None, as_json: bool) -> None:
    """Push recipes' images, building what is not there yet; print repository@digest."""
    from factory.commands.lines import walk

    walk(recipes, "push", jobs=jobs, force=False, network=network, ca_file=ca_file, as_json=as_json)
