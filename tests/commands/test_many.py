"""Several recipes in one command: who goes first, what is made once, and that one failure stops nobody else."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from fake_doors import FakeDoors
from fake_engine import FakeEngine
from rich.console import Console

from factory import recipe as recipes
from factory.beside import Beside
from factory.commands.display import Display
from factory.commands.lines import Company, Walker
from factory.errors import StepFailed
from factory.pipeline import Line, Machine
from factory.records import BuildOptions, Context, Image, Progress, Tell
from factory.turns import Turns

Factory = Callable[..., "CompletedProcess[str]"]


@dataclass
class WatchedEngine(FakeEngine):
    """An engine that notes whose build began and ended, holds builds until `gate` opens, and fails some."""

    failing: set[str] = field(default_factory=set)
    events: list[str] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def build(self, context: Context, options: BuildOptions, tell: Tell) -> Image:
        """Build when the gate is open, unless this recipe shall fail."""
        with self._lock:
            self.events.append(f"+{context.recipe}")
        self.begun.release()
        tell(Progress("log", "1", "building"))
        assert self.gate.wait(30)
        try:
            if context.recipe in self.failing:
                raise StepFailed("a step failed", where=context.recipe)
            return super().build(context, options, tell)
        finally:
            with self._lock:
                self.events.append(f"-{context.recipe}")


@dataclass
class Place:
    """Recipes in a folder, one engine for all, and the display's plain output."""

    folder: Path
    engine: WatchedEngine = field(default_factory=WatchedEngine)
    out: io.StringIO = field(default_factory=io.StringIO)

    def company(self, environments: dict[str, str], jobs: int) -> Company:
        """Open a recipe per name, each with the step that its environment is known by."""
        walkers = [Walker(self._write(name, step)) for name, step in environments.items()]
        console = Console(file=self.out, width=200, highlight=False, soft_wrap=True)
        display = Display(console, several=list(environments))
        beside, turns = Beside(), Turns()
        for walker in walkers:
            file = recipes.load(walker.path)
            tell = display.listener(file.recipe.name)
            doors = FakeDoors(engine=self.engine)
            walker.line = Line(file, doors, Machine(self.folder), tell, beside=beside, turns=turns)
        return Company(walkers, display, "build", jobs)

    def _write(self, name: str, step: str) -> Path:
        path = self.folder / f"{name}.yaml"
        steps = f"[{step}]" if step else "[]"
        path.write_text(
            f"name: {name}\nimage: {{repository: acme/{name}, steps: {steps}}}\nhandler: echo\n"
            "tests: [{input: {a: 1}, expect: {a: 1}}]\n"
        )
        return path


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A folder and an engine whose gate is open."""
    made = Place(tmp_path)
    made.engine.gate.set()
    return made


def test_one_of_each_environment_goes_first(place: Place) -> None:
    """By one worker: first the largest group's first, then the other group's, then those that share."""
    company = place.company({"one": "x", "two": "y", "three": "y", "four": "x", "five": "y"}, jobs=1)
    company.run()
    assert [event for event in place.engine.events if event[0] == "+"] == ["+two", "+one", "+three", "+five", "+four"]
    assert all(walker.error is None for walker in company.walkers)


def test_the_others_wait_while_one_makes_what_they_share(place: Place) -> None:
    """Four workers and two environments: two builds are under way, no third begins before one has ended."""
    place.engine.gate.clear()
    company = place.company({"one": "x", "two": "x", "three": "x", "four": "y"}, jobs=4)
    thread = threading.Thread(target=company.run)
    thread.start()
    for _ in range(2):
        assert place.engine.begun.acquire(timeout=30)
    assert place.engine.events == ["+one", "+four"] or place.engine.events == ["+four", "+one"]
    place.engine.gate.set()
    thread.join(30)
    assert not thread.is_alive()
    events = place.engine.events
    assert max(events.index("+two"), events.index("+three")) > events.index("-one")
    assert sorted(event for event in events if event[0] == "-") == ["-four", "-one", "-three", "-two"]


@pytest.mark.parametrize("jobs", [1, 4])
def test_one_failure_stops_nobody_and_the_next_takes_over(place: Place, jobs: int) -> None:
    """The first of a group fails: the next makes the environment, the third comes after it; the display says all."""
    place.engine.failing = {"one"}
    company = place.company({"one": "x", "two": "x", "three": "x", "four": "y"}, jobs=jobs)
    company.run()
    events = place.engine.events
    assert {walker.name for walker in company.walkers if walker.error} == {"one"}
    assert events.index("-one") < events.index("+two") < events.index("-two") < events.index("+three")
    said = place.out.getvalue()
    assert "✗ one    build failed after" in said
    assert all(f"✓ {name:5}  " in said for name in ("two", "three", "four"))


def test_ctrl_c_reaches_every_thread(place: Place) -> None:
    """stop() ends builds under way at their next word, and nothing that waits begins."""
    place.engine.gate.clear()
    company = place.company({"one": "x", "two": "x", "three": "y", "four": "y"}, jobs=4)
    ended: list[BaseException] = []

    def run() -> None:
        try:
            company.run()
        except KeyboardInterrupt as error:
            ended.append(error)

    company.display.stop()  # before the first word of any stage: what comes next raises
    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    assert ended and not thread.is_alive()
    assert not place.engine.built


def test_a_failure_that_meets_all_alike_is_said_once(factory: Factory, hub: str, tmp_path: Path) -> None:
    """No engine in reach: one sentence with the recipes' names, a table with each, and the failure's exit code."""
    address = hub.removeprefix("http://")
    paths = []
    for name in ("one", "two", "three"):
        paths.append(tmp_path / f"{name}.yaml")
        paths[-1].write_text(
            f"name: {name}\nimage: {{repository: acme/{name}}}\nhandler: echo\ntests: [{{input: {{a: 1}}}}]\n"
        )
    done = factory("build", *paths, "--jobs", "2", FACTORY_REGISTRY=address, FACTORY_BASE=f"{address}/base:1")
    assert (done.returncode, done.stdout) == (51, "")
    assert done.stderr.count("error: ") == 1
    assert "one, two, three alike" in done.stderr
    assert done.stderr.count("failed (engine_unreachable)") == 3
    assert "3 of 3 recipes failed" in done.stderr


def test_a_file_that_is_no_recipe_stops_nobody(factory: Factory, hub: str, tmp_path: Path) -> None:
    """An unreadable recipe is its own failure, in the table by its file's name; the exit code is the first one's."""
    address = hub.removeprefix("http://")
    (tmp_path / "broken.yaml").write_text("name: [")
    good = tmp_path / "good.yaml"
    good.write_text("name: good\nimage: {repository: acme/good}\nhandler: echo\ntests: [{input: {a: 1}}]\n")
    environ = {"FACTORY_REGISTRY": address, "FACTORY_BASE": f"{address}/base:1"}
    done = factory("build", tmp_path / "broken.yaml", good, **environ)
    assert done.returncode == 10
    assert "failed (recipe)" in done.stderr and "failed (engine_unreachable)" in done.stderr
