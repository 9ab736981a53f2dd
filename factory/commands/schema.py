"""`factory schema`: the recipe's JSON Schema."""

from __future__ import annotations

import click


@click.command()
def schema() -> None:
    """Print the recipe's JSON Schema, for editors and other tools."""
    import json

    from factory.recipe.schema import schema as make

    click.echo(json.dumps(make(), indent=2))
