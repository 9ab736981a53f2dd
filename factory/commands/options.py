"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

recipe = click.argument("recipe", type=click.Path(path_type=Path))
recipes = click.argument("recipes", type=click.Path(path_type=Path), nargs=-1, required=True)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
network = click.option(
    "--network", type=click.Choice(["host"]), help="Network of this machine for RUN steps and test runs."
)
ca_file = click.option(
    "--ca",
    "ca_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="PEM bundle to trust while RUN steps run; leaves no trace in the image.",
)
jobs = click.option(
    "--jobs", type=click.IntRange(1, 32), default=1, show_default=True, help="Recipes worked on at once."
)
locked = click.option(
    "--locked", "must_be_locked", is_flag=True, help="Refuse a recipe without a lock, or with one that is not its own."
)


def _choose_builder(context: click.Context, _parameter: click.Parameter, name: str | None) -> None:
    from factory import settings

    if name:
        context.with_resource(settings.flag("FACTORY_BUILDER", name))


builder = click.option(
    "--builder",
    metavar="NAME",
    expose_value=False,
    callback=_choose_builder,
    help="Buildx builder that builds and pushes instead of the engine (docs/builders.md).",
)
lane = click.option(
    "--lane",
    type=click.Choice(["auto", "docker", "patch"]),
    default="auto",
    show_default=True,
    help="How the image comes into its registry: by the engine, or put together there (docs/lanes.md).",
)
compress = click.option(
    "--compress",
    type=click.Choice(["auto", "gzip", "none"]),
    default="auto",
    show_default=True,
    help="Weights that go straight to the registry: auto decides by a sample and the uplink (docs/baking.md).",
)
force = click.option("--force", is_flag=True, help="Build even when the image is there already.")
