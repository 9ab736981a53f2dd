"""REST v2's rate limits: three windows per key, told on every answer, and 429 when one is used up.

Header shapes: RunPod's OpenAPI v2 (`RateLimit`, `RateLimit-Policy`). RunPod's own quotas are not published; the
default here is so wide that only a test that lowers it meets it.
"""

from __future__ import annotations

from dataclasses import dataclass

_SECONDS = {"minute": 60, "hour": 3600, "day": 86400}


@dataclass(frozen=True, slots=True)
class Quota:
    """How many calls one key has per window."""

    minute: int = 60_000
    hour: int = 1_000_000
    day: int = 10_000_000


class Limits:
    """Counts the calls of each key."""

    def __init__(self, quota: Quota) -> None:
        self._quota = {"minute": quota.minute, "hour": quota.hour, "day": quota.day}
        self._used: dict[tuple[str, str], tuple[int, int]] = {}  # (key, window) → (which one, calls in it)

    def exceeded(self, key: str, now: float) -> str | None:
        """Count a call, at `now` (epoch seconds), and return the window that has no room for it."""
        counts = {window: self._calls(key, window, now) + 1 for window in _SECONDS}
        full = next((window for window, count in counts.items() if count > self._quota[window]), None)
        if full is None:
            for window, count in counts.items():
                self._used[key, window] = (_number(window, now), count)
        return full

    def headers(self, key: str, now: float) -> dict[str, str]:
        """Return what each window has left, and its quota."""
        left = {window: self._quota[window] - self._calls(key, window, now) for window in _SECONDS}
        return {
            "RateLimit": ", ".join(f'"{w}";r={left[w]};t={reset_s(w, now)}' for w in _SECONDS),
            "RateLimit-Policy": ", ".join(f'"{w}";q={self._quota[w]};w={s}' for w, s in _SECONDS.items()),
        }

    def _calls(self, key: str, window: str, now: float) -> int:
        number, calls = self._used.get((key, window), (0, 0))
        return calls if number == _number(window, now) else 0


def reset_s(window: str, now: float) -> int:
    """Return how many seconds a window still lasts, at least 1."""
    return max(1, int(_SECONDS[window] - now % _SECONDS[window]))


def _number(window: str, now: float) -> int:
    return int(now // _SECONDS[window])
