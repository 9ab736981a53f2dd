"""`factory check`: read recipes and lint them."""

from __future__ import annotations

from pathlib import Path

import click

from factory.commands import options


@click.command()
@click.argument("recipes", type=click.Path(path_type=Path), nargs=-1)
@options.locked
@click.option("--online", is_flag=True, help="Also run the checks that need the models' files from the Hub.")
@options.as_json
def check(recipes: tuple[Path, ...], must_be_locked: bool, online: bool, as_json: bool) -> None:
    """Say everything that is wrong with recipes (all of recipes/ by default).

    One line per finding on stdout: FILE:LINE: severity[rule] …. Exit code 0 clean or warnings only, 10 a recipe can't
    be read, 11 a check of severity `error` fails, 43 with --locked a lock is missing or of another recipe.
    """
    from factory.commands.findings import inspect, show

    paths = recipes or tuple(sorted(Path("recipes").glob("*.yaml")))
    if not paths:
        raise click.UsageError("no recipes: name some, or run this where a folder recipes/ is")
    inspections = [inspect(path, online, must_be_locked=must_be_locked) for path in paths]
    show(inspections, as_json)
    click.get_current_context().exit(max(inspection.exit_code for inspection in inspections))
