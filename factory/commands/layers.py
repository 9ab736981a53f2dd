"""`factory layers`: what an image is made of, what could go, and what several share."""

from __future__ import annotations

from pathlib import Path

import click

from factory.commands import options


@click.command()
@options.recipes
@options.as_json
def layers(recipes: tuple[Path, ...], as_json: bool) -> None:
    """Show images layer by layer: sizes, largest files, what is carried in vain, and the lines to change.

    The image is read from its registry, else from the engine, and streamed: nothing is stored. One that isn't built is
    estimated from its recipe. Of several recipes: which layers they share, what another base would send again, and
    what to write alike so that they share more.
    """
    from factory.commands.layers_view import print_looks, show_json
    from factory.commands.lines import open_lines
    from factory.layering.looking import look_at
    from factory.layering.sharing import sharing

    with open_lines(recipes) as lines:
        looks = look_at(lines)
    shared = sharing(looks) if len(looks) > 1 else None
    (show_json if as_json else print_looks)(looks, shared)
