"""`factory render`: the Dockerfile and its build context."""

from __future__ import annotations

from pathlib import Path

import click

from factory.commands import options


@click.command()
@options.recipe
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Write the build context here.")
@options.as_json
def render(recipe: Path, out: Path | None, as_json: bool) -> None:
    """Print the Dockerfile of a recipe, or write its whole build context to a folder.

    The same recipe gives the same bytes and the same digest on any machine and day; the digest is the image's tag.
    Weights that go into the image are fetched for --out, and linked to.
    """
    from factory.commands.lines import open_line
    from factory.commands.output import print_context

    with open_line(recipe) as line:
        context = line.context
        if out is not None:
            context = line.with_weights(context, line.tell("render"))
    print_context(context, out, as_json)
