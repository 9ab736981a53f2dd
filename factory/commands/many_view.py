"""What became of recipes that were built or pushed: a line each, and of several a table with what was shared."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import click
from rich.text import Text

from factory.commands.saying import say
from factory.commands.tables import new_grid, open_console
from factory.errors import FactoryError
from factory.records import Image, Manifest
from factory.wording import count_text, seconds_text, size_text

if TYPE_CHECKING:
    from factory.commands.lines import Goal, Walker
    from factory.pipeline import Line, Stage

MAKING: tuple[Stage, ...] = ("build", "push")


def show(walkers: Sequence[Walker], goal: Goal, seconds: float, *, as_json: bool) -> None:
    """Print results on stdout, failures and the summary on stderr; exit with the first failure's code."""
    manifests = _manifests(walkers) if goal == "push" and len(walkers) > 1 else {}
    if as_json:
        click.echo(
            json.dumps([_record(walker, goal, manifests, place) for place, walker in enumerate(walkers)], indent=2)
        )
    for walker in walkers:
        if walker.line and not walker.error and not as_json:
            click.echo(walker.line.pushed.reference if goal == "push" else walker.line.context.reference)
    failed = [walker.error for walker in walkers if walker.error]
    _say_errors(walkers)
    if len(walkers) > 1:
        _print_table(walkers, goal)
        _print_totals(walkers, manifests, seconds)
    if failed:
        click.get_current_context().exit(failed[0].exit_code)


def _say_errors(walkers: Sequence[Walker]) -> None:
    """Say each failure; one that met several recipes alike (a template, the registry) once, with their names."""
    met: dict[str, list[Walker]] = {}
    for walker in walkers:
        if walker.error:
            met.setdefault(str(walker.error), []).append(walker)
    for alike in met.values():
        if error := alike[0].error:
            say(error)
        if len(alike) > 1:
            click.echo(f"    {', '.join(walker.name for walker in alike)} alike", err=True)


def _manifests(walkers: Sequence[Walker]) -> dict[int, Manifest]:
    """Return the manifest of each pushed image, by the recipe's place: it says what one image alone would send."""

    def ask(walker: Walker) -> Manifest | None:
        if walker.line is None or walker.error:
            return None
        try:
            return walker.line.doors.registry.manifest(walker.line.pushed.reference)
        except FactoryError:
            return None  # the image is pushed: a sum that can't be told is no failure

    with ThreadPoolExecutor(8) as pool:
        return {n: found for n, found in enumerate(pool.map(ask, walkers)) if found is not None}


def _record(walker: Walker, goal: Goal, manifests: dict[int, Manifest], place: int) -> dict[str, object]:
    """Return what `--json` prints for a recipe; `whole_bytes` is what its image alone would send."""
    line = walker.line
    if walker.error or line is None:
        return {"recipe": str(walker.path), "error": walker.error.as_record() if walker.error else None}
    record: dict[str, object] = {"recipe": str(walker.path), "name": walker.name}
    record |= {"tag": line.context.reference, "lane": _lane(line)}
    if image := _image(line):
        record |= {"image_id": image.id, "was_built": image.was_built, "unpacked_bytes": image.unpacked_bytes}
    if goal == "push":
        record |= {"image": line.pushed.reference, "sent_bytes": line.pushed.sent_bytes}
    if place in manifests:
        record["whole_bytes"] = manifests[place].compressed_bytes
    record["stages"] = line.story
    record["seconds"] = {name: round(took, 3) for name, took in line.seconds.items()}
    return record | {"total_seconds": round(walker.seconds, 3)}


def _image(line: Line) -> Image | None:
    """Return the engine's image; None when the engine had nothing to do."""
    found: Image | None = vars(line).get("image")
    return found


def _lane(line: Line) -> str:
    """Return the way that the image came: by the engine, put together in the registry, or `none`: it was there."""
    return "patch" if line.is_assembled else "docker" if _image(line) else "none"


def _print_table(walkers: Sequence[Walker], goal: Goal) -> None:
    """Print a row for each recipe."""
    grid = new_grid("left", "left", "left", "left", "right", "right")
    grid.add_row(*(Text(word, "dim") for word in ("recipe", "state", "lane", "built", "sent", "seconds")))
    for walker in walkers:
        grid.add_row(walker.name, *_cells(walker, goal), f"{walker.seconds:.1f}")
    open_console(sys.stderr).print(grid)


def _cells(walker: Walker, goal: Goal) -> tuple[Text, str, str, str]:
    """Return state, lane, what was built, and what was sent."""
    line = walker.line
    if walker.error or line is None:
        return Text(f"failed ({walker.error.code if walker.error else 'bug'})", "red"), "", "", ""
    made = [line.stages[name].state for name in MAKING if name in line.stages]
    state = "unchanged" if set(made) == {"unchanged"} else "pushed" if goal == "push" else "built"
    image = _image(line)
    sent = size_text(line.pushed.sent_bytes) if goal == "push" else ""
    return Text(state, "green"), _lane(line), "yes" if image and image.was_built else "no", sent


def _print_totals(walkers: Sequence[Walker], manifests: dict[int, Manifest], seconds: float) -> None:
    """Print what all of them took together."""
    failed = sum(walker.error is not None for walker in walkers)
    parts = [f"{count_text(len(walkers), 'recipe')} in {seconds_text(seconds)}"]
    if failed:
        parts.append(f"{failed} of {len(walkers)} recipes failed")
    if manifests:
        sent = sum(walker.line.pushed.sent_bytes for walker in walkers if walker.line and not walker.error)
        whole = sum(manifest.compressed_bytes for manifest in manifests.values())
        once = sum(
            {blob.digest: blob.size_bytes for m in manifests.values() for blob in (m.config, *m.layers)}.values()
        )
        parts.append(f"{size_text(sent)} sent")
        parts.append(f"the images hold {size_text(whole)}, what they share counted once {size_text(once)}")
    click.echo("; ".join(parts), err=True)
