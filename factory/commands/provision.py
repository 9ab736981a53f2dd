"""`factory provision`: volume, registry login, template and endpoint, as the recipe says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from factory.commands import options


@click.command()
@options.recipes
@click.option("--replace", "is_replacing", is_flag=True, help="Remove and make again what can't be changed.")
@click.option("--timeout", "limit_s", type=click.FloatRange(1), help="Seconds that the workers may take to roll.")
@click.option("--print-curl", "language", flag_value="curl", help="Print how to call the endpoint; as --snippet curl.")
@click.option(
    "--snippet", "language", type=click.Choice(["python", "curl", "js"]), help="Print a program that calls it."
)
@click.option("--unbuilt", "is_unbuilt", is_flag=True, help="For `factory emulator --workers process`: needs no image.")
@options.as_json
def provision(recipes: tuple[Path, ...], as_json: bool, **words: Any) -> None:
    """Make or change the account as the plan says, and wait until the change is live.

    The images must be in their registry. Prints the plan on stderr, and one endpoint id per recipe on stdout. Nothing
    is made when one recipe can't be; a second run changes nothing; a run that was killed is taken to its end.
    """
    from factory.commands.planning import provision_recipes

    provision_recipes(recipes, as_json=as_json, **words)
