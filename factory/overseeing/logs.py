"""logs: the lines of an endpoint's workers, several at once, merged by time; with `follow`, also those to come."""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from threading import Thread

from factory.account import Endpoint
from factory.errors import CloudRefused, EndpointNotFound, FactoryError
from factory.overseeing.asking import Asking
from factory.overview.gap import Gap
from factory.overview.log_lines import Taken
from factory.ports import Cloud

LOOK_EVERY_S = 5.0  # for new workers: 12 of the 60 management calls a minute that RunPod's OpenAPI shows
HELD_S = 0.3  # lines of several workers are held back so long, to be put in order
REMEMBERED = 10_000  # lines a worker, so that a connection made anew repeats none


@dataclass
class WorkerLines:
    """Reads the lines of an endpoint's workers; `worker` is one worker's id, or the beginning of it.

    What can't be read is in `gaps`; those who follow go on with the others. `look_every_s` is how often new workers are
    looked for; `readers` are by worker.
    """

    cloud: Cloud
    endpoint: Endpoint
    worker: str | None = None
    tail: int = 100
    look_every_s: float = LOOK_EVERY_S
    asking: Asking = field(default_factory=Asking)
    readers: dict[str, Reader] = field(default_factory=dict)

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What could not be read."""
        return self.asking.gaps

    def there(self) -> list[Taken]:
        """Return the lines that are there now, oldest first. Raises what listing the workers raises."""
        read = [
            self.asking.ask(
                f"the log of worker {worker}",
                partial(self._read, worker),
            )
            for worker in self._workers()
        ]
        return sorted((taken for one in read for taken in one.result() or ()), key=lambda taken: taken.moment)

    def coming(self) -> Iterator[list[Taken]]:
        """Yield every moment the lines that came (or none), oldest first: at first those that are there; without end.

        New workers join by themselves. A connection that breaks is made anew, and repeats no line.
        """
        lines: queue.SimpleQueue[Taken] = queue.SimpleQueue()
        look_at = 0.0
        while True:
            if time.monotonic() >= look_at:
                self._join(lines)
                look_at = time.monotonic() + self.look_every_s
            yield _batch(lines, min(HELD_S, self.look_every_s))

    def _read(self, worker: str) -> list[Taken]:
        return [Taken(worker, line) for line in self.cloud.logs(self.endpoint.id, worker, tail=self.tail)]

    def _workers(self) -> list[str]:
        """Return the ids of the workers to read. Raises EndpointNotFound when none has the id that was asked for."""
        ids = [worker.id for worker in self.cloud.workers(self.endpoint.id)]
        if self.worker is None:
            return ids
        found = [worker_id for worker_id in ids if worker_id == self.worker] or [
            worker_id for worker_id in ids if worker_id.startswith(self.worker)
        ]
        if len(found) == 1:
            return found
        known = f"there are {', '.join(ids)}" if ids else "it has none"
        what = f"{len(found)} workers begin with {self.worker}" if found else f"no worker {self.worker} ({known})"
        raise EndpointNotFound(
            what,
            where=f"endpoint {self.endpoint.spec.name}",
            fix="its lines went with its container: `--save DIR --follow` keeps them" if not found else "write more",
        )

    def _join(self, lines: queue.SimpleQueue[Taken]) -> None:
        """Have a reader for each worker there is; a failing look is one of many, and the next may do."""
        try:
            ids = self._workers()
        except EndpointNotFound:
            if not self.readers:
                raise
            return
        except FactoryError as error:
            if not self.readers:
                raise
            self.miss("the list of workers", error)
            return
        for worker in ids:
            self.readers.setdefault(worker, Reader(self, worker, lines)).go_on()

    def miss(self, what: str, error: FactoryError) -> None:
        """Name what could not be read, once."""
        if all(gap.what != what for gap in self.gaps):
            self.asking.add(what, error)


class Reader:
    """Follows one worker in a thread of its own, and again when the connection had to be given up."""

    def __init__(self, of: WorkerLines, worker: str, lines: queue.SimpleQueue[Taken]) -> None:
        self._of, self._worker, self._lines = of, worker, lines
        self._seen: set[str] = set()
        self._order: deque[str] = deque()
        self._thread: Thread | None = None

    def go_on(self) -> None:
        """Read, if nobody does."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = Thread(target=self._read, name=f"log of {self._worker}", daemon=True)
            self._thread.start()

    def _read(self) -> None:
        try:
            for line in self._of.cloud.logs(self._of.endpoint.id, self._worker, tail=self._of.tail, follow=True):
                if self._is_new(line.id or f"{line.ts} {line.source} {line.line}"):
                    self._lines.put(Taken(self._worker, line))
        except CloudRefused:
            return  # gone meanwhile, its lines with it
        except FactoryError as error:
            self._of.miss(f"the log of worker {self._worker}", error)

    def _is_new(self, name: str) -> bool:
        if name in self._seen:
            return False
        self._seen.add(name)
        self._order.append(name)
        if len(self._order) > REMEMBERED:
            self._seen.discard(self._order.popleft())
        return True


def _batch(lines: queue.SimpleQueue[Taken], wait_s: float) -> list[Taken]:
    """Return the lines of the next moments, oldest first; nothing when none came."""
    found: list[Taken] = []
    end = time.monotonic() + wait_s
    while (left_s := end - time.monotonic()) > 0:
        try:
            found.append(lines.get(timeout=left_s))
        except queue.Empty:
            break
    return sorted(found, key=lambda taken: taken.moment)
