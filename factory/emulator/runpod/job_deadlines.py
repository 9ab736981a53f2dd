"""When something is next due for a job: one heap for all of them, so that a tick looks only at what is due."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable

from factory.emulator.runpod.entities import Job

_SLACK = 1_000


class Deadlines:
    """Moments at which a job must be looked at. Each change adds one; a stale one is seen when it comes up."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Job]] = []
        self._number = itertools.count()

    def add(self, at: float, job: Job) -> None:
        """Have a job looked at then."""
        heapq.heappush(self._heap, (at, next(self._number), job))

    def due(self, now: float) -> Iterable[Job]:
        """Yield the jobs whose moment has come."""
        while self._heap and self._heap[0][0] <= now:
            yield heapq.heappop(self._heap)[2]

    def compact(self, alive: int, live: Iterable[tuple[float, Job]]) -> None:
        """Begin anew with the moments of the jobs that live, when most of what is kept is of the past."""
        if len(self._heap) > _SLACK + 8 * alive:
            self._heap = [(at, next(self._number), job) for at, job in live]
            heapq.heapify(self._heap)
