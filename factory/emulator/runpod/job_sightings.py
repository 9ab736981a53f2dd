"""Who was last heard of, and with which jobs: how a lost job is told from a long one."""

from __future__ import annotations

from factory.emulator.runpod.entities import Job
from factory.emulator.runpod.job_rules import LOST_AFTER_S, SILENT_AFTER_S

WorkerKey = tuple[str, str]
"""An endpoint's id and a worker's."""


class Sightings:
    """What workers said that they have. A worker that never pings is not missed."""

    def __init__(self) -> None:
        self._named_at: dict[str, float] = {}
        self._pinged_at: dict[WorkerKey, float] = {}
        self._undelivered: dict[str, Job] = {}

    def ping(self, worker: WorkerKey, now: float) -> None:
        """A worker is alive."""
        self._pinged_at[worker] = now

    def name(self, job: Job, now: float) -> None:
        """A worker says that it has a job."""
        self._named_at[job.id] = now

    def expect_nobody(self, job: Job) -> None:
        """No worker can know of a job, though one has it: it got lost, or can't be used."""
        self._undelivered[job.id] = job

    def forget(self, job: Job) -> None:
        """A job is in progress no more."""
        self._named_at.pop(job.id, None)
        self._undelivered.pop(job.id, None)

    def is_missed(self, job: Job, now: float) -> bool:
        """Has its worker not named it for so long that it is lost?"""
        return now - self._named_at.get(job.id, job.started_at or now) >= LOST_AFTER_S

    def missed(self, now: float) -> list[Job]:
        """Return the undelivered jobs that are lost by now."""
        return [job for job in self._undelivered.values() if self.is_missed(job, now)]

    def silent(self, now: float) -> list[WorkerKey]:
        """Return the workers that pinged once and then no more; each is told once."""
        keys = [key for key, at in self._pinged_at.items() if now - at >= SILENT_AFTER_S]
        for key in keys:
            del self._pinged_at[key]
        return keys
