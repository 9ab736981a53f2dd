"""`factory lock`: what a recipe means today, to the last digest, in a file beside it."""

from __future__ import annotations

from pathlib import Path

import click

from factory.commands import options


@click.command()
@options.recipes
@click.option("--upgrade", is_flag=True, help="Take the newest that the recipe allows, and not what its lock has.")
@options.as_json
def lock(recipes: tuple[Path, ...], upgrade: bool, as_json: bool) -> None:
    """Write recipes/NAME.lock beside each recipe: what builds take from then on.

    Python packages with the hashes of their wheels, the base image's digest, each model's commit and its files'
    digests. What a lock has stays, unless the recipe no longer allows it or --upgrade says so. Prints the locks' paths,
    and on stderr what is locked otherwise than before. `--locked` of build, release and check refuses anything else.
    """
    from factory.commands.locks import write_locks

    write_locks(recipes, is_upgrade=upgrade, as_json=as_json)
