"""Progress: ordered, rate-limited, never late."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from worker_app import SeenLog

from worker_runtime.progress import MAX_BYTES, Progress

JOB = {"id": "j1"}


class Posts:
    """Keeps what is posted; each post takes a moment."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.values: list[Any] = []
        self.ended: list[Any] = []
        self._seconds = seconds

    async def post(self, job: Mapping[str, Any], value: Any) -> None:
        """Keep the value when the post begins, and when it has arrived."""
        assert job is JOB
        self.values.append(value)
        await asyncio.sleep(self._seconds)
        self.ended.append(value)


def test_the_newest_wins(log: SeenLog) -> None:
    """The first value goes at once; of those that come while it may not, only the newest."""
    posts = Posts()

    async def job() -> None:
        progress = Progress(log, posts.post, pause_s=0.05)
        channel = progress.channel(JOB)
        with progress.within(channel):
            for value in range(5):
                progress(value)
            await asyncio.sleep(0.02)
            for value in range(5, 9):
                progress(value)
            await asyncio.sleep(0.1)
        await channel.close()

    asyncio.run(job())
    assert posts.values == [4, 8]


def test_close_waits_for_a_post_and_drops_the_rest(log: SeenLog) -> None:
    """When the job is over, the post under way arrives first, and nothing comes after it."""
    posts = Posts(seconds=0.05)

    async def job() -> list[Any]:
        progress = Progress(log, posts.post, pause_s=10)
        channel = progress.channel(JOB)
        with progress.within(channel):
            progress("first")
            await asyncio.sleep(0.01)
            progress("never")
        await channel.close()
        arrived = list(posts.ended)
        channel.offer("late")
        progress("later")
        await asyncio.sleep(0.1)
        return arrived

    assert asyncio.run(job()) == ["first"]
    assert posts.values == ["first"]


def test_from_a_thread_that_knows_no_job(log: SeenLog) -> None:
    """A thread of the handler's own reaches the one job that runs; without a job nothing happens."""

    async def job() -> None:
        progress = Progress(log)
        progress("nobody")
        channel = progress.channel(JOB)
        with progress.within(channel):
            thread = threading.Thread(target=progress, args=("50 %",))
            thread.start()
            await asyncio.to_thread(thread.join)
            await asyncio.sleep(0.01)
        await channel.close()

    asyncio.run(job())
    assert [(row["id"], row["value"]) for row in log.events("progress")] == [("j1", "50 %")]


@pytest.mark.parametrize(
    ("value", "posted"),
    [
        (np.float32(0.5), 0.5),
        ({"n": np.int64(3), "x": [object]}, {"n": 3, "x": ["<class 'object'>"]}),
        (float("nan"), "nan"),
        ({1, 2}, "{1, 2}"),
        ("x" * (MAX_BYTES + 1), '"' + "x" * 999 + "…"),
    ],
    ids=["scalar", "nested", "nan", "set", "long"],
)
def test_any_value_becomes_json(value: Any, posted: Any, log: SeenLog) -> None:
    """Nothing that can't be posted reaches the SDK, and no progress fails a job."""
    posts = Posts()

    async def job() -> None:
        channel = Progress(log, posts.post).channel(JOB)
        channel.offer(value)
        await asyncio.sleep(0.01)
        await channel.close()

    asyncio.run(job())
    assert posts.values == [posted]
