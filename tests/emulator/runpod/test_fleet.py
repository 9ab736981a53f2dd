"""The workers of endpoints: started, scaled, throttled, rolled and stopped, by a clock that tests move."""

from __future__ import annotations

import dataclasses

import pytest
from fleet_stage import Stage

from factory.emulator.runpod.entities import Container
from factory.emulator.runpod.refusals import Refused
from factory.emulator.runpod.troubles import Throttled

pytestmark = pytest.mark.anyio


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
