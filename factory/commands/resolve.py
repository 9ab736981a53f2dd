"""`factory resolve`: a model's exact files, from the Hub."""

from __future__ import annotations

from pathlib import Path

import click

from factory.commands import options


@click.command()
@options.recipe
@options.as_json
def resolve(recipe: Path, as_json: bool) -> None:
    """List the exact files of a recipe's models, and their true size.

    Bytes and digests at one commit, recursively, as the patterns of the recipe select them.
    """
    from factory.commands.lines import open_line
    from factory.commands.output import print_json
    from factory.commands.tables import print_files

    with open_line(recipe) as line:
        models = line.models
    if as_json:
        print_json(models)
    else:
        print_files(models)
