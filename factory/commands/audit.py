"""`factory audit`: the whole account, what it costs and why."""

from __future__ import annotations

from pathlib import Path

import click

from factory.commands import options


@click.command()
@click.argument("recipes", type=click.Path(path_type=Path), nargs=-1)
@click.option("--fix", "is_fixing", is_flag=True, help="Print the commands that would mend it; run none of them.")
@options.as_json
def audit(recipes: tuple[Path, ...], is_fixing: bool, as_json: bool) -> None:
    """Show what the account holds, what it spends and on what, and how long the money lasts.

    Endpoints are compared with the RECIPES of their names; without any, with those of ./recipes. Volumes and templates
    that nothing uses, pods left running and workers that never stop are named, with what they cost. What can't be had
    is named on stderr and the rest is shown; the exit code is then that of the first such error.
    """
    from factory.commands.audit_view import show_audit

    show_audit(recipes, is_fixing=is_fixing, as_json=as_json)
