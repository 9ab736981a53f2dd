"""SIGKILL at every boundary of `factory release`: the next run goes on there, does nothing twice, and judges as before.

Images are in their registry already, as another machine's push would have left them; kills in build and push are in
tests/e2e/test_kills.py, those at each call of provision in test_kills.py.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from forked_cli import Process
from release_bench import Bench, Held, Kept, Workshop, forbid_changes, held_call, holds, wait_until, workshop
from runpod_box import Emulated

from factory.emulator.faults import Fault
from factory.emulator.runpod.box import Box
from factory.emulator.runpod.entities import Job
from factory.emulator.runpod.launch_inline import InlineLauncher

IMAGE = frozenset({"build", "push"})
PROVED = IMAGE | {"resolve", "check", "size", "render", "verify"}
LIVE = PROVED | {"provision"}
NEXT: dict[str, Any] = {"env": {"GREETING": "good evening"}, "disk": {"container": 90}}


@dataclass
class Workers:
    """What the workers do: give a job's input back, wrongly or not before they may."""

    is_wrong: bool = False
    is_held: bool = False

    async def answer(self, job_input: dict[str, Any]) -> Any:
        """Answer one job."""
        while self.is_held:  # noqa: ASYNC110 - another thread lets go, and an asyncio.Event has no way for that
            await asyncio.sleep(0.01)
        return {"a": "wrong"} if self.is_wrong else job_input


@dataclass(frozen=True)
class Point:
    """Where `factory release` is killed, and what its next run calls unchanged.

    At a `line` of its display (a hold keeps it from looking at the account), or while RunPod has a call, before or
    after its effect, or (neither) while a worker has its job.
    """

    name: str
    unchanged: frozenset[str]
    line: str = ""
    rest: tuple[str, str] = ("", "")
    graphql: str = ""
    passed: int = 0
    is_after: bool = True
    recipe: dict[str, Any] = field(default_factory=lambda: NEXT)
    is_wrong: bool = False  # are the workers' answers, already in the run that is killed
    has_drifted: bool = False  # other hands changed the endpoint before, and the release only undoes that

    @property
    def apis(self) -> tuple[str, ...]:
        """Return by which management APIs it is tried."""
        return ("rest", "graphql") if self.graphql else ("rest",)

    def faults(self, api: str) -> list[Fault]:
        """Return what holds the command at this point."""
        rest = ("GET", "/v2/network-volumes") if self.line else self.rest
        return held_call(api, rest, self.graphql, passed=self.passed, is_after=self.is_after) if rest[0] else []


FIRST = (
    *(Point(f"after {stage}", IMAGE, f"✓ demo {stage}") for stage in ("resolve", "check", "size", "render")),
    *(Point(f"after {stage}", IMAGE, f"✓ demo {stage}") for stage in ("build", "push")),
    Point("after verify", PROVED, rest=("GET", "/v2/network-volumes"), is_after=False),
    Point("the template is made", PROVED, rest=("POST", "/v2/templates")),
    Point("the endpoint is made", LIVE, rest=("POST", "/v2/serverless")),
    Point("after provision", LIVE, rest=("POST", "/v2/*/run"), is_after=False),
    Point("the test job is queued, nobody heard its id", LIVE, rest=("POST", "/v2/*/run")),
    Point("the test job is with a worker", LIVE),
    Point("the test job's state is on its way", LIVE, rest=("GET", "/v2/*/status/*")),
)
UPDATES = (
    Point("the template is changed", PROVED, rest=("PATCH", "/v2/templates/*"), graphql="saveTemplate"),
    Point("the endpoint is changed", PROVED, rest=("PATCH", "/v2/serverless/*"), graphql="saveEndpoint"),
    Point("after provision", LIVE, rest=("POST", "/v2/*/run"), is_after=False),
    Point("the test job is with a worker", LIVE),
    Point("the test job of the same image is with a worker", LIVE, recipe={}, has_drifted=True),
)
RETREATS = (
    Point("going back", LIVE, rest=("PATCH", "/v2/templates/*"), passed=1, is_after=False, is_wrong=True),
    Point("the template is put back", PROVED, rest=("PATCH", "/v2/templates/*"), passed=1, is_wrong=True),
    Point("the endpoint is put back", PROVED, "", ("PATCH", "/v2/serverless/*"), "saveEndpoint", 1, is_wrong=True),
)


@dataclass(frozen=True)
class Released:
    """An account with the first release in it, and the machine's memory of it."""

    account: Kept
    held: Held
    home: Path


@pytest.fixture(scope="module")
def workers() -> Workers:
    """What every worker does."""
    return Workers()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, workers: Workers) -> Iterator[Workshop]:
    """One account with workers, and one registry, for all points."""
    with workshop(tmp_path_factory.mktemp("workshop"), launcher=InlineLauncher(workers.answer)) as opened:
        yield opened


@pytest.fixture(scope="module")
def released(place: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Released]:
    """The account after a first release that nobody killed, by each API; released once."""
    known: dict[str, Released] = {}

    def find(api: str) -> Released:
        if api not in known:
            _clear(place)
            bench = Bench(place, tmp_path_factory.mktemp("released"), api)
            assert (done := bench.run("release", "--no-run", bench.write())).code == 0, done.err
            known[api] = Released(Kept.of(place.runpod), holds(place.runpod), bench.folder / "home")
        return known[api]

    return find


@pytest.fixture
def bench(place: Workshop, workers: Workers, tmp_path: Path) -> Iterator[Bench]:
    """A machine that has released nothing yet, and an empty account."""
    yield Bench(place, tmp_path)
    workers.is_wrong = workers.is_held = False
    _clear(place)


@pytest.mark.parametrize("point", [pytest.param(point, id=point.name) for point in FIRST])
def test_a_first_release_goes_on(
    bench: Bench, workers: Workers, released: Callable[[str], Released], point: Point
) -> None:
    """Killed anywhere, the next run ends as one that nobody killed, and the one after that has nothing to do."""
    expected = released("rest")
    _clear(bench.place)
    recipe = bench.write()
    _killed(bench, workers, point)
    done = bench.run("release", "--no-run", recipe, "--json")
    assert done.code == 0, done.err
    assert point.unchanged <= _unchanged(done.out) and "run" not in _unchanged(done.out)
    assert holds(bench.place.runpod) == expected.held
    forbid_changes(bench.place.runpod)
    again = bench.run("release", "--no-run", recipe, "--json")
    assert again.code == 0 and _unchanged(again.out) == LIVE | {"run"}, again.err


@pytest.mark.parametrize("is_good", [True, False], ids=["good", "bad"])
@pytest.mark.parametrize(
    ("point", "api"),
    [pytest.param(point, api, id=f"{api}: {point.name}") for point in (*UPDATES, *RETREATS) for api in point.apis],
)
def test_a_new_release_goes_on_or_back(
    bench: Bench, workers: Workers, released: Callable[[str], Released], point: Point, api: str, *, is_good: bool
) -> None:
    """Killed on its way, or on its way back, a good release ends live; of a bad one nothing stays."""
    before = released(api)
    runpod, bench.api = bench.place.runpod, api
    _clear(bench.place)
    before.account.put_back(runpod)
    if point.has_drifted:
        runpod.call(_drift)
    held = holds(runpod)
    shutil.copytree(before.home, bench.folder / "home")
    recipe = bench.write(**point.recipe)
    workers.is_wrong = point.is_wrong
    _killed(bench, workers, point)

    workers.is_wrong = not is_good
    done = bench.run("release", "--no-run", recipe, "--json")
    assert done.code == (0 if is_good else 96), done.err
    assert point.unchanged <= _unchanged(done.out) and "run" not in _unchanged(done.out)
    ((endpoint,), (template,)) = (holds(runpod)[kind] for kind in ("endpoints", "templates"))
    assert not template["readme"]
    if is_good:
        assert template["container"] == endpoint["container"]
        assert endpoint["container"]["image"] == bench.image
        assert endpoint["container"]["disk_gb"] == (90 if point.recipe else 21)
        forbid_changes(runpod)
        again = bench.run("release", "--no-run", recipe, "--json")
        assert again.code == 0 and _unchanged(again.out) == LIVE | {"run"}, again.err
    else:
        assert "is back" in done.err
        assert _unnumbered(holds(runpod)) == _unnumbered(held)


def test_provision_killed_while_workers_roll_waits_on(
    bench: Bench, workers: Workers, released: Callable[[str], Released]
) -> None:
    """The next run has nothing to change, and still ends only when no worker runs what was before."""
    runpod, looks = bench.place.runpod, ("GET", "/v2/serverless/*/releases")
    before = released("rest")
    _clear(bench.place)
    before.account.put_back(runpod)
    workers.is_held = True
    ((endpoint_id, endpoint),) = runpod.box.world.endpoints.items()
    runpod.call(lambda box: box.jobs.submit(endpoint_id, {"input": {"a": 1}}, is_sync=False))
    wait_until(lambda: any(job.status == "IN_PROGRESS" for job in _jobs(runpod)), "a worker of the old version")
    recipe, (_, hold) = bench.write(**NEXT), held_call("rest", looks, "")
    runpod.faults.append(hold)
    process = bench.start("provision", recipe)
    process.until(lambda: hold.held, "a look at the workers")
    assert process.kill().code == -9
    hold.release()
    runpod.faults.clear()
    runpod.calls.clear()

    forbid_changes(runpod)
    process = bench.start("provision", recipe)
    process.until(lambda: sum(fnmatch(call.path, looks[1]) for call in runpod.calls) > 1, "a second look")
    workers.is_held = False
    done = process.wait()
    assert done.code == 0 and "✓ demo provision" in done.err, done.err
    left = runpod.call(lambda box: [worker.version for worker in box.fleet.workers(endpoint_id)])
    assert set(left) <= {runpod.box.world.endpoints[endpoint_id].version} != {endpoint.version}


def _drift(box: Box) -> None:
    """Change the endpoint as somebody does in RunPod's console."""
    (endpoint,) = box.world.endpoints.values()
    box.world.update_endpoint(endpoint.id, replace(endpoint, container=replace(endpoint.container, disk_gb=33)))


def _killed(bench: Bench, workers: Workers, point: Point) -> None:
    """Release, and be killed at this point; then RunPod and the workers go on with what they have."""
    runpod, faults = bench.place.runpod, point.faults(bench.api)
    runpod.faults.extend(faults)
    workers.is_held = not faults
    process = bench.start("release", "--no-run", bench.folder / "demo.yaml")
    process.until(lambda: _has_come(process, runpod, point, faults), point.name)
    assert process.kill().code == -9
    workers.is_held = False
    for hold in faults[1:]:
        hold.release()
    wait_until(lambda: not any(fault.held for fault in faults), "the call's end")
    runpod.faults.clear()


def _has_come(process: Process, runpod: Emulated, point: Point, faults: list[Fault]) -> bool:
    if point.line:
        return point.line in process.err
    if faults:
        return bool(faults[-1].held)
    return any(job.status == "IN_PROGRESS" for job in _jobs(runpod))


def _jobs(runpod: Emulated) -> list[Job]:
    return runpod.call(lambda box: [job for endpoint_id in box.world.endpoints for job in box.jobs.of(endpoint_id)])


def _unchanged(out: str) -> frozenset[str]:
    """Return the stages that a release's JSON calls unchanged."""
    record = json.loads(out)
    stages = record["error"]["details"]["stages"] if "error" in record else record["stages"]
    return frozenset(stage["stage"] for stage in stages if stage["state"] == "unchanged")


def _unnumbered(held: Held) -> Held:
    """Leave out what counts the changes: going back is one, too."""
    counts = ("version", "releases")
    return {kind: [{k: v for k, v in one.items() if k not in counts} for one in ones] for kind, ones in held.items()}


def _clear(place: Workshop) -> None:
    """Empty the account, and wait until its workers are gone."""
    ids = list(place.runpod.box.world.endpoints)
    place.runpod.empty()
    wait_until(lambda: not place.runpod.call(lambda box: any(map(box.fleet.workers, ids))), "the workers' end")
