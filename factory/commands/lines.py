"""Recipes put on the road: one for a command that asks a question, several for `build` and `push`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from factory import recipe as recipes
from factory import settings, wiring
from factory.beside import Beside
from factory.commands.display import Display
from factory.errors import FactoryError, Interrupted
from factory.lanes.packing import Compress
from factory.layering.ordering import Queue
from factory.pipeline import Line
from factory.recipe import RecipeFile
from factory.shipping import Lane
from factory.turns import Turns
from factory.wording import seconds_text

Goal = Literal["build", "push"]
PATIENCE_S = 2.0  # for a registry that doesn't answer somebody who only looks


@contextmanager
def open_line(path: Path, *, network: str | None = None) -> Iterator[Line]:
    """Put one recipe on the road, with the display while the block runs."""
    file = recipes.load(path)
    machine_settings = settings.read()
    machine = wiring.machine(machine_settings, file, network=network)
    with Display() as display:
        yield Line(file, wiring.Clients(machine_settings, file), machine, display.listener(file.recipe.name))


@contextmanager
def open_lines(paths: Sequence[Path]) -> Iterator[list[Line]]:
    """Put several recipes on the road that share what they ask, with the display while the block runs."""
    files = [recipes.load(path) for path in paths]
    machine_settings = settings.read()
    shared = wiring.Shared(machine_settings, patience_s=PATIENCE_S)
    beside, turns = Beside(), Turns()
    with Display() as display:
        yield [
            Line(
                file,
                wiring.Clients(machine_settings, file, shared),
                wiring.machine(machine_settings, file),
                display.listener(file.recipe.name),
                beside=beside,
                turns=turns,
            )
            for file in files
        ]


@dataclass(slots=True)
class Walker:
    """One recipe of a command: how far it came, or the error that stopped it; `seconds` of its own, waits aside."""

    path: Path
    line: Line | None = None
    error: FactoryError | None = None
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """The recipe's name, or its file's while that can't be read."""
        return self.line.file.recipe.name if self.line else self.path.stem

    @property
    def ending(self) -> str:
        """How it came out, in a few words."""
        stages = self.line.stages if self.line else {}
        if self.error:
            place = next((name for name, ended in stages.items() if ended.state == "failed"), "recipe")
            return f"{place} failed after {seconds_text(self.seconds)}"
        said = [stages[name].summary for name in ("push", "build") if name in stages]
        return f"{said[0]}, {seconds_text(self.seconds)}" if said else seconds_text(self.seconds)

    def walk(self, stage: Callable[[Line], object]) -> None:
        """Go on, and keep what stops it; Ctrl-C goes on to whoever waits for it."""
        if self.line is None or self.error:
            return
        started_s = time.monotonic()
        try:
            stage(self.line)
        except Interrupted:
            raise
        except FactoryError as error:
            self.error = error
        finally:
            self.seconds += time.monotonic() - started_s


@dataclass
class Company:
    """The recipes of one command: they share what is asked of the Hub and the registries, and wait for each other."""

    walkers: Sequence[Walker]
    display: Display
    goal: Goal
    jobs: int
    clients: list[wiring.Clients] = field(default_factory=list)
    queue: Queue = field(default_factory=lambda: Queue(()))

    @property
    def is_alone(self) -> bool:
        """Is it one recipe?"""
        return len(self.walkers) == 1

    def prepare(self, walker: Walker) -> None:
        """Find out what a recipe needs: all that can be wrong before anything is spent."""
        walker.walk(lambda line: (line.findings, line.plan, line.context))
        if walker.error:
            self.say_end(walker)
        elif not self.is_alone:
            self.display.wait(walker.name, "its turn")

    def order(self) -> None:
        """Queue the recipes, and say who waits for whom."""
        keys = [_key(walker) for walker in self.walkers]
        self.queue = Queue(keys)
        for first, walker in zip(map(keys.index, keys), self.walkers, strict=True):
            if not walker.error and walker is not self.walkers[first]:
                self.display.wait(walker.name, f"{self.walkers[first].name}'s environment")

    def work(self) -> None:
        """Take recipes until there are none left."""
        while (item := self.queue.take()) is not None:
            walker = self.walkers[item]
            had_failed = walker.error is not None
            if walker.line is not None:  # those who share it may go while this one sends weights of its own
                walker.line.has_environment = partial(self.queue.end, item, is_made=True)
            try:
                walker.walk(lambda line: line.pushed if self.goal == "push" else line.image)
            finally:
                self.queue.end(item, is_made=walker.error is None)
            if not had_failed:
                self.say_end(walker)

    def stop(self) -> None:
        """Stop what is under way in every thread. Ctrl-C reaches the main one alone."""
        self.display.stop()
        self.queue.close()
        for clients in self.clients:
            clients.interrupt()

    def run(self) -> None:
        """Walk all of them to the goal."""
        if self.jobs == 1 or self.is_alone:  # in this thread, where Ctrl-C arrives
            for walker in self.walkers:
                self.prepare(walker)
            self.order()
            self.work()
            return
        self._in_threads([lambda walker=walker: self.prepare(walker) for walker in self.walkers])  # type: ignore[misc]
        self.order()
        self._in_threads([self.work] * self.jobs)

    def _in_threads(self, tasks: Sequence[Callable[[], None]]) -> None:
        with ThreadPoolExecutor(self.jobs) as pool:
            waiting = [pool.submit(task) for task in tasks]
            try:
                for future in waiting:
                    future.result()
            except BaseException:
                # The others learn of Ctrl-C (or of a bug) by their next event, or as the engine hangs up.
                self.stop()
                pool.shutdown(cancel_futures=True)
                raise

    def say_end(self, walker: Walker) -> None:
        """Let the display say how one of several came out."""
        if not self.is_alone:
            self.display.end(walker.name, walker.ending, is_failed=walker.error is not None)


def walk(
    paths: Sequence[Path],
    goal: Goal,
    *,
    jobs: int,
    force: bool,
    lane: Lane = "auto",
    compress: Compress = "auto",
    must_be_locked: bool = False,
    network: str | None,
    ca_file: Path | None,
    as_json: bool,
) -> None:
    """Walk recipes up to a stage, print what they became, and exit with the first failure's code."""
    from factory.commands.many_view import show

    machine_settings = settings.read()
    walkers = [Walker(path) for path in paths]
    shared, beside, turns = wiring.Shared(machine_settings), Beside(), Turns()
    files = [_load(walker) for walker in walkers]
    started_s = time.monotonic()
    with Display(several=[walker.name for walker in walkers] if len(walkers) > 1 else ()) as display:
        company = Company(walkers, display, goal, jobs)
        for walker, file in zip(walkers, files, strict=True):
            if file is None:
                company.say_end(walker)
                continue
            clients = wiring.Clients(machine_settings, file, shared)
            machine = wiring.machine(machine_settings, file, network=network, ca_file=ca_file)
            tell = display.listener(file.recipe.name)
            walker.line = Line(
                file,
                clients,
                machine,
                tell,
                is_forced=force,
                lane=lane,
                compress=compress,
                must_be_locked=must_be_locked,
                beside=beside,
                turns=turns,
            )
            company.clients.append(clients)
        company.run()
    show(walkers, goal, time.monotonic() - started_s, as_json=as_json)


def _load(walker: Walker) -> RecipeFile | None:
    """Read a recipe; one that can't be read stops nobody else."""
    try:
        return recipes.load(walker.path)
    except FactoryError as error:
        walker.error = error
        return None


def _key(walker: Walker) -> str:
    """Return what a recipe's environment is known by: its digest, or what the recipe says of it."""
    if walker.line is None or walker.error:
        return f"none of {walker.path}"
    context = walker.line.context
    if context.environment is not None:
        return context.environment.digest
    image = walker.line.file.recipe.image
    return f"{context.base.pinned} {image.model_dump_json(exclude={'repository', 'env'})}"
