"""`factory volumes`: the account's network volumes, who uses them, what they cost, and what lies on them."""

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
named = click.option("--volume", "named", metavar="NAME|ID", help="Another volume than the recipe's.")


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


@volumes.command()
@options.recipe
@click.argument("below", metavar="[PATH]", required=False)
@named
@options.as_json
def ls(recipe: Path, below: str | None, named: str | None, as_json: bool) -> None:
    """Say what lies on RECIPE's volume: models and whether they are READY, failures, what is unfinished.

    With PATH every file below it, with its size.
    """
    from factory.commands.volume_content import list_content

    list_content(recipe, named, below, as_json)


@volumes.command()
@options.recipe
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--to", metavar="PATH", help="Path on the volume; a folder with a slash at its end or several files.")
@named
@options.as_json
def put(recipe: Path, files: tuple[Path, ...], to: str | None, named: str | None, as_json: bool) -> None:
    """Write files of this machine to RECIPE's volume; prints where a worker finds each."""
    from factory.commands.volume_content import put_files

    put_files(recipe, named, files, to, as_json)


@volumes.command()
@options.recipe
@click.option("--check", "checks_ready", is_flag=True, help="Read also what is READY; replace what is wrong.")
@named
@options.as_json
def prefill(recipe: Path, checks_ready: bool, named: str | None, as_json: bool) -> None:
    """Bring RECIPE's models from the Hub to its volume, before a worker is paid for waiting.

    Through this machine's memory, never its disk. Killed, it goes on where it was: parts that arrived stay. A worker
    that starts afterwards finds its models READY.
    """
    from factory.commands.volume_content import prefill_volume

    prefill_volume(recipe, named, checks_ready, as_json)


@volumes.command()
@options.recipe
@named
@options.as_json
def verify(recipe: Path, named: str | None, as_json: bool) -> None:
    """Read RECIPE's models on its volume again, whole, and check every digest; exit code 117 when one is wrong."""
    from factory.commands.volume_content import verify_volume

    verify_volume(recipe, named, as_json)
