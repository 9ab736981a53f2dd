"""The emulator's time: real, or moved by hand so that tests don't sleep.

Everything that RunPod measures (time to live, idle time-outs, delays, money) is read from a `Clock`; only the
distance between two ticks of the box is real time.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

EPOCH_S = 1_700_000_000.0
"""Where a `StepClock` begins (2023-11-14): a round number that is a plausible date."""


class Clock(Protocol):
    """What time it is, and waiting by it."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        ...

    async def wait(self, event: asyncio.Event, timeout_s: float) -> bool:
        """Wait for an event, at most `timeout_s` by this clock; say whether it came."""
        ...


class RealClock:
    """The machine's time."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time()

    async def wait(self, event: asyncio.Event, timeout_s: float) -> bool:
        """Wait for an event, at most `timeout_s`; say whether it came."""
        if event.is_set():
            return True
        try:
            async with asyncio.timeout(max(0.0, timeout_s)):
                return await event.wait()
        except TimeoutError:
            return event.is_set()


class StepClock:
    """Time that stands still until `advance` moves it, from any thread."""

    def __init__(self, start: float = EPOCH_S) -> None:
        self._now = start
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        """Return seconds since the epoch."""
        return self._now

    @property
    def sleepers(self) -> int:
        """How many wait by this clock now."""
        return len(self._sleepers)

    def advance(self, seconds: float) -> None:
        """Move on; whoever waits until then is woken. ValueError for a step back."""
        if seconds < 0:
            raise ValueError(f"a clock doesn't go back (asked for {seconds} s)")
        self._now += seconds
        for due, sleeper in list(self._sleepers):
            if due <= self._now:
                sleeper.get_loop().call_soon_threadsafe(_wake, sleeper)

    async def wait(self, event: asyncio.Event, timeout_s: float) -> bool:
        """Wait for an event, at most until the clock stands `timeout_s` later; say whether it came."""
        if event.is_set() or timeout_s <= 0:
            return event.is_set()
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (self._now + timeout_s, sleeper)
        self._sleepers.append(entry)
        waiter = asyncio.ensure_future(event.wait())
        try:
            await asyncio.wait((waiter, sleeper), return_when=asyncio.FIRST_COMPLETED)
            return event.is_set()
        finally:
            waiter.cancel()
            self._sleepers.remove(entry)


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)
