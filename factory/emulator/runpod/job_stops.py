"""What workers are told to stop: the other end of `job-stop`."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

from factory.emulator.runpod.clock import Clock
from factory.emulator.runpod.entities import Job


@dataclass(slots=True)
class _Letterbox:
    job_ids: list[str] = field(default_factory=list)
    event: asyncio.Event = field(default_factory=asyncio.Event)


class StopSignals:
    """Jobs that workers must stop, each told once to who asks."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._boxes: defaultdict[tuple[str, str], _Letterbox] = defaultdict(_Letterbox)

    def tell(self, job: Job) -> None:
        """Tell a job's worker to stop it."""
        box = self._boxes[job.endpoint_id, job.worker_id or ""]
        box.job_ids.append(job.id)
        box.event.set()

    async def wait(self, endpoint_id: str, worker_id: str, wait_s: float) -> list[str]:
        """Return what a worker must stop, waiting for the first at most `wait_s`; [] when there is nothing."""
        box = self._boxes[endpoint_id, worker_id]
        await self._clock.wait(box.event, wait_s)
        return self.read(endpoint_id, worker_id)

    def read(self, endpoint_id: str, worker_id: str) -> list[str]:
        """Return what a worker must stop now."""
        box = self._boxes[endpoint_id, worker_id]
        box.event.clear()
        job_ids, box.job_ids = box.job_ids, []
        return job_ids

    def forget(self, worker_id: str) -> None:
        """A worker is gone."""
        for key in [key for key in self._boxes if key[1] == worker_id]:
            del self._boxes[key]
