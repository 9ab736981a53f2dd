"""`factory volumes` at work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from factory import recipe as recipes
from factory import settings, wiring
from factory.account import Endpoint, Volume
from factory.commands.output import print_json
from factory.commands.tables import new_grid, open_console
from factory.errors import AmbiguousName, CannotChange, FactoryError
from factory.provisioning.costs import volume_usd_per_month
from factory.wording import money_text


@dataclass(frozen=True, slots=True)
class UsedVolume:
    """A volume with its price and users, as `--json` prints it."""

    name: str
    id: str
    size_gb: int
    data_center: str
    usd_per_month: float
    recipes: tuple[str, ...]
    endpoints: tuple[str, ...]


def list_volumes(folder: Path, as_json: bool) -> None:
    """Print every volume of the account with its users."""
    cloud = wiring.Account(settings.read()).cloud
    endpoints = cloud.endpoints()
    users = _users(folder)
    rows = [_used(volume, endpoints, users) for volume in sorted(cloud.volumes(), key=lambda v: (v.name, v.id))]
    if as_json:
        print_json(rows)
        return
    if not rows:
        click.echo("no volumes", err=True)
        return
    grid = new_grid("left", "left", "right", "left", "right", "left", "left")
    grid.add_row("NAME", "ID", "SIZE", "DATA CENTRE", "A MONTH", "RECIPES", "ENDPOINTS")
    for row in rows:
        size, cost = f"{row.size_gb} GB", money_text(row.usd_per_month)
        used = [", ".join(names) or "-" for names in (row.recipes, row.endpoints)]
        grid.add_row(row.name, row.id, size, row.data_center, cost, *used)
    open_console().print(grid)
    click.echo(f"{money_text(sum(row.usd_per_month for row in rows))} a month in all, used or not", err=True)


def _used(volume: Volume, endpoints: tuple[Endpoint, ...], users: dict[str, list[str]]) -> UsedVolume:
    return UsedVolume(
        name=volume.name,
        id=volume.id,
        size_gb=volume.size_gb,
        data_center=volume.data_center,
        usd_per_month=volume_usd_per_month(volume.size_gb),
        recipes=tuple(users.get(volume.name, ())),
        endpoints=tuple(sorted(e.spec.name for e in endpoints if volume.id in e.spec.volume_ids)),
    )


def _users(folder: Path) -> dict[str, list[str]]:
    """Return volume name → the recipes of a folder that keep models there; a file that can't be read uses none."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*.yaml")):
        try:
            recipe = recipes.load(path).recipe
        except FactoryError:
            continue
        needs = recipe.volume is not None or recipe.disk.volume != "auto"
        if needs or any(model.placement in ("volume", "auto") for model in recipe.models):
            found.setdefault(recipe.volume_name, []).append(recipe.name)
    return found


def grow_volume(name: str, size_gb: int) -> None:
    """Make a volume larger, and print what it costs then."""
    cloud = wiring.Account(settings.read()).cloud
    found = [volume for volume in cloud.volumes() if name in (volume.name, volume.id)]
    where = f"volume {name}"
    if not found:
        raise CannotChange("the account has no such volume", where=where, fix="see `factory volumes`")
    if len(found) > 1:
        ids = ", ".join(f"{volume.id} in {volume.data_center}" for volume in found)
        raise AmbiguousName(f"{len(found)} volumes have that name ({ids})", where=where, fix="name one by its id")
    if size_gb < found[0].size_gb:
        raise CannotChange(
            f"it has {found[0].size_gb} GB, and volumes never shrink", where=where, fix="name a larger size"
        )
    volume = found[0] if size_gb == found[0].size_gb else cloud.grow_volume(found[0], size_gb)
    click.echo(f"{volume.name} {volume.size_gb} GB {money_text(volume_usd_per_month(volume.size_gb))} a month")
