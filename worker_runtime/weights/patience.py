"""Trying again: how long to wait, for whom, and when it is enough."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass

from worker_runtime.errors import StartError
from worker_runtime.weights.asking import TryAgain
from worker_runtime.weights.heartbeat import now_s

PAUSE_S = 0.5
MAX_PAUSE_S = 20.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How hard to try, in seconds.

    `stall_s`: without a byte on a connection. `quiet_s`: without 256 KiB or a whole file on all of them together.
    `total_s`: everything.
    """

    connections: int = 4
    range_bytes: int = 32 << 20
    stall_s: float = 20.0
    quiet_s: float = 120.0
    total_s: float = 3600.0


class Patience:
    """The attempts of all connections: what one is told to wait, all wait."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.last_failure: StartError | None = None
        self.gate_s = 0.0
        """Nobody asks before this time (heartbeat.now_s)."""
        self._stop = threading.Event()

    def stop(self) -> None:
        """Let every attempt end."""
        self._stop.set()

    @property
    def is_stopped(self) -> bool:
        """Whether it is over."""
        return self._stop.is_set()

    def insist(self, attempt: Callable[[], None], progress: Callable[[], int] | None = None) -> None:
        """Try until it works, it is stopped, or it can't get better (StartError and whatever else `attempt` raises).

        `progress` counts what was won: an attempt that got somewhere isn't held against the next one, and somebody
        else watches the limits. Without it `quiet_s` is the limit.
        """
        failures, began_s = 0, now_s()
        while not self.is_stopped:
            self._stop.wait(max(0.0, self.gate_s - now_s()))
            before = progress() if progress else 0
            try:
                return attempt()
            except TryAgain as again:
                self.last_failure = again.failure
                if progress is None and now_s() - began_s > self.limits.quiet_s:
                    raise again.failure from again
                failures = 0 if progress and progress() > before else failures + 1
                self._back_off(again, failures)

    def _back_off(self, again: TryAgain, failures: int) -> None:
        if again.wait_s is not None:  # exactly what the server said: less is refused again, more is wasted
            if again.wait_s > self.limits.total_s:
                raise again.failure from again
            self.gate_s = max(self.gate_s, now_s() + again.wait_s)
            return
        longest_s = min(MAX_PAUSE_S, PAUSE_S * 2**failures)
        self._stop.wait(random.uniform(longest_s / 2, longest_s))  # noqa: S311  no secret: not all at once again
