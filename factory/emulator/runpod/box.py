"""The box: one account's clock, world, jobs, workers and troubles, wired together and ticking."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.types import Scope

from factory.emulator.faults import Call, Fault
from factory.emulator.runpod.clock import Clock
from factory.emulator.runpod.world import World

if TYPE_CHECKING:
    from factory.emulator.runpod.catalogue import Catalogue
    from factory.emulator.runpod.fleet import Fleet
    from factory.emulator.runpod.jobs import Jobs
    from factory.emulator.runpod.launcher import Launcher
    from factory.emulator.runpod.troubles import Troubles

TICK_S = 0.1
"""Real seconds between two ticks of a box that is served."""
log = logging.getLogger(__name__)


@dataclass
class Box:
    """One emulated account; every face works on this.

    `keys` are the API keys that are valid (None: any that isn't empty). `worker_key` is what the box gives its own
    workers, always valid. `worker_env` is what every worker gets beside RunPod's own environment (HF_ENDPOINT of a hub
    that is served here). `url` is where workers reach the box, `loop` where it runs; empty until it is served.
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
    worker_env: dict[str, str] = field(default_factory=dict)
    url: str = ""
    loop: asyncio.AbstractEventLoop | None = None

    def accepts(self, scope: Scope) -> bool:
        """Say whether a call brings a valid key: `Authorization: Bearer KEY` or the bare key, or `?api_key=`."""
        key = key_of(scope)
        return bool(key) and (self.keys is None or key in self.keys or key == self.worker_key)

    def serve_at(self, url: str) -> None:
        """Hear under which URL the box is being served."""
        self.url = url

    async def tick(self) -> None:
        """Let everything happen that is due by the clock."""
        if self.jobs is not None:
            self.jobs.tick()
        if self.fleet is not None:
            await self.fleet.tick()

    async def run(self) -> None:
        """Tick until cancelled; a tick that fails is logged, and the next one comes."""
        self.loop = asyncio.get_running_loop()
        while True:
            try:
                await self.tick()
            except Exception:
                log.exception("a tick of the emulator failed")
            await asyncio.sleep(TICK_S)

    async def close(self) -> None:
        """Stop the workers, and let go of the state folder."""
        if self.fleet is not None:
            await self.fleet.stop_all()
        if self.world.store:
            self.world.store.close()


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
    """Wire a box around a world."""
    made: dict[str, Any] = {"jobs": None, "fleet": None, "troubles": None}
    with contextlib.suppress(ImportError):  # until the other parts are there
        made["jobs"] = importlib.import_module(f"{__package__}.jobs").Jobs(world)
        made["troubles"] = importlib.import_module(f"{__package__}.troubles").Troubles(world, catalogue)
        made["fleet"] = importlib.import_module(f"{__package__}.fleet").Fleet(
            world, catalogue, made["jobs"], launcher, made["troubles"]
        )
    return Box(
        clock,
        world,
        catalogue,
        made["jobs"],
        made["fleet"],
        made["troubles"],
        faults if faults is not None else [],
        calls if calls is not None else [],
        keys,
    )


def key_of(scope: Scope) -> str:
    """Return the API key that a call brings, or nothing."""
    header = Headers(scope=scope).get("authorization", "")
    if key := header.removeprefix("Bearer ").strip():
        return key
    return parse_qs(scope["query_string"].decode("latin-1")).get("api_key", [""])[0]
