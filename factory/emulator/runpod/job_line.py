"""The line before one endpoint: who waits for a worker, who waits for a job, and who is at work."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator

from factory.emulator.runpod.entities import Job, Worker
from factory.emulator.runpod.job_rules import is_low_priority


class Taker:
    """A worker's question for up to `count` jobs; `event` is set when `jobs` got the first."""

    __slots__ = ("count", "event", "jobs", "worker")

    def __init__(self, worker: Worker, count: int) -> None:
        self.worker = worker
        self.count = count
        self.jobs: list[Job] = []
        self.event = asyncio.Event()


class Line:
    """One endpoint's jobs. Low priority is served when nothing else waits; each class in its order."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.running: dict[str, dict[str, Job]] = {}  # worker → its jobs
        self.completed = 0
        self.failed = 0
        self.retried = 0
        self.changed = asyncio.Event()
        self._waiting: tuple[OrderedDict[str, Job], OrderedDict[str, Job]] = (OrderedDict(), OrderedDict())
        self._takers: OrderedDict[Taker, None] = OrderedDict()

    def add(self, job: Job) -> None:
        """Queue a job, last of its class."""
        self.jobs[job.id] = job
        self._waiting[is_low_priority(job)][job.id] = job

    def add_first(self, job: Job) -> None:
        """Put a job back where it was taken from."""
        waiting = self._waiting[is_low_priority(job)]
        waiting[job.id] = job
        waiting.move_to_end(job.id, last=False)

    def drop(self, job: Job) -> None:
        """Take a job out of the queue, if it is there."""
        for waiting in self._waiting:
            waiting.pop(job.id, None)

    def pop(self) -> Job | None:
        """Take the next job out of the queue."""
        for waiting in self._waiting:
            if waiting:
                return waiting.popitem(last=False)[1]
        return None

    def waiting(self) -> Iterator[Job]:
        """Yield the queued jobs in the order in which they are served."""
        for waiting in self._waiting:
            yield from waiting.values()

    def __len__(self) -> int:
        return len(self._waiting[0]) + len(self._waiting[1])

    def oldest(self) -> float | None:
        """Return when the job that waits longest was queued."""
        first = [next(iter(waiting.values())).queued_at for waiting in self._waiting if waiting]
        return min(first, default=None)

    def enter(self, taker: Taker) -> None:
        """Let a worker wait for a job."""
        self._takers[taker] = None

    def leave(self, taker: Taker) -> None:
        """It waits no more."""
        self._takers.pop(taker, None)

    def leave_all(self, worker_id: str) -> None:
        """A worker is gone: none of its questions waits any more."""
        for taker in [taker for taker in self._takers if taker.worker.id == worker_id]:
            self.leave(taker)

    def next_taker(self) -> Taker | None:
        """Return the worker that has waited longest and may take a job."""
        return next((taker for taker in self._takers if not taker.worker.is_leaving), None)

    def begin(self, job: Job, worker_id: str) -> None:
        """Note that a worker has it."""
        self.running.setdefault(worker_id, {})[job.id] = job

    def end(self, job: Job) -> None:
        """Note that its worker has it no more."""
        jobs = self.running.get(job.worker_id or "")
        if jobs and jobs.pop(job.id, None) is not None and not jobs:
            del self.running[job.worker_id or ""]
