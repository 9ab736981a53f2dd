"""Short looks at an endpoint at work: health and workers several times over a window, and the tails of worker logs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from factory.account import CloudWorker, Health, LogLine
from factory.diagnosis.evidence import Sample
from factory.errors import EndpointNotFound, FactoryError
from factory.live import AccountDoors
from factory.questions import Asking

LOG_LINES = 100
LOGS_OF = 5  # workers, the sick ones first
LOGS_WITHIN_S = 0.6
"""RunPod's log streams don't end when the tail is sent, so a tail counts as whole after this."""
SICKEST = ("UNHEALTHY", "INITIALIZING", "RUNNING", "IDLE", "THROTTLED")


@dataclass(slots=True)
class _Tail:
    """The last lines of one worker, as they come in."""

    began_at: float
    lines: list[LogLine] = field(default_factory=list)
    has_ended: threading.Event = field(default_factory=threading.Event)


@dataclass
class Glimpses:
    """Looks at one endpoint. `job_api_status` is what the job API last answered: 200, 404, …"""

    account: AccountDoors
    endpoint_id: str
    asking: Asking
    now: Callable[[], float] = time.monotonic
    samples: list[Sample] = field(default_factory=list)
    job_api_status: int | None = None
    _tails: dict[str, _Tail] = field(default_factory=dict)

    def take(self, count: int, window_s: float) -> None:
        """Look `count` times within `window_s` seconds; a worker's log is asked for when the worker is first seen."""
        began = self.now()
        for number in range(count):
            due = began + window_s * number / max(1, count - 1)
            time.sleep(max(0.0, due - self.now()))
            self.samples.append(self._look(began))

    def logs(self) -> Mapping[str, tuple[LogLine, ...]]:
        """Return the lines that came, by worker."""
        for worker_id, tail in self._tails.items():
            left_s = tail.began_at + LOGS_WITHIN_S - self.now()
            tail.has_ended.wait(max(0.0, left_s))
            if not tail.lines:
                self.asking.note(f"log of worker {worker_id}", f"no line within {LOGS_WITHIN_S:g} s")
        return {worker_id: tuple(tail.lines) for worker_id, tail in self._tails.items()}

    def _look(self, began: float) -> Sample:
        at_s = self.now() - began
        health = self.asking.ask("health", self._health)
        workers = self.asking.ask("workers", lambda: self.account.cloud.workers(self.endpoint_id))
        seen = workers.value() or ()
        self._ask_for_logs(seen)
        return Sample(round(at_s, 3), health.value(), seen)

    def _health(self) -> Health:
        try:
            health = self.account.jobs.health(self.endpoint_id)
        except EndpointNotFound:
            self.job_api_status = 404
            raise
        except FactoryError as error:
            status = error.details.get("status")
            self.job_api_status = status if isinstance(status, int) else None
            raise
        self.job_api_status = 200
        return health

    def _ask_for_logs(self, workers: tuple[CloudWorker, ...]) -> None:
        for worker in sorted(workers, key=lambda one: SICKEST.index(one.status)):
            if worker.id not in self._tails and len(self._tails) < LOGS_OF:
                tail = self._tails[worker.id] = _Tail(self.now())
                threading.Thread(target=self._read, args=(worker.id, tail), daemon=True).start()

    def _read(self, worker_id: str, tail: _Tail) -> None:
        try:
            for line in self.account.cloud.logs(self.endpoint_id, worker_id, tail=LOG_LINES):
                tail.lines.append(line)
        except FactoryError as error:
            self.asking.note(f"log of worker {worker_id}", str(error))
        finally:
            tail.has_ended.set()
