"""The workers of endpoints: started, scaled, throttled, crashed, replaced and stopped, by a clock that tests move."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from runpod_box import an_endpoint

from factory.emulator.runpod.app import create_runpod
from factory.emulator.runpod.box import Box
from factory.emulator.runpod.clock import StepClock
from factory.emulator.runpod.disks import Disks
from factory.emulator.runpod.entities import Container, Endpoint, Job, Worker
from factory.emulator.runpod.launch_inline import InlineLauncher
from factory.emulator.runpod.launcher import Handle, Launcher, LaunchFailed, Order, Say
from factory.emulator.runpod.refusals import Refused
from factory.emulator.runpod.troubles import Crash, Throttled
from factory.emulator.runpod.troubles import from_json as trouble

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """The emulator runs on asyncio."""
    return "asyncio"


class Puppet:
    """A worker that does what the test says."""

    def __init__(self, order: Order, say: Say) -> None:
        self.order = order
        self.say = say
        self.code: int | None = None
        self.stopped_after: float | None = None

    @property
    def name(self) -> str:
        """Its worker's id."""
        return self.order.worker.id

    async def poll(self) -> int | None:
        """Return what the test set."""
        return self.code

    async def stop(self, grace_s: float) -> None:
        """Note it."""
        self.stopped_after = grace_s


class Puppets:
    """A launcher of puppets, newest last. `refuse` is raised instead of a start."""

    needs_url = False

    def __init__(self) -> None:
        self.started: list[Puppet] = []
        self.refuse: LaunchFailed | None = None
        self.sweeps = 0

    async def sweep(self) -> None:
        """Count it."""
        self.sweeps += 1

    async def start(self, order: Order, say: Say) -> Handle:
        """Start one."""
        if self.refuse:
            raise self.refuse
        self.started.append(Puppet(order, say))
        return self.started[-1]

    @property
    def last(self) -> Puppet:
        """The newest."""
        return self.started[-1]


def a_box(launcher: Launcher) -> Box:
    """Make a box whose time stands still."""
    box: Box = create_runpod(clock=StepClock(), launcher=launcher).state.box
    return box


class Stage:
    """A box with puppets, moved step by step."""

    def __init__(self) -> None:
        self.launcher = Puppets()
        self.box = a_box(self.launcher)
        self.fleet = self.box.fleet
        self.jobs = self.box.jobs

    async def step(self, seconds: float = 0, *, times: int = 1) -> None:
        """Let time pass, tick, and wait for what the tick began; `times` over."""
        assert isinstance(self.box.clock, StepClock)
        for _ in range(times):
            self.box.clock.advance(seconds)
            await self.box.tick()
            await self.fleet.settle()

    def endpoint(self, name: str = "minilm", **fields: object) -> Endpoint:
        """Make an endpoint."""
        return self.box.world.create_endpoint(an_endpoint(name, **fields))

    def submit(self, endpoint: Endpoint) -> Job:
        """Queue a job."""
        return self.jobs.submit(endpoint.id, {"input": {"a": 1}}, is_sync=False)

    async def take(self, worker: Worker) -> Job:
        """Join, and take the job that waits."""
        self.fleet.joined(worker.id)
        (job,) = await self.jobs.take(worker, wait_s=0)
        return job

    def done(self, job: Job) -> None:
        """Answer a job."""
        self.jobs.finish(job.endpoint_id, job.worker_id or "", job.id, {"output": 1})

    def statuses(self, endpoint: Endpoint) -> list[str]:
        """Return the workers' statuses."""
        return [worker.status for worker in self.fleet.workers(endpoint.id)]

    def worker(self, endpoint: Endpoint) -> Worker:
        """Return the only worker."""
        (worker,) = self.fleet.workers(endpoint.id)
        return worker

    async def ready(self, **fields: object) -> tuple[Endpoint, Worker]:
        """Make an endpoint with one worker that waits for jobs."""
        endpoint = self.endpoint("minilm", **{"workers_min": 1, **fields})
        await self.step()
        worker = self.fleet.workers(endpoint.id)[0]
        self.fleet.joined(worker.id)
        return endpoint, worker


@pytest.fixture
async def stage(anyio_backend: str) -> AsyncIterator[Stage]:
    """A stage, closed afterwards."""
    made = Stage()
    yield made
    await made.box.close()


def system_lines(stage: Stage, worker: Worker) -> list[str]:
    """Return what the platform says of a worker."""
    return [row.line for row in stage.fleet.log_lines(worker.id, "system")]


# --- coming and going ------------------------------------------------------------------------------------------------
async def test_a_job_brings_a_worker_which_idles_out(stage: Stage) -> None:
    """From nothing to a worker, through its job, and back to nothing after the idle time-out."""
    endpoint = stage.endpoint(idle_timeout_s=10)
    await stage.step(5)
    assert stage.statuses(endpoint) == []
    job = stage.submit(endpoint)
    await stage.step()
    worker = stage.worker(endpoint)
    assert (worker.status, worker.gpu_type, worker.gpu_count) == ("INITIALIZING", "NVIDIA GeForce RTX 4090", 1)
    await stage.take(worker)
    assert stage.statuses(endpoint) == ["RUNNING"]
    stage.done(job)
    assert stage.statuses(endpoint) == ["IDLE"]
    await stage.step(9)
    assert stage.statuses(endpoint) == ["IDLE"]
    await stage.step(1.5)
    assert stage.statuses(endpoint) == []
    assert stage.launcher.last.stopped_after == 10, "it was asked to end before it is killed"
    assert stage.launcher.sweeps == 1


async def test_a_late_queue_adds_one_worker_at_a_time(stage: Stage) -> None:
    """QUEUE_DELAY 4: while jobs wait for more than 4 s, one worker is added every 4 s, up to the maximum."""
    endpoint = stage.endpoint(workers_max=3)
    for _ in range(9):
        stage.submit(endpoint)
    counts = []
    for _ in range(14):
        await stage.step(1)
        counts.append(len(stage.statuses(endpoint)))
    assert counts == [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3]


async def test_request_count_follows_the_jobs(stage: Stage) -> None:
    """REQUEST_COUNT 2: five jobs bring three workers; when they are done, none is left 5 s later."""
    endpoint = stage.endpoint(scaler="REQUEST_COUNT", scaler_value=2, idle_timeout_s=None)
    jobs = [stage.submit(endpoint) for _ in range(5)]
    await stage.step()
    workers = stage.fleet.workers(endpoint.id)
    assert len(workers) == 3
    for worker in workers:
        await stage.take(worker)
    await stage.step()
    assert stage.statuses(endpoint) == ["RUNNING"] * 3
    for job in jobs[:3]:
        stage.done(job)
    stage.jobs.purge(endpoint.id)
    await stage.step()
    await stage.step(5)
    assert stage.statuses(endpoint) == []


async def test_workers_max_of_zero_lets_a_running_job_end(stage: Stage) -> None:
    """Set to zero, a worker gets no new job, ends after the one it has, and no other comes."""
    endpoint, worker = await stage.ready()
    job = stage.submit(endpoint)
    await stage.take(worker)
    stage.submit(endpoint)
    stage.box.world.update_endpoint(endpoint.id, dataclasses.replace(endpoint, workers_min=0, workers_max=0))
    await stage.step(5)
    assert stage.statuses(endpoint) == ["RUNNING"]
    stage.done(job)
    await stage.step(5, times=2)
    assert stage.statuses(endpoint) == []
    assert stage.jobs.queued(endpoint.id) == 1


async def test_counts_are_those_of_health(stage: Stage) -> None:
    """Every status has its count, and `ready` is idle and running together."""
    endpoint, worker = await stage.ready(workers_min=3)
    workers = stage.fleet.workers(endpoint.id)
    stage.fleet.joined(workers[1].id)
    stage.submit(endpoint)
    await stage.take(worker)
    assert stage.fleet.counts(endpoint.id) == {
        "idle": 1, "initializing": 1, "ready": 2, "running": 1, "throttled": 0, "unhealthy": 0
    }  # fmt: skip


async def test_a_replaced_worker_ends_after_its_job(stage: Stage) -> None:
    """`stopPod`: no new job, an end after the present one, and a successor where one is wanted."""
    endpoint, worker = await stage.ready()
    job = stage.submit(endpoint)
    await stage.take(worker)
    stage.fleet.replace(worker.id)
    await stage.step()
    assert stage.fleet.find(endpoint.id, worker.id) is not None
    stage.done(job)
    await stage.step()
    assert stage.fleet.find(endpoint.id, worker.id) is None
    assert stage.worker(endpoint).id != worker.id


async def test_the_quota_bounds_all_endpoints_together(stage: Stage) -> None:
    """Where the quota shrank below what endpoints ask for, no more workers start than it has."""
    first, second = stage.endpoint(name="one", workers_min=3), stage.endpoint(name="two", workers_min=3)
    stage.box.world.set_person(worker_quota=4)
    await stage.step(1, times=3)
    assert len(stage.statuses(first)) + len(stage.statuses(second)) == 4


async def test_a_deleted_endpoint_takes_its_workers_along(stage: Stage) -> None:
    """The workers are stopped, a running job or not."""
    endpoint, worker = await stage.ready()
    stage.submit(endpoint)
    await stage.take(worker)
    stage.box.world.delete_endpoint(endpoint.id)
    await stage.step()
    assert stage.statuses(endpoint) == []
    assert stage.launcher.last.stopped_after is not None


async def test_without_money_nothing_runs(stage: Stage) -> None:
    """At a balance of nothing all workers are stopped and none is started; with money they come back."""
    endpoint, worker = await stage.ready()
    job = stage.submit(endpoint)
    await stage.take(worker)
    stage.box.world.set_person(balance_usd=0)
    await stage.step(5, times=3)
    assert stage.statuses(endpoint) == []
    assert job.status == "IN_QUEUE"
    stage.box.world.set_person(balance_usd=1)
    await stage.step()
    assert stage.statuses(endpoint) == ["INITIALIZING"]


async def test_closing_stops_all_and_starts_none(stage: Stage) -> None:
    """After the end no tick brings a worker back."""
    endpoint, _ = await stage.ready(workers_min=2)
    await stage.fleet.stop_all()
    assert [puppet.stopped_after for puppet in stage.launcher.started] == [10, 10]
    await stage.step(5)
    assert stage.statuses(endpoint) == []


# --- no stock --------------------------------------------------------------------------------------------------------
async def test_without_stock_a_worker_is_throttled_until_there_is_some(stage: Stage) -> None:
    """It is shown as THROTTLED, nothing is started; with stock it starts as the same worker."""
    stage.box.catalogue.set_stock("ADA_24", "*", "NONE")
    endpoint = stage.endpoint()
    stage.submit(endpoint)
    await stage.step(1, times=20)
    worker = stage.worker(endpoint)
    assert (worker.status, worker.problem) == ("THROTTLED", "there is no stock where the endpoint may run")
    assert stage.launcher.started == []
    stage.box.catalogue.set_stock("ADA_24", "EU-RO-1", "LOW")
    await stage.step()
    assert stage.worker(endpoint) is worker
    assert (worker.status, worker.data_center) == ("INITIALIZING", "EU-RO-1")


async def test_a_volume_pins_workers_to_its_data_centre(stage: Stage) -> None:
    """Stock elsewhere is of no use to an endpoint with a volume."""
    volume = stage.box.world.create_volume("v", 10, "EU-RO-1")
    stage.box.catalogue.set_stock("ADA_24", "EU-RO-1", "NONE")
    endpoint = stage.endpoint(workers_min=1, volume_ids=[volume.id])
    await stage.step()
    assert stage.statuses(endpoint) == ["THROTTLED"]


async def test_gpu_names_in_the_place_of_pools_never_start(stage: Stage) -> None:
    """RunPod takes them and never schedules them: the worker stays THROTTLED."""
    endpoint = stage.endpoint(workers_min=1, pools=["NVIDIA GeForce RTX 4090"])
    await stage.step(60, times=5)
    assert stage.statuses(endpoint) == ["THROTTLED"]


async def test_the_trouble_throttled_holds_new_workers_only(stage: Stage) -> None:
    """Those that run go on."""
    endpoint, _ = await stage.ready()
    stage.box.troubles.add(Throttled(endpoint.name))
    stage.box.world.update_endpoint(endpoint.id, dataclasses.replace(endpoint, workers_min=2))
    await stage.step()
    assert stage.statuses(endpoint) == ["IDLE", "THROTTLED"]


# --- what goes wrong -------------------------------------------------------------------------------------------------
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


# --- rolling updates -------------------------------------------------------------------------------------------------
async def test_a_new_version_rolls_through(stage: Stage) -> None:
    """One of three is replaced at a time, the idle ones first, a running one after its job; all end up new."""
    endpoint = stage.endpoint(workers_min=3)
    await stage.step()
    workers = stage.fleet.workers(endpoint.id)
    for worker in workers:
        stage.fleet.joined(worker.id)
    job = stage.submit(endpoint)
    await stage.take(workers[0])
    endpoint = stage.box.world.update_endpoint(
        endpoint.id, dataclasses.replace(endpoint, container=Container("localhost:5000/org/worker:2"))
    )
    stale = []
    for _ in range(6):
        await stage.step(1)
        for worker in stage.fleet.workers(endpoint.id):
            if worker.version == endpoint.version and worker.joined_at is None:
                stage.fleet.joined(worker.id)
        stale.append(sum(worker.version < endpoint.version for worker in stage.fleet.workers(endpoint.id)))
    assert stale == [2, 1, 1, 1, 1, 1], "the running one holds on to its job"
    stage.done(job)
    await stage.step(1)
    await stage.step(1)
    assert {worker.image for worker in stage.fleet.workers(endpoint.id)} == {"localhost:5000/org/worker:2"}
    assert len(stage.statuses(endpoint)) == 3


async def test_a_new_version_that_never_comes_up_leaves_the_old_ones_at_work(stage: Stage) -> None:
    """A roll-out waits for its new workers."""
    endpoint = stage.endpoint(workers_min=3)
    await stage.step()
    for worker in stage.fleet.workers(endpoint.id):
        stage.fleet.joined(worker.id)
    changed = dataclasses.replace(endpoint, container=Container("localhost:5000/org/worker:2"))
    endpoint = stage.box.world.update_endpoint(endpoint.id, changed)
    for _ in range(30):
        await stage.step(1)
        stage.launcher.last.code = 1
    versions = sorted(worker.version for worker in stage.fleet.workers(endpoint.id))
    assert versions == [1, 1, 2]


async def test_scaling_alone_replaces_nobody(stage: Stage) -> None:
    """Minimum, maximum, scaler and time-outs change in place."""
    endpoint, worker = await stage.ready()
    changed = dataclasses.replace(endpoint, workers_max=5, idle_timeout_s=60, scaler_value=9)
    stage.box.world.update_endpoint(endpoint.id, changed)
    await stage.step(5)
    assert stage.worker(endpoint) is worker


# --- foreign workers -------------------------------------------------------------------------------------------------
async def test_foreign_workers_join_and_are_forgotten(stage: Stage) -> None:
    """Who asks for jobs and was not started here is a worker too, until it hasn't asked for two minutes."""
    endpoint = stage.endpoint()
    stage.fleet.joined("somebody", endpoint.id)
    assert stage.statuses(endpoint) == ["IDLE"]
    job = stage.submit(endpoint)
    worker = stage.fleet.find(endpoint.id, "somebody")
    assert worker is not None
    await stage.take(worker)
    await stage.step(300)
    assert stage.statuses(endpoint) == ["RUNNING"], "it has a job: only the job's own time is up some day"
    stage.done(job)
    await stage.step(100)
    stage.fleet.joined("somebody", endpoint.id)
    await stage.step(100)
    assert stage.statuses(endpoint) == ["IDLE"]
    await stage.step(21)
    assert stage.statuses(endpoint) == []
    stage.fleet.joined("somebody", endpoint.id)
    assert stage.statuses(endpoint) == ["IDLE"]


async def test_a_stopped_worker_does_not_come_back(stage: Stage) -> None:
    """A container that was told to end and still asks is refused; so is one at another's endpoint, or at none."""
    endpoint, worker = await stage.ready()
    other = stage.endpoint(name="other")
    with pytest.raises(Refused, match="worker not found"):
        stage.fleet.joined(worker.id, other.id)
    with pytest.raises(Refused, match="worker not found"):
        stage.fleet.joined("nobody")
    stage.box.world.delete_endpoint(endpoint.id)
    await stage.step()
    with pytest.raises(Refused, match="worker not found"):
        stage.fleet.joined(worker.id, other.id)
    assert stage.fleet.find(other.id, worker.id) is None


# --- logs ------------------------------------------------------------------------------------------------------------
async def test_logs_are_kept_filtered_and_followed(stage: Stage) -> None:
    """Both sources in order with number and time; a follower gets the last lines, what comes, and the end."""
    endpoint, worker = await stage.ready()
    for number in range(3):
        stage.launcher.last.say("container", f"line {number}")
    read = stage.fleet.log_lines
    assert [row.line for row in read(worker.id, "container", tail=2)] == ["line 1", "line 2"]
    assert [row.seq for row in read(worker.id)] == [1, 2, 3, 4, 5]
    assert read(worker.id, tail=0) == []
    await stage.step(10)
    stage.launcher.last.say("container", "later")
    assert [row.line for row in read(worker.id, since=stage.box.clock.now())] == ["later"]

    seen: list[str] = []

    async def follow() -> None:
        async for row in stage.fleet.follow(worker.id, "container", tail=1):
            seen.append(row.line)

    following = asyncio.create_task(follow())
    await asyncio.sleep(0)
    stage.launcher.last.say("container", "new")
    await asyncio.sleep(0)
    stage.launcher.last.say("system", "not asked for")
    stage.launcher.last.say("container", "last")
    stage.box.world.delete_endpoint(endpoint.id)
    await stage.step()
    await asyncio.wait_for(following, 5)
    assert seen == ["later", "new", "last"]
    with pytest.raises(Refused, match="worker not found"):
        read(worker.id)


async def test_a_follower_goes_on_where_it_was(stage: Stage) -> None:
    """`after_seq` is the number of the last line that a reader has."""
    _, worker = await stage.ready()
    for number in range(5):
        stage.launcher.last.say("container", f"line {number}")
    lines = stage.fleet.follow(worker.id, tail=0, after_seq=5)
    assert [(await anext(lines)).line for _ in range(2)] == ["line 3", "line 4"]


# --- volumes ---------------------------------------------------------------------------------------------------------
async def test_workers_get_their_volume_and_a_deleted_one_goes(tmp_path: Path) -> None:
    """The volume of the worker's data centre is its folder; deleted, it is removed when no worker has it any more."""
    stage = Stage()
    stage.fleet._disks = disks = Disks(tmp_path, may_mount=False)
    volume = stage.box.world.create_volume("v", 10, "EU-RO-1")
    endpoint = stage.endpoint(workers_min=1, volume_ids=[volume.id])
    await stage.step()
    folder = stage.launcher.last.order.volume_folder
    assert folder == tmp_path / volume.id
    assert stage.launcher.last.order.env["RUNPOD_VOLUME_ID"] == volume.id
    assert (folder / "x").write_bytes(b"1")
    stage.box.world.delete_endpoint(endpoint.id)
    stage.box.world.delete_volume(volume.id)
    await stage.step()
    await stage.step()
    assert not folder.exists() and disks.known() == set()
    await stage.box.close()


# --- inline workers --------------------------------------------------------------------------------------------------
async def _answers(answer: Callable[[Any], Any], inputs: list[Any]) -> list[Job]:
    box = a_box(InlineLauncher(answer))
    endpoint = box.world.create_endpoint(an_endpoint())
    jobs = [box.jobs.submit(endpoint.id, {"input": one}, is_sync=False) for one in inputs]
    for _ in range(200):
        await box.tick()
        await asyncio.sleep(0)
        assert isinstance(box.clock, StepClock)
        box.clock.advance(1)
        if all(job.is_final for job in jobs):
            break
    await box.close()
    return jobs


async def test_inline_workers_answer_without_a_process() -> None:
    """A function answers, sync or async; its exception fails the job, and the worker goes on."""

    async def double(number: Any) -> Any:
        if number == 3:
            raise ValueError("no threes")
        return number * 2

    jobs = await _answers(double, [1, 2, 3, 4])
    assert [(job.status, job.output, job.error) for job in jobs] == [
        ("COMPLETED", 2, None),
        ("COMPLETED", 4, None),
        ("FAILED", None, "ValueError: no threes"),
        ("COMPLETED", 8, None),
    ]


async def test_an_inline_worker_can_crash() -> None:
    """SystemExit ends it as a container would end: the job is tried once more, then it fails."""

    def crash(_: Any) -> Any:
        raise SystemExit(7)

    (job,) = await _answers(crash, [1])
    assert (job.status, job.error) == ("FAILED", "job timed out after 1 retries")
