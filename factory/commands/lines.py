"""Recipes put on the road: one for a command that asks a question, several for `build` and `push`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click

from factory import recipe as recipes
from factory import settings, wiring
from factory.commands.display import Display
from factory.commands.saying import say
from factory.errors import FactoryError, Interrupted
from factory.pipeline import Line


@contextmanager
def open_line(path: Path, *, network: str | None = None) -> Iterator[Line]:
    """Put one recipe on the road, with the display while the block runs."""
    file = recipes.load(path)
    machine_settings = settings.read()
    machine = wiring.machine(machine_settings, file, network=network)
    with Display() as display:
        yield Line(file, wiring.Clients(machine_settings, file), machine, display.listener(file.recipe.name))


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where one recipe came to: the reference it ended with, or the error that stopped it."""

    path: Path
    line: Line | None
    error: FactoryError | None = None

    def as_record(self, stage: Literal["build", "push"]) -> dict[str, object]:
        """Return what `--json` prints for this recipe."""
        if self.error or self.line is None:
            return {"recipe": str(self.path), "error": self.error.as_record() if self.error else None}
        record: dict[str, object] = {"recipe": str(self.path), "name": self.line.file.recipe.name}
        record |= {"tag": self.line.context.reference, "image_id": self.line.image.id}
        record |= {"was_built": self.line.image.was_built, "unpacked_bytes": self.line.image.unpacked_bytes}
        if stage == "push":
            record |= {"image": self.line.pushed.reference, "sent_bytes": self.line.pushed.sent_bytes}
        return record | {"seconds": {name: round(took, 3) for name, took in self.line.seconds.items()}}


def walk(
    paths: Sequence[Path],
    stage: Literal["build", "push"],
    *,
    jobs: int,
    force: bool,
    network: str | None,
    ca_file: Path | None,
    as_json: bool,
) -> None:
    """Walk recipes up to a stage, print what they became, and exit with the first failure's code."""
    machine_settings = settings.read()

    under_way: list[wiring.Clients] = []

    def go(path: Path, display: Display) -> Outcome:
        try:
            file = recipes.load(path)
            machine = wiring.machine(machine_settings, file, network=network, ca_file=ca_file)
            clients = wiring.Clients(machine_settings, file)
            under_way.append(clients)
            line = Line(file, clients, machine, display.listener(file.recipe.name), is_forced=force)
            _ = line.pushed if stage == "push" else line.image
            return Outcome(path, line)
        except Interrupted:
            raise
        except FactoryError as error:
            return Outcome(path, None, error)

    def stop() -> None:
        for clients in under_way:
            clients.interrupt()

    with Display() as display:
        outcomes = _run(paths, jobs, display, go, stop)
    _show(outcomes, stage, as_json)


def _run(
    paths: Sequence[Path], jobs: int, display: Display, go: Callable[[Path, Display], Outcome], stop: Callable[[], None]
) -> list[Outcome]:
    if jobs == 1 or len(paths) == 1:
        return [go(path, display) for path in paths]  # in this thread, where Ctrl-C arrives
    with ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(go, path, display) for path in paths]
        try:
            return [future.result() for future in waiting]
        except (KeyboardInterrupt, Interrupted):
            # Ctrl-C reaches this thread alone: the others learn of it by their next event, or as the engine hangs up.
            display.stop()
            stop()
            pool.shutdown(cancel_futures=True)
            raise


def _show(outcomes: Sequence[Outcome], stage: Literal["build", "push"], as_json: bool) -> None:
    failed = [outcome.error for outcome in outcomes if outcome.error]
    if as_json:
        click.echo(json.dumps([outcome.as_record(stage) for outcome in outcomes], indent=2))
    for outcome in outcomes:
        if outcome.line and not as_json:
            click.echo(outcome.line.pushed.reference if stage == "push" else outcome.line.context.reference)
    for error in failed:
        say(error)
    if failed and len(outcomes) > 1:
        click.echo(f"{len(failed)} of {len(outcomes)} recipes failed", err=True)
    if failed:
        click.get_current_context().exit(failed[0].exit_code)
