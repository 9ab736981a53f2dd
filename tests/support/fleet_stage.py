"""A box whose workers are puppets, moved step by step: what tests of the fleet share."""

from __future__ import annotations

from pathlib import Path

from runpod_box import an_endpoint

from factory.emulator.runpod.app import create_runpod
from factory.emulator.runpod.box import Box
from factory.emulator.runpod.clock import StepClock
from factory.emulator.runpod.entities import Endpoint, Job, Worker
from factory.emulator.runpod.launcher import Handle, Launcher, LaunchFailed, Order, Say


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


def a_box(launcher: Launcher, state: Path | None = None) -> Box:
    """Make a box whose time stands still."""
    box: Box = create_runpod(clock=StepClock(), launcher=launcher, state=state).state.box
    return box


class Stage:
    """A box with puppets, moved step by step."""

    def __init__(self, state: Path | None = None) -> None:
        self.launcher = Puppets()
        self.box = a_box(self.launcher, state)
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


def system_lines(stage: Stage, worker: Worker) -> list[str]:
    """Return what the platform says of a worker."""
    return [row.line for row in stage.fleet.log_lines(worker.id, "system")]
