"""`factory volumes`: the account's network volumes, who uses them, and what they cost."""

from __future__ import annotations

from pathlib import Path

import click

from factory.commands import options

folder = click.option(
    "--recipes",
    "folder",
    default="recipes",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder of recipes to look for users of the volumes.",
)


@click.group(invoke_without_command=True)
@folder
@options.as_json
@click.pass_context
def volumes(context: click.Context, folder: Path, as_json: bool) -> None:
    """List network volumes: size, data centre, cost per month, recipes and endpoints that use each."""
    from factory.commands.volumes_view import list_volumes

    if context.invoked_subcommand is None:
        list_volumes(folder, as_json)


@volumes.command(name="list")
@folder
@options.as_json
def list_(folder: Path, as_json: bool) -> None:
    """List them; what `factory volumes` alone does."""
    from factory.commands.volumes_view import list_volumes

    list_volumes(folder, as_json)


@volumes.command()
@click.argument("name")
@click.argument("size_gb", metavar="SIZE", type=click.IntRange(10, 4096))
def grow(name: str, size_gb: int) -> None:
    """Make the volume NAME (or id) SIZE GB large. It never shrinks again.

    Prints its new size and what it costs a month.
    """
    from factory.commands.volumes_view import grow_volume

    grow_volume(name, size_gb)
