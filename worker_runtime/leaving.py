"""How a worker on the queue ends: never before the running job is answered, and never much later.

RunPod's SDK, told to stop, finishes the running job and then waits for its open long polls, up to 90 s (runpod 1.12.0,
read and seen 2026-11-23): longer than any platform lets it. Here the loop ends as soon as nothing is in progress.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from worker_runtime.children import end_at_once
from worker_runtime.events import EventLog

POLL_S = 0.05
POST_S = 12.0  # the SDK's three attempts at posting a result, with pauses of 2 and 3 s


class Leaving:
    """Ends the worker, once. `stopping` is set when the running job has used up its grace."""

    def __init__(self, log: EventLog, jobs_in_progress: Callable[[], int], grace_s: float) -> None:
        self._log = log
        self._jobs_in_progress = jobs_in_progress
        self._grace_s = grace_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_sdk: Any = None
        self._reason = ""
        self._task: asyncio.Task[None] | None = None
        self.stopping = asyncio.Event()
        self.config: dict[str, Any] = {}
        """The SDK's configuration: `refresh_worker` in it asks RunPod to replace the worker with the next answer."""

    def join(self, concurrency: int) -> int:
        """Be the SDK's `concurrency_modifier`, which it calls in its loop before each poll. Changes nothing."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._stop_sdk = signal.getsignal(signal.SIGTERM)
            signal.signal(signal.SIGTERM, self._on_signal)
        return concurrency

    def retire(self, reason: str) -> None:
        """Have the worker replaced: the running job is answered, then the worker ends. From any thread."""
        self._log.tell("retire", reason=reason)
        self.config["refresh_worker"] = True
        self._begin(reason)

    def _on_signal(self, signum: int, _frame: FrameType | None) -> None:
        self._begin(signal.Signals(signum).name)

    def _begin(self, reason: str) -> None:
        if self._reason or self._loop is None:  # without a loop of the SDK's there is no queue that was joined
            return
        self._reason = reason
        self._loop.call_soon_threadsafe(self._start)

    def _start(self) -> None:
        assert self._loop is not None
        timer = threading.Timer(self._grace_s + 2 * POST_S, end_at_once, (1,))  # if all else hangs
        timer.daemon = True
        timer.start()
        if callable(self._stop_sdk):
            self._stop_sdk(signal.SIGTERM, None)  # it takes no more jobs
        self._task = self._loop.create_task(self._leave())

    async def _leave(self) -> None:
        self._log.tell("leaving", reason=self._reason, jobs=self._jobs_in_progress())
        await self._wait_for_jobs(self._grace_s)
        self.stopping.set()
        await self._wait_for_jobs(POST_S)
        self._log.tell("left", reason=self._reason, jobs=self._jobs_in_progress())
        assert self._loop is not None
        self._loop.call_soon(sys.exit, 0)  # ends the loop, and with it the open polls

    async def _wait_for_jobs(self, most_s: float) -> None:
        assert self._loop is not None
        end = self._loop.time() + most_s
        while self._jobs_in_progress() and self._loop.time() < end:  # noqa: ASYNC110  the SDK's count has no event
            await asyncio.sleep(POLL_S)
