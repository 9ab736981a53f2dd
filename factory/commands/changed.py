"""`factory changed`: the recipes whose image would be another one than at a revision."""

from __future__ import annotations

from pathlib import Path

import click

from factory.commands import options


@click.command()
@click.argument("recipes", type=click.Path(path_type=Path), nargs=-1)
@click.option("--since", "revision", metavar="REV", help="Commit, branch or tag to compare with.")
@click.option("--all", "is_all", is_flag=True, help="Compare with nothing: every recipe is new.")
@options.as_json
def changed(recipes: tuple[Path, ...], revision: str | None, is_all: bool, as_json: bool) -> None:
    """Name the recipes whose content digest differs from what a git revision would have built.

    Without RECIPES: recipes/*.yaml of the repository. One path per line on stdout, the reasons and what was deleted on
    stderr; --json prints a matrix for GitHub Actions. A recipe that can't be rendered is said, and its code is the
    exit code.
    """
    from factory.commands.changes_view import print_changes
    from factory.commands.comparing import compare

    if is_all == (revision is not None):
        raise click.UsageError("say either --since REV or --all")
    click.get_current_context().exit(print_changes(compare(recipes, revision), as_json))
