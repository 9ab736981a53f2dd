"""RunPod in a box for tests: served on a loopback port, with a clock that stands still unless a test moves it.

with emulated() as runpod:
    client = RestClient(runpod.url, …)                       # RUNPOD_API_BASE_URL; jobs at runpod.jobs_url
    runpod.call(lambda box: box.world.create_volume(…))      # what happens in the box, in its own thread
    runpod.advance(60)                                       # a minute passes, and the box ticks
    runpod.faults.append(Fault("hold", path="/v2/templates", method="POST", after=True))
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from factory.emulator.faults import Call, Fault
from factory.emulator.runpod.app import create_runpod
from factory.emulator.runpod.box import Box
from factory.emulator.runpod.catalogue import Catalogue
from factory.emulator.runpod.clock import Clock, StepClock
from factory.emulator.runpod.entities import Container, Endpoint, Person, Template
from factory.emulator.runpod.launcher import Launcher
from factory.emulator.serve import running

KEY = "rpa_emulated"
"""A key that any box without keys of its own takes."""
T = TypeVar("T")


@dataclass
class Emulated:
    """A box that is being served. `url` is what RUNPOD_API_BASE_URL would hold."""

    url: str
    box: Box

    @property
    def jobs_url(self) -> str:
        """What RUNPOD_ENDPOINT_BASE_URL would hold."""
        return f"{self.url}/v2"

    @property
    def faults(self) -> list[Fault]:
        """What goes wrong on the next calls."""
        return self.box.faults

    @property
    def calls(self) -> list[Call]:
        """Every call so far."""
        return self.box.calls

    def call(self, function: Callable[[Box], T]) -> T:
        """Do something with the box in its own thread, and return what came of it."""

        async def do() -> T:
            return function(self.box)

        return self._there(do())

    def tick(self) -> None:
        """Let everything happen that is due."""
        self._there(self.box.tick())

    def advance(self, seconds: float) -> None:
        """Move a StepClock, and let everything happen that is due then."""
        assert isinstance(self.box.clock, StepClock), "this box has the real clock"
        self.box.clock.advance(seconds)
        self.tick()

    def empty(self) -> None:
        """Remove all that the account holds, the faults, and the log of calls: a box may serve many tests."""

        def remove(box: Box) -> None:
            world = box.world
            for endpoint_id in list(world.endpoints):
                world.delete_endpoint(endpoint_id)
            for held, delete in (
                (world.templates, world.delete_template),
                (world.volumes, world.delete_volume),
                (world.logins, world.delete_login),
                (world.secrets, world.delete_secret),
            ):
                for thing_id in list(held):
                    delete(thing_id)

        self.call(remove)
        self.faults.clear()
        self.calls.clear()

    def _there(self, what: Awaitable[T]) -> T:
        assert self.box.loop is not None, "this box is not being served"

        async def wait() -> T:
            return await what

        return asyncio.run_coroutine_threadsafe(wait(), self.box.loop).result(timeout=60)


@contextmanager
def emulated(
    *,
    clock: Clock | None = None,
    launcher: Launcher | None = None,
    hub: Path | None = None,
    state: Path | None = None,
    keys: frozenset[str] | None = None,
    person: Person | None = None,
    catalogue: Catalogue | None = None,
    faults: list[Fault] | None = None,
    host: str = "127.0.0.1",
) -> Iterator[Emulated]:
    """Serve a box while the block runs; without a `clock` its time stands still."""
    app = create_runpod(
        clock=clock or StepClock(),
        launcher=launcher,
        hub=hub,
        state=state,
        keys=keys,
        person=person,
        catalogue=catalogue,
        faults=faults,
    )
    with running(app, host=host) as url:
        yield Emulated(url, app.state.box)


def an_endpoint(name: str = "minilm", **fields: object) -> Endpoint:
    """Return the draft of a queue endpoint on one pool; `fields` replace its own."""
    draft = Endpoint("", name, "QUEUE", Container("localhost:5000/org/worker:1"), pools=["ADA_24"])
    return _with(draft, fields)


def a_template(name: str = "minilm", **fields: object) -> Template:
    """Return the draft of a serverless template; `fields` replace its own."""
    return _with(Template("", name, Container("localhost:5000/org/worker:1"), is_serverless=True), fields)


def _with(draft: T, fields: dict[str, object]) -> T:
    for name, value in fields.items():
        setattr(draft, name, value)
    return draft
