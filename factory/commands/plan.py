"""`factory plan`: what would happen at RunPod, and what it costs."""

from __future__ import annotations

from pathlib import Path

import click

from factory.commands import options


@click.command()
@options.recipes
@options.as_json
def plan(recipes: tuple[Path, ...], as_json: bool) -> None:
    """Show what `factory provision` would do to the account; build and buy nothing.

    Each resource field by field, GPU pools with stock and price, disks, costs, and what is in the way. Exit codes:
    0 nothing would change, 4 something would, 86 the preflight fails, 87 something can't be changed, 89 two of one
    name.
    """
    from factory.commands.planning import plan_recipes

    plan_recipes(recipes, as_json)
