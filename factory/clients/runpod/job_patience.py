"""When to believe RunPod that it doesn't know a job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from factory.account import Health
from factory.errors import EndpointNotFound, RunError


@dataclass(frozen=True, slots=True)
class Patience:
    """How long we ask, in seconds.

    A job may be unknown (404) for a while after `run`, and for the whole of an image's first pull on a host: published
    clients wait 150 s, and 15 min while the workers are only initializing or throttled (2026). `seen_s` is for a job or
    an endpoint that was known before: a 404 came for a moment then, too (wlsdml1114/Engui_Studio#21).
    """

    first_s: float = 0.25
    longest_s: float = 5.0
    unknown_s: float = 150.0
    starting_s: float = 900.0
    seen_s: float = 10.0
    broken_answers: int = 3


class Unknown:
    """A job that RunPod answers 404 for: not yet known, or no longer?"""

    def __init__(self, health: Callable[[], Health], patience: Patience, now: Callable[[], float]) -> None:
        self._health = health
        self._patience = patience
        self._now = now
        self._since_s: float | None = None
        self._was_seen = False

    def seen(self) -> None:
        """RunPod knows the job now."""
        self._was_seen, self._since_s = True, None

    def is_over(self) -> bool:
        """Is it time to believe the 404? Raises EndpointNotFound when the endpoint has been gone for a while."""
        self._since_s = self._now() if self._since_s is None else self._since_s
        unknown_s = self._now() - self._since_s
        try:
            workers = self._health().workers
        except EndpointNotFound:
            if unknown_s >= self._patience.seen_s:
                raise
            return False
        except RunError:  # health is down: the time alone decides
            workers = {}
        if self._was_seen:
            return unknown_s >= self._patience.seen_s
        there = {state for state, count in workers.items() if count}
        is_starting = bool(there) and there <= {"initializing", "throttled"}
        return unknown_s >= (self._patience.starting_s if is_starting else self._patience.unknown_s)
