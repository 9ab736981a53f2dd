"""The one time limit that all steps of a job's inputs share."""

from __future__ import annotations

import threading
import time

from worker_runtime.errors import InputUnreadable


class InputStopped(InputUnreadable):
    """This input was given up because another one of the same job failed; that one's error is what the job ends in."""


class Deadline:
    """When everything must be over. `stop` ends it at once, for all who share it."""

    def __init__(self, total_s: float) -> None:
        self._total_s = total_s
        self._end = time.monotonic() + total_s
        self._is_stopped = threading.Event()

    def stop(self) -> None:
        """Let whoever waits next give up."""
        self._is_stopped.set()

    def wait_s(self, most_s: float) -> float:
        """Return for how long one step may wait. Raises InputUnreadable when the time is over, and InputStopped."""
        left = self._end - time.monotonic()
        if self._is_stopped.is_set():
            raise InputStopped("stopped, because another input failed")
        if left <= 0:
            raise InputUnreadable(
                f"the inputs took longer than {self._total_s:.0f} s", fix="serve them from a faster place"
            )
        return min(left, most_s)
