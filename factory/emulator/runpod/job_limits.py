"""How often each operation may be called: per endpoint, in ten seconds and at once.

docs.runpod.io (serverless/endpoints/job-operations), read 2026-11-23. RunPod raises the limits with the number of
workers by a factor that is not known; here they are the least ones. Its window may slide; this one doesn't.
"""

from __future__ import annotations

from factory.emulator.runpod.refusals import Refused

WINDOW_S = 10.0
LIMITS = {
    "run": (1000, 200),
    "runsync": (2000, 400),
    "status": (2000, 400),
    "stream": (2000, 400),
    "cancel": (100, 20),
    "purge-queue": (2, 2),
    "requests": (10, 2),
}
"""Operation → calls per window, calls at once."""


class RateLimits:
    """Counts the calls of every endpoint."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str, str], list[float]] = {}  # endpoint, operation → window, calls in it, open calls

    def enter(self, endpoint_id: str, operation: str, now: float) -> list[float] | None:
        """Count a call; what is returned goes to `leave`. Refused (429) when it is one too many."""
        limit = LIMITS.get(operation)
        if limit is None:
            return None
        window = now // WINDOW_S
        counts = self._windows.get((endpoint_id, operation))
        if counts is None:
            counts = self._windows[endpoint_id, operation] = [window, 0, 0]
        elif counts[0] != window:
            counts[0], counts[1] = window, 0
        if counts[1] >= limit[0] or counts[2] >= limit[1]:
            raise Refused(429, f"too many calls of {operation}: {limit[0]} in {WINDOW_S:.0f} s, {limit[1]} at once")
        counts[1] += 1
        counts[2] += 1
        return counts

    def leave(self, counts: list[float] | None) -> None:
        """A call has been answered."""
        if counts is not None:
            counts[2] -= 1
