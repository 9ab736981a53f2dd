"""`factory verify`: proof that a pushed image can be pulled, starts and answers."""

from __future__ import annotations

from pathlib import Path

import click

from factory.commands import options


@click.command()
@options.recipe
@click.option("--no-run", "is_still", is_flag=True, help="Look at the registry only; start no container.")
@options.network
@options.as_json
def verify(recipe: Path, is_still: bool, network: str | None, as_json: bool) -> None:
    """Prove that a recipe's pushed image is whole, starts and answers.

    Every blob by digest, the platform and the exact size, from the registry (and Docker Hub's own API); then the pulled
    image is started and runs the recipe's test jobs.
    """
    from factory.commands.lines import open_line
    from factory.commands.output import print_json
    from factory.commands.tables import print_report

    with open_line(recipe, network=network) as line:
        report, plan = line.verify(line.find_pushed(), runs=not is_still)
    if as_json:
        print_json({"recipe": line.file.recipe.name, "report": report, "plan": plan})
    else:
        print_report(report, plan)
