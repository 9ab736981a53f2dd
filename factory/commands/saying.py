"""How an error is said: one sentence on stderr, with the last lines of what failed below it."""

from __future__ import annotations

import click

from factory.errors import FactoryError, RecipeError


def say(error: FactoryError) -> None:
    """Print an error for people, on stderr."""
    if isinstance(error, RecipeError):
        click.echo("\n".join(error.problems), err=True)
        return
    click.echo(f"error: {error}", err=True)
    lines = error.details.get("lines")
    for line in lines if isinstance(lines, (list, tuple)) else ():
        click.echo(f"    {line}", err=True)
