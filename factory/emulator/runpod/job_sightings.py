"""Which jobs workers say that they have: how a lost job is told from a long one."""

from __future__ import annotations

from factory.emulator.runpod.entities import Job
from factory.emulator.runpod.job_rules import LOST_AFTER_S


class Sightings:
    """When each job in progress was last named by its worker. That a whole worker is gone, the fleet knows."""

    def __init__(self) -> None:
        self._named_at: dict[str, float] = {}
        self._undelivered: dict[str, Job] = {}

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
