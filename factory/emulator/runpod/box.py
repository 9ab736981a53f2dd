"""The box: one account's clock, world, jobs, workers and troubles, wired together and ticking."""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs

from starlette.types import Scope

from factory.emulator.faults import Call, Fault
from factory.emulator.hub_repos import Repositories
from factory.emulator.runpod.catalogue import Catalogue
from factory.emulator.runpod.clock import Clock
from factory.emulator.runpod.disks import SCRATCH_PREFIX, Disks
from factory.emulator.runpod.fleet import Fleet
from factory.emulator.runpod.jobs import Jobs
from factory.emulator.runpod.launcher import Launcher
from factory.emulator.runpod.troubles import Troubles
from factory.emulator.runpod.world import World

TICK_S = 0.1
"""Real seconds between two ticks of a box that is served."""
log = logging.getLogger(__name__)


@dataclass
class Box:
    """One emulated account; every face works on this.

    `keys` are the API keys that are valid (None: any that isn't empty). `worker_key` is what the box gives its own
    workers, always valid. `url` is where workers reach the box, `loop` where it runs; empty until it is served. With
    `has_hub` workers are told that the Hub is here as well; `models` are its repositories. `scratch` goes with the box.
    """

    clock: Clock
    world: World
    catalogue: Catalogue
    jobs: Jobs
    fleet: Fleet
    troubles: Troubles
    faults: list[Fault] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    keys: frozenset[str] | None = None
    worker_key: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    url: str = ""
    loop: asyncio.AbstractEventLoop | None = None
    has_hub: bool = False
    scratch: TemporaryDirectory[str] | None = None
    models: Repositories | None = None

    def accepts(self, scope: Scope) -> bool:
        """Say whether a call brings a valid key: `Authorization: Bearer KEY` or the bare key, or `?api_key=`."""
        key = key_of(scope)
        return bool(key) and (self.keys is None or key in self.keys or key == self.worker_key)

    def serve_at(self, url: str) -> None:
        """Hear under which URL the box is being served."""
        self.url = self.fleet.url = url
        if self.has_hub:
            self.fleet.worker_env["HF_ENDPOINT"] = url

    async def tick(self) -> None:
        """Let everything happen that is due by the clock."""
        self.jobs.tick()
        await self.fleet.tick()

    async def run(self) -> None:
        """Tick until cancelled; a tick that fails is logged, and the next one comes a little later."""
        self.loop = asyncio.get_running_loop()
        while True:
            pause_s = TICK_S
            try:
                await self.tick()
            except Exception:
                log.exception("a tick of the emulator failed")
                pause_s = 10 * TICK_S
            await asyncio.sleep(pause_s)

    async def close(self) -> None:
        """Stop the workers, and let go of the state folder."""
        await self.fleet.stop_all()
        if self.world.store:
            self.world.store.close()
        if self.scratch:
            self.scratch.cleanup()


def make_box(
    clock: Clock,
    world: World,
    catalogue: Catalogue,
    launcher: Launcher | None = None,
    *,
    keys: frozenset[str] | None = None,
    faults: list[Fault] | None = None,
    calls: list[Call] | None = None,
) -> Box:
    """Wire a box around a world. Volumes lie in the world's state folder, or in one that goes with the box."""
    jobs = Jobs(world)
    troubles = Troubles(world, catalogue)
    scratch = TemporaryDirectory(prefix=SCRATCH_PREFIX) if launcher and not world.store else None
    folder = Path(scratch.name) if scratch else world.store.folder / "volumes" if world.store else None
    disks = Disks(folder) if launcher and folder else None
    fleet = Fleet(world, catalogue, jobs, launcher, troubles, disks)
    box = Box(
        clock,
        world,
        catalogue,
        jobs,
        fleet,
        troubles,
        faults if faults is not None else [],
        calls if calls is not None else [],
        keys,
        scratch=scratch,
    )
    fleet.worker_key = box.worker_key
    return box


def key_of(scope: Scope) -> str:
    """Return the API key that a call brings, or nothing."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            header: str = value.decode("latin-1")
            if key := header.removeprefix("Bearer ").strip():
                return key
    query: str = scope["query_string"].decode("latin-1")
    return parse_qs(query).get("api_key", [""])[0]
