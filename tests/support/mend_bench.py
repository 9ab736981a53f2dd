"""A machine that has released twice, and workers that do as a test says: for all that mends a live endpoint.

with mend_shop(tmp_path_factory.mktemp("mending")) as shop:
    bench = shop.released_twice(tmp_path, "rest")     # bench.run("rollback", bench.folder / "demo.yaml")
    shop.workers.is_wrong = True
    shop.clear()
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from release_bench import Bench, Held, Kept, Workshop, holds, wait_until, workshop

from factory.emulator.faults import Fault
from factory.emulator.runpod import entities
from factory.emulator.runpod.launch_inline import InlineLauncher
from factory.emulator.runpod.launcher import Handle, Order, Say

NEXT: dict[str, Any] = {"env": {"GREETING": "good evening"}, "disk": {"container": 90}}


class Dead:
    """A container that ended at its start, before it asked for a job."""

    name = "dead"

    def __init__(self, exit_code: int) -> None:
        self._exit_code = exit_code

    async def poll(self) -> int | None:
        """Return the exit code."""
        return self._exit_code

    async def stop(self, grace_s: float) -> None:
        """Nothing is left."""


class Workers(InlineLauncher):
    """Workers that answer with the job's input or with something else, or, with an `exit_code`, end at their start."""

    def __init__(self) -> None:
        super().__init__(self._reply)
        self.is_wrong = False
        self.exit_code: int | None = None

    def _reply(self, job_input: dict[str, Any]) -> Any:
        return {"a": "wrong"} if self.is_wrong else job_input

    async def start(self, order: Order, say: Say) -> Handle:
        """Start one."""
        if self.exit_code is None:
            return await super().start(order, say)
        say("container", "RuntimeError: no such model")
        return Dead(self.exit_code)


@dataclass(frozen=True)
class Moment:
    """An account and a machine's memory of it; `images` are what was released, oldest first, by digest."""

    account: Kept
    home: Path
    images: tuple[str, ...]


@dataclass
class MendShop:
    """What many tests share."""

    place: Workshop
    workers: Workers
    folder: Path
    _moments: dict[str, Moment] = field(default_factory=dict)

    def released_twice(self, folder: Path, api: str) -> Bench:
        """Return a machine that has released the recipe, and then NEXT; the account is as it was then."""
        if api not in self._moments:
            self.clear()
            self._moments[api] = self._release(Bench(self.place, self.folder / api, api))
        moment = self._moments[api]
        self.clear()
        moment.account.put_back(self.place.runpod)
        shutil.copytree(moment.home, folder / "home")
        bench = Bench(self.place, folder, api)
        bench.write(**NEXT)
        return bench

    def images(self, api: str) -> tuple[str, ...]:
        """Return what `released_twice` released, oldest first."""
        return self._moments[api].images

    def _release(self, bench: Bench) -> Moment:
        bench.folder.mkdir()
        images = []
        for changes in ({}, NEXT):
            done = bench.run("release", "--no-run", bench.write(**changes))
            assert done.code == 0, done.err
            images.append(bench.image)
        return Moment(Kept.of(self.place.runpod), bench.folder / "home", tuple(images))

    @property
    def endpoint(self) -> entities.Endpoint:
        """The account's one endpoint."""
        (endpoint,) = self.place.runpod.box.world.endpoints.values()
        return endpoint

    @property
    def held(self) -> Held:
        """What the account holds, without ids and counts of changes."""
        counts = ("version", "releases")
        found = holds(self.place.runpod)
        return {
            kind: [{k: v for k, v in one.items() if k not in counts} for one in ones] for kind, ones in found.items()
        }

    def kill(self, bench: Bench, faults: list[Fault], *arguments: str | Path) -> None:
        """Run a command until RunPod has the call that the last fault holds, kill it, and let the call go on."""
        runpod = self.place.runpod
        runpod.faults.extend(faults)
        process = bench.start(*arguments)
        process.until(lambda: faults[-1].held, str(faults[-1]))
        assert process.kill().code == -9
        faults[-1].release()
        wait_until(lambda: not faults[-1].held, "the call's end")
        runpod.faults.clear()

    def clear(self) -> None:
        """Empty the account, wait until its workers are gone, and let the workers answer rightly."""
        runpod = self.place.runpod
        self.workers.is_wrong, self.workers.exit_code = False, None
        ids = list(runpod.box.world.endpoints)
        runpod.empty()
        runpod.call(lambda box: box.troubles.clear())
        wait_until(lambda: not runpod.call(lambda box: any(map(box.fleet.workers, ids))), "the workers' end")


@contextmanager
def mend_shop(folder: Path) -> Iterator[MendShop]:
    """Open one while the block runs."""
    workers = Workers()
    with workshop(folder, launcher=workers) as place:
        yield MendShop(place, workers, folder)
