"""Which connection fetches which range next.

A connection stays with its file, so that the file is hashed as it comes; one without a file takes one that nobody else
is at, and only then helps another connection. Small files have connections of their own: a thousand of them are a
thousand waits for the network, and nearly no bytes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from worker_runtime.weights.arriving import Arriving

SMALL_BYTES = 1 << 20


@dataclass(slots=True)
class Part:
    """A range of a file. `position` is the first byte that hasn't come yet."""

    arriving: Arriving
    start: int
    end: int
    position: int


class Work:
    """The ranges that are left, and the files that aren't whole."""

    def __init__(self, files: Iterable[Arriving], range_bytes: int) -> None:
        self._range_bytes = range_bytes
        self._changed = threading.Condition()
        self._unfinished: set[Arriving] = set()
        self._small: deque[Part] = deque()
        self._large: dict[Arriving, deque[Part]] = {}
        self._connections: dict[Arriving, int] = {}
        self._is_stopped = False
        for file in files:
            self._add(file)

    def take(self, last: Arriving | None, *, only_small: bool) -> Part | None:
        """Return the next range, waiting for one while files are under way; None when there is no more to do."""
        with self._changed:
            while not self._is_stopped and self._unfinished:
                part = None if only_small else self._take_large(last)
                if part is None and self._small:
                    part = self._small.popleft()
                if part is not None or only_small:
                    return part
                self._changed.wait()  # a file that turns out to be wrong comes again
        return None

    def gave_back(self, part: Part) -> None:
        """Say that a connection is done with its range."""
        with self._changed:
            self._connections[part.arriving] = self._connections.get(part.arriving, 1) - 1

    def is_whole(self, arriving: Arriving) -> None:
        """Say that a file has arrived and is right."""
        with self._changed:
            self._unfinished.discard(arriving)
            self._large.pop(arriving, None)
            self._changed.notify_all()

    def again(self, arriving: Arriving) -> None:
        """Fetch a whole file once more."""
        with self._changed:
            self._add(arriving)
            self._changed.notify_all()

    def stop(self) -> None:
        """Let every `take` return None from now on."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def wait(self, timeout_s: float) -> bool:
        """Wait until all files are whole, or work was stopped; return whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: self._is_stopped or not self._unfinished, timeout_s)

    def count_small(self) -> int:
        """Return how many small ranges wait."""
        return len(self._small)

    def count_large(self) -> int:
        """Return how many ranges of large files wait."""
        return sum(map(len, self._large.values()))

    def _add(self, arriving: Arriving) -> None:
        self._unfinished.add(arriving)
        size = arriving.file.size_bytes
        # One that has arrived already is still to be hashed: a range of nothing.
        gaps = arriving.gaps(self._range_bytes) or [(size, size)]
        parts = [Part(arriving, start, end, start) for start, end in gaps]
        if size <= SMALL_BYTES:
            self._small.extend(parts)
        else:
            self._large[arriving] = deque(parts)

    def _take_large(self, last: Arriving | None) -> Part | None:
        chosen = last
        if chosen is None or not self._large.get(chosen):
            waiting = [file for file, parts in self._large.items() if parts]
            # The fewest connections, then the most left: the longest file decides when it all ends.
            chosen = min(waiting, key=lambda f: (self._connections.get(f, 0), -len(self._large[f])), default=None)
        if chosen is None:
            return None
        self._connections[chosen] = self._connections.get(chosen, 0) + 1
        return self._large[chosen].popleft()
