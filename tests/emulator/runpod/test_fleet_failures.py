"""What goes wrong with workers: crashes, starts that never end, pulls that fail, heartbeats that stop."""

from __future__ import annotations

import itertools

import pytest
from fleet_stage import Stage, system_lines

from factory.emulator.runpod.entities import Container
from factory.emulator.runpod.launcher import LaunchFailed
from factory.emulator.runpod.troubles import Crash
from factory.emulator.runpod.troubles import from_json as trouble

pytestmark = pytest.mark.anyio


async def test_a_crash_loop_keeps_the_worker_and_its_exit_code(stage: Stage) -> None:
    """Each end is UNHEALTHY with the code, each new start INITIALIZING; the pauses grow; no further worker comes."""
    endpoint = stage.endpoint()
    for _ in range(5):
        stage.submit(endpoint)
    await stage.step()
    worker, starts = stage.worker(endpoint), []
    for second in range(40):
        stage.launcher.last.code = 3
        before = len(stage.launcher.started)
        await stage.step(1)
        if len(stage.launcher.started) > before:
            starts.append(second)
    assert {one.order.worker.id for one in stage.launcher.started} <= {
        one.id for one in stage.fleet.workers(endpoint.id)
    }
    pauses = [after - before for before, after in itertools.pairwise(starts)]
    assert pauses == sorted(pauses) and pauses[-1] > pauses[0]
    assert worker.exit_code == 3 and worker.restarts == len(stage.launcher.started)
    assert (worker.status, worker.problem) == ("UNHEALTHY", "its container exited with code 3")
    assert "worker exited with exit code 3" in system_lines(stage, worker)
    assert len(stage.statuses(endpoint)) == 1


async def test_a_job_outlives_one_crash_and_no_second(stage: Stage) -> None:
    """The job of a dead worker is queued again once, then it fails as at RunPod."""
    endpoint, worker = await stage.ready()
    job = stage.submit(endpoint)
    for _ in range(2):
        await stage.take(worker)
        stage.launcher.last.code = 137
        await stage.step()
        await stage.step(2)
    assert (job.status, job.error, job.retries) == ("FAILED", "job timed out after 1 retries", 1)


async def test_a_steady_worker_that_crashes_is_back_in_a_second(stage: Stage) -> None:
    """After a minute of service the back-off begins anew."""
    endpoint, worker = await stage.ready()
    for _ in range(3):
        await stage.step(61)
        stage.launcher.last.code = 1
        await stage.step()
        assert stage.statuses(endpoint) == ["UNHEALTHY"]
        await stage.step(1)
        assert stage.statuses(endpoint) == ["INITIALIZING"]
        stage.fleet.joined(worker.id)
    assert worker.restarts == 3


@pytest.mark.parametrize(("env", "limit_s"), [({}, 420), ({"RUNPOD_INIT_TIMEOUT": "800"}, 800)])
async def test_a_worker_that_never_joins_is_replaced(env: dict[str, str], limit_s: int, stage: Stage) -> None:
    """After 7 minutes, or RUNPOD_INIT_TIMEOUT, it is UNHEALTHY and stopped, and another starts, until one joins."""
    endpoint = stage.endpoint(workers_min=1, container=Container("a/b:1", env=env))
    await stage.step()
    first = stage.worker(endpoint)
    await stage.step(limit_s)
    assert stage.statuses(endpoint) == ["INITIALIZING"]
    await stage.step(1)
    assert stage.statuses(endpoint) == ["UNHEALTHY", "INITIALIZING"]
    assert first.problem == f"the worker did not ask for a job within {limit_s} s"
    assert stage.launcher.started[0].stopped_after is not None
    await stage.step(limit_s + 1, times=5)
    assert stage.statuses(endpoint).count("UNHEALTHY") == 3, "the last three are shown"
    stage.fleet.joined(stage.launcher.last.name)
    assert stage.statuses(endpoint) == ["IDLE"]


async def test_a_pull_that_fails_stays_initializing(stage: Stage) -> None:
    """No health state tells it: only the system log, `image pull: … pending`, again and again."""
    endpoint = stage.endpoint(workers_min=1)
    stage.launcher.refuse = LaunchFailed("manifest unknown", is_pull=True)
    await stage.step(100, times=6)
    worker = stage.worker(endpoint)
    assert (worker.status, worker.exit_code, worker.restarts) == ("INITIALIZING", None, 0)
    lines = system_lines(stage, worker)
    assert lines.count("image pull: localhost:5000/org/worker:1: pending") == 6
    assert "error pulling image: manifest unknown" in lines
    stage.launcher.refuse = None
    await stage.step(60)
    assert worker.started_at is not None


async def test_a_command_that_is_not_there_restarts_for_ever(stage: Stage) -> None:
    """The engine's refusal counts as a crash, with its code."""
    endpoint = stage.endpoint(workers_min=1)
    stage.launcher.refuse = LaunchFailed("exec: no such file", exit_code=127)
    await stage.step(100, times=3)
    worker = stage.worker(endpoint)
    assert (worker.status, worker.exit_code, worker.restarts) == ("UNHEALTHY", 127, 3)


async def test_an_unhealthy_ping_is_shown(stage: Stage) -> None:
    """What the SDK's fitness check says is the worker's problem, until it asks for jobs after all."""
    endpoint, worker = await stage.ready()
    stage.fleet.heartbeat(worker.id, unhealthy="gpu_test: no CUDA")
    assert stage.statuses(endpoint) == ["UNHEALTHY"]
    assert worker.problem == "gpu_test: no CUDA"
    stage.launcher.last.code = 1
    await stage.step()
    await stage.step(2)
    assert stage.statuses(endpoint) == ["INITIALIZING"]


async def test_a_worker_that_pinged_and_stopped_is_lost(stage: Stage) -> None:
    """Its job goes back into the queue, its container is killed at once, another worker comes."""
    endpoint, worker = await stage.ready()
    job = stage.submit(endpoint)
    await stage.take(worker)
    stage.fleet.heartbeat(worker.id)
    await stage.step(30, times=2)
    assert stage.jobs.in_progress(worker.id) == [job.id]
    await stage.step(1)
    assert stage.jobs.queued(endpoint.id) == 1
    assert stage.launcher.started[0].stopped_after == 0
    assert stage.worker(endpoint).id != worker.id


async def test_the_trouble_crash_ends_workers(stage: Stage) -> None:
    """As many starts as it says end with its code after its time; the next one stays."""
    stage.box.troubles.add(Crash(exit_code=139, after_s=5, times=2))
    _, worker = await stage.ready()
    codes = []
    for _ in range(2):
        await stage.step(4)
        assert worker.status != "UNHEALTHY"
        await stage.step(1)
        codes.append((worker.status, worker.exit_code))
        await stage.step(2)
    assert codes == [("UNHEALTHY", 139)] * 2
    await stage.step(100, times=3)
    assert (worker.status, worker.restarts) == ("INITIALIZING", 2)


async def test_slow_and_failing_pulls_as_troubles(stage: Stage) -> None:
    """`slow_start` puts the container off, `pull_failure` keeps the image away until it is taken back."""
    stage.box.troubles.add(trouble({"trouble": "slow_start", "seconds": 30}))
    stage.box.troubles.add(trouble({"trouble": "pull_failure", "image": "*/org/*"}))
    endpoint = stage.endpoint(workers_min=1)
    await stage.step(29)
    worker = stage.worker(endpoint)
    assert system_lines(stage, worker) == ["worker is ready"]
    await stage.step(31)
    assert system_lines(stage, worker)[-2] == "image pull: localhost:5000/org/worker:1: pending"
    stage.box.troubles.clear()
    await stage.step(10)
    assert worker.started_at is not None
