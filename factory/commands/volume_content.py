"""`factory volumes ls`, `put`, `prefill` and `verify` at work: what lies on a recipe's volume."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console

from factory import recipe as recipes
from factory import settings, wiring
from factory.account import Volume
from factory.commands.display import Display
from factory.commands.output import print_json
from factory.commands.tables import new_grid, open_console
from factory.errors import AmbiguousName, StoreMissing, WeightsWrong
from factory.pipeline import Line
from factory.recipe.load import RecipeFile
from factory.records import Tell
from factory.telling import stage
from factory.volume import putting
from factory.volume.inventory import Inventory, ModelThere, take_stock
from factory.volume.prefill import Filled, How, prefill
from factory.volume.verifying import Verdict, verify
from factory.wording import count_text, size_text

SHOWN = 20  # wrong files in words; --json has all


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was typed: a recipe, its machine, and the volume that it means."""

    machine: settings.Settings
    file: RecipeFile
    volume: Volume

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.file.recipe.name


def list_content(path: Path, volume: str | None, below: str | None, as_json: bool) -> None:
    """Print what lies on the volume, or every file below a path."""
    chosen = _chosen(path, volume)
    store = wiring.volume_store(chosen.machine, chosen.volume)
    if below is None:
        found = take_stock(chosen.volume, store)
        print_json(found) if as_json else _show(found)
        return
    store.demand()
    prefix = below.removeprefix("/runpod-volume").strip("/")
    files = [o for o in store.list(prefix) if o.path == prefix or o.path.startswith(f"{prefix}/" if prefix else "")]
    if as_json:
        print_json(files)
        return
    for o in files:
        click.echo(f"{o.size_bytes:>14} {o.changed_at} {o.path}")
    click.echo(f"{count_text(len(files), 'file')}, {size_text(sum(o.size_bytes for o in files))}", err=True)


def put_files(path: Path, volume: str | None, files: Sequence[Path], to: str | None, as_json: bool) -> None:
    """Write files of this machine to the volume."""
    chosen = _chosen(path, volume)
    store = wiring.volume_store(chosen.machine, chosen.volume)
    with _display() as display, stage("put", display.listener(chosen.name)("provision")) as told:
        done = putting.put(files, to, store, told.tell)
        total_bytes = sum(one.size_bytes for one in done)
        told.summary = f"{count_text(len(done), 'file')}, {size_text(total_bytes)}"
    if as_json:
        print_json(done)
        return
    for one in done:
        click.echo(f"/runpod-volume/{one.path}")


def prefill_volume(path: Path, volume: str | None, checks_ready: bool, as_json: bool) -> None:
    """Bring the recipe's models from the Hub to the volume."""
    chosen = _chosen(path, volume)
    store = wiring.volume_store(chosen.machine, chosen.volume)
    source = wiring.weight_source(chosen.machine)
    with _line(chosen) as (line, tell):
        models = line.models
        with stage("prefill", tell) as told:
            filled = prefill(
                chosen.name, models, chosen.volume, store, source, told.tell, How(checks_ready=checks_ready)
            )
            told.summary = _summary(filled)
    if as_json:
        print_json(filled)
        return
    for folder in filled.folders:
        click.echo(f"/runpod-volume/models/{folder}")


def verify_volume(path: Path, volume: str | None, as_json: bool) -> None:
    """Read every digest again, and exit with 117 when one is wrong."""
    chosen = _chosen(path, volume)
    store = wiring.volume_store(chosen.machine, chosen.volume)
    with _line(chosen) as (line, tell):
        models = line.models
        with stage("verify", tell) as told:
            found = verify(chosen.name, models, chosen.volume, store, told.tell)
            read = f"{count_text(len(found.files), 'file')}, {size_text(found.read_bytes)} read"
            told.summary = f"{read}, {len(found.wrong)} wrong" if found.wrong else f"{read}, all right"
    if as_json and not found.wrong:
        print_json(found)
    _demand_right(found, chosen, path)


def _demand_right(found: Verdict, chosen: Chosen, path: Path) -> None:
    if not found.wrong:
        return
    for one in found.wrong[:SHOWN]:
        click.echo(f"{one.state:12} {one.path}{f' ({one.found})' if one.found else ''}", err=True)
    if len(found.wrong) > SHOWN:
        click.echo(f"and {len(found.wrong) - SHOWN} more", err=True)
    raise WeightsWrong(
        f"{len(found.wrong)} of {count_text(len(found.files), 'file')} wrong, first {found.wrong[0].path} "
        f"({found.wrong[0].state})",
        where=f"volume {chosen.volume.name} ({chosen.volume.id})",
        fix=f"run `factory volumes prefill {path} --check`",
        details={"wrong": [{"path": w.path, "state": w.state, "found": w.found} for w in found.wrong]},
    )


# --- from words to a volume --------------------------------------------------------------------------------------
def _chosen(path: Path, named: str | None) -> Chosen:
    """Load the recipe and find its volume. Raises StoreMissing when there is none, AmbiguousName with several."""
    machine = settings.read()
    file = recipes.load(path)
    name = named or file.recipe.volume_name
    found = [v for v in wiring.Account(machine).cloud.volumes() if name in (v.name, v.id)]
    where = f"volume {name}"
    if not found:
        fix = f"make it: `factory provision {path}`, or name another with --volume"
        raise StoreMissing("the account has no such volume", where=where, fix=fix)
    if len(found) > 1:
        ids = ", ".join(f"{volume.id} in {volume.data_center}" for volume in found)
        raise AmbiguousName(
            f"{len(found)} volumes have that name ({ids})", where=where, fix="name one with --volume ID"
        )
    return Chosen(machine, file, found[0])


# --- progress ----------------------------------------------------------------------------------------------------
@contextmanager
def _line(chosen: Chosen) -> Iterator[tuple[Line, Tell]]:
    """Put the recipe on the road as far as its models, with the display while the block runs."""
    clients = wiring.Clients(chosen.machine, chosen.file)
    with _display() as display:
        listener = display.listener(chosen.name)
        line = Line(chosen.file, clients, wiring.machine(chosen.machine, chosen.file), listener)
        yield line, listener("provision")


def _display() -> Display:
    return Display(Console(stderr=True, highlight=False, soft_wrap=True))


# --- in words ----------------------------------------------------------------------------------------------------
def _summary(filled: Filled) -> str:
    parts = [f"{size_text(filled.sent_bytes)} sent"]
    if filled.kept_bytes:
        parts.append(f"{size_text(filled.kept_bytes)} had been sent before")
    if filled.ready_bytes:
        parts.append(f"{size_text(filled.ready_bytes)} were there")
    return f"{count_text(filled.files, 'file')} ready: {', '.join(parts)}"


def _show(found: Inventory) -> None:
    console = open_console()
    grid = new_grid("left", "left", "right", "right", "left")
    grid.add_row("MODEL", "COMMIT", "FILES", "SIZE", "STATE")
    for model in found.models:
        grid.add_row(model.repo, model.commit[:12], str(model.files), size_text(model.size_bytes), _state(model))
    for other in found.others:
        grid.add_row(other.name, "", str(other.files), size_text(other.size_bytes), "not factory's")
    if found.models or found.others:
        console.print(grid)
    for failure in found.failures:
        click.echo(f"failure {failure.at} {failure.worker} {failure.code}: {failure.sentence}")
    used = f"{size_text(found.size_bytes)} of {size_text(found.volume_bytes)} used"
    click.echo(f"{used}; recipes: {', '.join(found.recipes) or 'none'}", err=True)


def _state(model: ModelThere) -> str:
    """Say how far a model is."""
    if model.is_ready:
        state = "READY"
    elif model.ready_files:
        state = f"READY, {model.ready_files} of {model.files} files marked"
    else:
        state = "not ready"
    if model.partial_bytes:
        state += f", {size_text(model.partial_bytes)} on their way (.partial)"
    return f"{state}, {count_text(model.uploads, 'upload')} unfinished" if model.uploads else state
