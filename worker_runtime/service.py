"""What RunPod's SDK calls with a job, from the first second on: wait, answer, or say why there is no answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from worker_runtime.adapter import Adapter, Surroundings, is_streaming
from worker_runtime.errors import StartUpSlow, WorkerError, WorkerStopped
from worker_runtime.failed_start import FailedStart
from worker_runtime.limits import JobLimit, limit_of
from worker_runtime.progress import Channel, Progress
from worker_runtime.start import StartUp

POLL_S = 0.1
WAIT_S = 590.0  # of a job that has no limit: RunPod's own default is 600 s
MAX_SLOW = 3  # so many jobs have waited in vain, and the worker is replaced


class Service:
    """Answers jobs while the start goes on and after it. `function` is what the SDK is to call now."""

    def __init__(self, startup: StartUp, around: Surroundings, failed: FailedStart, progress: Progress) -> None:
        self._startup = startup
        self._around = around
        self._failed = failed
        self._progress = progress
        self._adapter: Adapter | None = None
        self._slow = 0

    def function(self, *, is_queue: bool) -> Any:
        """Return the function for jobs: a generator's, where the handler is one and the SDK can stream.

        The SDK's local modes lose a generator's error, so there the parts come as one list.
        """
        if self._startup.failure is not None:
            return self._failed.answer
        handler = self._startup.handler_class
        is_stream = is_queue and handler is not None and is_streaming(handler)
        if self._startup.done.is_set():
            return self._ready().stream if is_stream else self._ready().run
        return self.stream if is_stream else self.run

    async def run(self, job: dict[str, Any]) -> Any:
        """Wait until the handler can answer, and let it."""
        began_s, limit = time.monotonic(), limit_of(job, self._around.job_s)
        failure = await self._wait(job, limit)
        if failure is not None:
            return self._answer(job, failure)
        return await self._ready().run(job, limit, time.monotonic() - began_s)

    async def stream(self, job: dict[str, Any]) -> AsyncIterator[Any]:
        """Wait until the handler can answer, and let it, part by part."""
        began_s, limit = time.monotonic(), limit_of(job, self._around.job_s)
        failure = await self._wait(job, limit)
        if failure is not None:
            yield self._answer(job, failure)
            return
        async for part in self._ready().stream(job, limit, time.monotonic() - began_s):
            yield part

    def _ready(self) -> Adapter:
        if self._adapter is None:
            self._adapter = Adapter(self._startup.handler, self._around)
        return self._adapter

    async def _wait(self, job: dict[str, Any], limit: JobLimit) -> WorkerError | None:
        """Tell the job how the start goes on, until it is over; return why the job can't be answered."""
        channel = self._progress.channel(job)
        try:
            return await self._watch(channel, limit)
        finally:
            await channel.close()

    async def _watch(self, channel: Channel, limit: JobLimit) -> WorkerError | None:
        told = ""
        waits_until = limit.began_s + (WAIT_S if limit.total_s is None else limit.total_s)
        while not self._startup.done.is_set():
            says = self._startup.says()
            if says != told:
                channel.offer(says)
                told = says
            if self._around.stopping.is_set():
                return WorkerStopped(f"the worker was told to stop while it was {says}", fix="send the job again")
            if time.monotonic() >= waits_until:
                return self._too_slow(says, time.monotonic() - limit.began_s)
            await asyncio.sleep(POLL_S)
        return self._startup.failure

    def _too_slow(self, says: str, waited_s: float) -> StartUpSlow:
        self._slow += 1
        if self._slow >= MAX_SLOW:
            self._around.retire(f"{self._slow} jobs waited in vain for the start ({says})")
        return StartUpSlow(
            f"the worker was not ready after {waited_s:.0f} s: {says}",
            fix="send the job again later, or with a longer policy.executionTimeout",
        )

    def _answer(self, job: dict[str, Any], failure: WorkerError) -> dict[str, Any]:
        if failure is self._startup.failure:
            return self._failed.fail(job, failure)
        self._around.log.tell("job", id=job.get("id"), status="failed", **failure.as_fields())
        return {"error": str(failure)}
