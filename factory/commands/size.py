"""`factory size`: how large the disks must be, and why."""

from __future__ import annotations

from pathlib import Path

import click

from factory.commands import options


@click.command()
@options.recipe
@options.as_json
def size(recipe: Path, as_json: bool) -> None:
    """Show the disks and GPU memory that a recipe needs, with the arithmetic.

    Exit codes: 31 the recipe's container disk is too small, 32 its volume, 34 no GPU pool holds the weights.
    """
    from factory.commands.lines import open_line
    from factory.commands.output import print_json
    from factory.commands.tables import print_plan

    with open_line(recipe) as line:
        models, plan = line.models, line.plan
    if as_json:
        print_json({"recipe": line.file.recipe.name, "models": models, "plan": plan})
    else:
        print_plan(line.file.recipe.name, models, plan)
