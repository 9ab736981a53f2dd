"""The states of a job, and every way from one to the next.

    IN_QUEUE ── taken ──▶ IN_PROGRESS ── result ──▶ COMPLETED · FAILED
       ▲  ▲                 │    │  └── too long ─▶ TIMED_OUT   (the worker is told to stop)
       │  └─ worker lost ───┘    └───── cancel ───▶ CANCELLED   (the same; or from the queue)
       └──── retry ── FAILED · TIMED_OUT

A worker that is lost twice with the same job makes it FAILED. A job is forgotten when its time to live is over, in any
state, or its result's retention. With a store, each step is on disk before the call that made it returns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from factory.emulator.runpod import job_rules as rules
from factory.emulator.runpod.entities import Job, JobStatus
from factory.emulator.runpod.job_deadlines import Deadlines
from factory.emulator.runpod.job_line import Line, Taker
from factory.emulator.runpod.job_sightings import Sightings
from factory.emulator.runpod.job_stops import StopSignals
from factory.emulator.runpod.refusals import Refused
from factory.emulator.runpod.world import World


class JobStates:
    """The jobs of all endpoints, and what can happen to one; who may cause it is jobs.py's."""

    def __init__(self, world: World) -> None:
        self.clock = world.clock
        self.stops = StopSignals(world.clock)
        """What workers are told to stop."""
        self.on_end: list[Callable[[Job], None]] = []
        """Called with each job that COMPLETED, FAILED or TIMED_OUT, as soon as it has."""
        self.loses: Callable[[Job], bool] = lambda _job: False
        """Asked of each job that a worker is given: does it get lost on the way? (a trouble that is played)"""
        self._world = world
        self._lines: dict[str, Line] = {}
        self._deadlines = Deadlines()
        self._sightings = Sightings()
        self._ends: dict[str, asyncio.Event] = {}  # job → set at its end, while somebody waits for it
        world.listeners.append(self._world_changed)

    def get(self, endpoint_id: str, job_id: str) -> Job | None:
        """Return a job that is not forgotten yet."""
        line = self._lines.get(endpoint_id)
        return line.jobs.get(job_id) if line is not None else None

    def tick(self) -> None:
        """Do all that is due: times to live, execution time-outs, retention, jobs that got lost."""
        now = self.clock.now()
        for job in self._deadlines.due(now):
            self._look_at(job, now)
        for job in self._sightings.missed(now):
            self._lose(self._line(job.endpoint_id), job)
        self._deadlines.compact(sum(len(line.jobs) for line in self._lines.values()), self._moments())

    def restore(self) -> None:
        """Bring back what the store holds; what was in progress is queued again, one retry more."""
        if self._world.store is None:
            return
        interrupted = []
        for job in sorted(self._world.store.load("job"), key=lambda job: job.queued_at):
            if self.get(job.endpoint_id, job.id) is not None:
                continue
            if job.endpoint_id not in self._world.endpoints:
                self._world.store.delete("job", job.id)
                continue
            line = self._line(job.endpoint_id)
            line.jobs[job.id] = job
            line.completed += job.status == "COMPLETED"
            line.failed += job.status in ("FAILED", "TIMED_OUT")
            if job.status == "IN_PROGRESS":
                interrupted.append(job)
            elif job.status == "IN_QUEUE":
                line.add(job)
            self._deadlines.add(self._moment(job), job)
        for job in interrupted:
            self._queue_again(self._line(job.endpoint_id), job, is_retry=True)

    def drop_endpoint(self, endpoint_id: str) -> None:
        """Forget all jobs of an endpoint that is deleted; who works on one is told to stop."""
        line = self._lines.get(endpoint_id)
        for job in list(line.jobs.values()) if line is not None else ():
            assert line is not None
            if job.status == "IN_PROGRESS":
                self.stops.tell(job)
            self._forget(line, job)
        self._lines.pop(endpoint_id, None)

    def _world_changed(self, kind: str, entity_id: str) -> None:
        if kind == "endpoint" and entity_id not in self._world.endpoints:
            self.drop_endpoint(entity_id)

    def _serve(self, line: Line) -> None:
        """Give waiting jobs to waiting workers."""
        line.changed.set()
        while len(line) and (taker := line.next_taker()):
            job = line.pop()
            assert job is not None
            if self._give(line, job, taker):
                line.leave(taker)
                taker.event.set()

    def _give(self, line: Line, job: Job, taker: Taker) -> bool:
        """Let a worker have a job; say whether it arrives."""
        job.status, job.worker_id, job.started_at = "IN_PROGRESS", taker.worker.id, self.clock.now()
        line.begin(job, taker.worker.id)
        self._save(job)
        self._deadlines.add(job.started_at + self._timeout_s(job), job)
        is_lost = self.loses(job)
        if is_lost or "input" not in job.payload:
            self._sightings.expect_nobody(job)
        if not is_lost:
            taker.jobs.append(job)
        return not is_lost

    def _put_back(self, line: Line, job: Job) -> None:
        """Undo `_give`."""
        line.end(job)
        self._sightings.forget(job)
        job.status, job.worker_id, job.started_at = "IN_QUEUE", None, None
        self._save(job)
        line.add_first(job)
        self._serve(line)

    def _end(self, line: Line, job: Job, status: JobStatus) -> None:
        """Let a job end."""
        self._release(line, job)
        job.status, job.finished_at = status, self.clock.now()
        if status in ("CANCELLED", "TIMED_OUT"):  # its output so far was progress
            job.has_output, job.output = False, None
        line.completed += status == "COMPLETED"
        line.failed += status in ("FAILED", "TIMED_OUT")
        self._save(job)
        self._deadlines.add(self._moment(job), job)
        self._wake(job)
        line.changed.set()
        if status != "CANCELLED":
            for listener in self.on_end:
                listener(job)

    def _lose(self, line: Line, job: Job) -> None:
        """Its worker is gone with it."""
        if job.retries >= rules.MOST_RETRIES:
            job.error, job.has_output, job.output = f"job timed out after {job.retries} retries", False, None
            self._end(line, job, "FAILED")
            return
        self._queue_again(line, job, is_retry=True)

    def _queue_again(self, line: Line, job: Job, *, is_retry: bool) -> None:
        """Begin a new attempt, RunPod's own or one that a client asks for; nothing is left of the last one."""
        job.retries = job.retries + 1 if is_retry else 0
        line.retried += 1
        self._release(line, job)
        job.status, job.queued_at = "IN_QUEUE", self.clock.now()
        job.started_at = job.finished_at = job.worker_id = job.output = job.error = None
        job.has_output = job.is_streaming = False
        job.stream = []
        line.add(job)
        self._save(job)
        self._serve(line)

    def _forget(self, line: Line, job: Job) -> None:
        """Let a job be gone, whatever it was; who waits for it is woken."""
        self._release(line, job)
        line.jobs.pop(job.id, None)
        if self._world.store is not None:
            self._world.store.delete("job", job.id)
        self._wake(job)
        line.changed.set()

    def _release(self, line: Line, job: Job) -> None:
        """Take a job out of the queue, and from its worker."""
        line.drop(job)
        line.end(job)
        self._sightings.forget(job)

    def _look_at(self, job: Job, now: float) -> None:
        """Do what is due for a job, if anything still is."""
        if self.get(job.endpoint_id, job.id) is not job:
            return
        line = self._line(job.endpoint_id)
        if now < self._moment(job):
            if job.status == "IN_PROGRESS":  # this was of a past attempt, or the endpoint's time-out was raised
                self._deadlines.add(self._moment(job), job)
        elif job.status == "IN_PROGRESS":
            self.stops.tell(job)
            if now < job.created_at + rules.ttl_s(job):
                self._end(line, job, "TIMED_OUT")
            else:
                self._forget(line, job)
        else:
            self._forget(line, job)

    def _moment(self, job: Job) -> float:
        """Return when the next thing is due for a job."""
        end = job.created_at + rules.ttl_s(job)
        if job.finished_at is not None:
            return min(end, job.finished_at + rules.retention_s(job))
        if job.started_at is not None:
            return min(end, job.started_at + self._timeout_s(job))
        return end

    def _moments(self) -> Iterator[tuple[float, Job]]:
        return ((self._moment(job), job) for line in self._lines.values() for job in line.jobs.values())

    def _timeout_s(self, job: Job) -> float:
        return rules.execution_timeout_s(job, self._world.endpoints.get(job.endpoint_id))

    def _wake(self, job: Job) -> None:
        event = self._ends.pop(job.id, None)
        if event is not None:
            event.set()

    def _save(self, job: Job) -> None:
        if self._world.store is not None:
            self._world.store.put("job", job)

    def _line(self, endpoint_id: str) -> Line:
        line = self._lines.get(endpoint_id)
        if line is None:
            line = self._lines[endpoint_id] = Line()
        return line

    def _known(self, endpoint_id: str, job_id: str) -> tuple[Line, Job]:
        line = self._line(endpoint_id)
        job = line.jobs.get(job_id)
        if job is None:
            raise Refused(404, "job not found")
        return line, job

    def _mine(self, endpoint_id: str, worker_id: str, job_id: str) -> tuple[Line, Job]:
        line, job = self._known(endpoint_id, job_id)
        if job.status != "IN_PROGRESS" or job.worker_id != worker_id:
            raise Refused(400, f"the job is {job.status}, and not this worker's")
        return line, job
