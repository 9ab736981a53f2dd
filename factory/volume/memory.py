"""How many bytes of files may be in memory at once, whatever their number and size."""

from __future__ import annotations

import threading
from collections.abc import Callable

PART_BYTES = 32_000_000
BUDGET_BYTES = 512_000_000


class Stopped(Exception):
    """Another file has failed, or Ctrl-C: this one ends too."""


class Memory:
    """A budget. Who takes waits until there is room; a single part may be larger than all of it."""

    def __init__(self, budget_bytes: int = BUDGET_BYTES) -> None:
        self._budget_bytes = budget_bytes
        self._taken_bytes = 0
        self._change = threading.Condition()
        self._is_stopped = False
        self.peak_bytes = 0

    def take(self, size_bytes: int) -> Callable[[], None]:
        """Wait for room, and return what gives it back. Raises Stopped."""
        with self._change:
            self._change.wait_for(lambda: self._is_stopped or self._has_room(size_bytes))
            self.demand_going()
            self._taken_bytes += size_bytes
            self.peak_bytes = max(self.peak_bytes, self._taken_bytes)
        return lambda: self._give_back(size_bytes)

    def stop(self) -> None:
        """Let everybody who takes, waits or asks end with Stopped."""
        with self._change:
            self._is_stopped = True
            self._change.notify_all()

    def demand_going(self) -> None:
        """Raise Stopped once `stop` was called."""
        if self._is_stopped:
            raise Stopped

    def _has_room(self, size_bytes: int) -> bool:
        return self._taken_bytes == 0 or self._taken_bytes + size_bytes <= self._budget_bytes

    def _give_back(self, size_bytes: int) -> None:
        with self._change:
            self._taken_bytes -= size_bytes
            self._change.notify_all()
