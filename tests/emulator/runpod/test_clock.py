"""Time: the machine's, and one that only moves by hand."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from factory.emulator.runpod.clock import EPOCH_S, Clock, RealClock, StepClock


def test_step_clock_stands_still() -> None:
    """Only `advance` moves it, and never back."""
    clock = StepClock()
    assert clock.now() == EPOCH_S
    clock.advance(2.5)
    assert clock.now() == EPOCH_S + 2.5
    with pytest.raises(ValueError, match="doesn't go back"):
        clock.advance(-1)


def test_wait_ends_by_the_clock_not_by_time() -> None:
    """A day's time-out strikes when the clock has moved a day, no second earlier."""

    async def scenario() -> None:
        clock = StepClock()
        waits = asyncio.create_task(clock.wait(asyncio.Event(), 86_400))
        await _settled()
        clock.advance(86_399)
        await _settled()
        assert not waits.done()
        clock.advance(1)
        assert await waits is False

    asyncio.run(scenario())


def test_clock_may_be_moved_from_another_thread() -> None:
    """A test's thread wakes what waits in the server's."""

    async def scenario() -> None:
        clock = StepClock()
        waits = asyncio.create_task(clock.wait(asyncio.Event(), 60))
        await _settled()
        threading.Thread(target=clock.advance, args=(60,)).start()
        assert await asyncio.wait_for(waits, timeout=10) is False

    asyncio.run(scenario())


@pytest.mark.parametrize("clock", [RealClock(), StepClock()])
def test_event_ends_a_wait(clock: Clock) -> None:
    """An event that is set, before or during the wait, ends it at once; a wait that is cancelled leaves nothing."""

    async def scenario() -> None:
        event = asyncio.Event()
        waits = asyncio.create_task(clock.wait(event, 3600))
        given_up = asyncio.create_task(clock.wait(event, 3600))
        await _settled()
        given_up.cancel()
        await _settled()
        event.set()
        assert await waits is True
        assert await clock.wait(event, 3600) is True
        if isinstance(clock, StepClock):
            clock.advance(7200)
            assert clock.sleepers == 0

    asyncio.run(scenario())


@pytest.mark.parametrize("clock", [RealClock(), StepClock()])
@pytest.mark.parametrize("timeout_s", [0, -1])
def test_no_time_is_no_wait(clock: Clock, timeout_s: float) -> None:
    """A time-out of zero or less only looks."""
    assert asyncio.run(clock.wait(asyncio.Event(), timeout_s)) is False


def test_real_clock_is_the_machines() -> None:
    """It tells the epoch's seconds, and its time-outs strike."""
    before = time.time()
    assert before <= RealClock().now() <= time.time()
    assert asyncio.run(RealClock().wait(asyncio.Event(), 0.01)) is False


async def _settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)
