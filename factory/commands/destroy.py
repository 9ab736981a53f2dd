"""`factory destroy`: what a recipe has at RunPod goes."""

from __future__ import annotations

from pathlib import Path

import click

from factory.commands import options


@click.command()
@options.recipe
@click.option("--login", "is_with_login", is_flag=True, help="Also the registry login that factory made.")
@click.option("--volume", metavar="NAME", help="Also this network volume, with all that lies on it.")
@click.option("--confirm", metavar="NAME", help="The volume's name once more, where nobody can be asked for it.")
@click.option("--yes", "is_sure", is_flag=True, help="Don't ask; a volume still needs --confirm.")
@options.as_json
def destroy(
    recipe: Path, is_with_login: bool, volume: str | None, confirm: str | None, is_sure: bool, as_json: bool
) -> None:
    """Remove a recipe's endpoint and template, and say what stops costing how much.

    A volume goes only when it is named, and its name confirmed: it holds data. What others use is refused before
    anything is removed. Killed anywhere, the next run removes what is left.
    """
    from factory.commands.mending import destroy_one

    destroy_one(recipe, is_with_login, volume, confirm, is_sure=is_sure, as_json=as_json)
