"""One job's calls of the handler, each ended by its end, the job's time limit, the worker's stop, or a cancellation."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from worker_runtime.errors import JobError, JobTimeout, WorkerStopped
from worker_runtime.handler_thread import HandlerThread, Interrupted
from worker_runtime.limits import JobLimit

END_S = 2.0  # what was interrupted has so long to end; then its thread is given up
HURRY_S = 0.5  # the same when the worker is stopped: Docker kills it 2 s after its default grace
_END = object()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call gave or raised. A SystemExit that travelled as an exception would end the event loop."""

    value: Any = None
    error: BaseException | None = None

    def unwrap(self) -> Any:
        """Return the value or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value


class BoundedCall:
    """Calls a handler for one job. `stopping` is set when the worker may not wait for the job any longer.

    `give_up` is told why, when a call can't be ended: its thread, and so the worker, is of no more use.
    """

    def __init__(
        self, thread: HandlerThread, limit: JobLimit, stopping: asyncio.Event, give_up: Callable[[str], None]
    ) -> None:
        self._thread = thread
        self._limit = limit
        self._stopping = stopping
        self._give_up = give_up

    async def value(self, handler: Any, inputs: Any) -> Any:
        """Return what the handler gives; a generator's parts as a list."""
        answer = await self._first(handler, inputs)
        if inspect.isgenerator(answer) or inspect.isasyncgen(answer):
            async with contextlib.aclosing(self._parts(answer)) as parts:
                return [part async for part in parts]
        return answer

    async def parts(self, handler: Any, inputs: Any) -> AsyncGenerator[Any]:
        """Yield the parts of a generator one by one."""
        async with contextlib.aclosing(self._parts(await self._first(handler, inputs))) as parts:
            async for part in parts:
                yield part

    async def _first(self, handler: Any, inputs: Any) -> Any:
        call = type(handler).__call__
        if inspect.isasyncgenfunction(call):
            return handler(inputs)
        if inspect.iscoroutinefunction(call):
            return await self.on_loop(handler(inputs))
        answer = await self.in_thread(lambda: handler(inputs))
        return await self.on_loop(answer) if inspect.isawaitable(answer) else answer

    async def _parts(self, answer: Any) -> AsyncGenerator[Any]:
        if inspect.isasyncgen(answer):
            try:
                while (part := await self.on_loop(anext(answer, _END))) is not _END:
                    yield part
            finally:
                with contextlib.suppress(RuntimeError):  # it runs still: it was given up
                    await answer.aclose()
        else:
            try:
                while (part := await self.in_thread(lambda: next(answer, _END))) is not _END:
                    yield part
            finally:
                self._thread.submit(answer.close)

    async def in_thread(self, call: Callable[[], Any]) -> Any:
        """Run a call in the handler's thread."""
        future = self._thread.submit(lambda: _outcome_of(call))
        work = asyncio.ensure_future(_flat(asyncio.wrap_future(future)))
        return await self._bounded(work, lambda: self._thread.interrupt(future), is_thread=True)

    async def on_loop(self, awaitable: Awaitable[Any]) -> Any:
        """Run an awaitable on the event loop."""
        work = asyncio.ensure_future(_outcome(awaitable))
        return await self._bounded(work, work.cancel, is_thread=False)

    async def _bounded(self, work: asyncio.Task[Outcome], interrupt: Callable[[], object], *, is_thread: bool) -> Any:
        stop = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({work, stop}, timeout=self._limit.left_s, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # the job was cancelled; nobody waits for an answer
            await self._end(work, interrupt, is_thread=is_thread)
            raise
        finally:
            stop.cancel()
        if not work.done():
            ended = await self._end(work, interrupt, is_thread=is_thread)
            if ended is None or ended.error is not None:
                raise self._reason()
        return work.result().unwrap()

    async def _end(
        self, work: asyncio.Task[Outcome], interrupt: Callable[[], object], *, is_thread: bool
    ) -> Outcome | None:
        """End a call; return how it ended, None when it does not."""
        interrupt()
        await asyncio.wait({work}, timeout=HURRY_S if self._stopping.is_set() else END_S)
        if work.done():
            return work.result()
        self._give_up(
            "the handler's thread does not end" if is_thread else "the handler does not let itself be cancelled"
        )
        return None

    def _reason(self) -> JobError:
        if self._stopping.is_set():
            return WorkerStopped("the worker was told to stop before the job was done", fix="send the job again")
        limit = self._limit
        return JobTimeout(
            f"the job ran for {limit.total_s:.1f} s and was stopped ({limit.source})",
            fix="ask for less, or send a longer policy.executionTimeout",
        )


async def _outcome(awaitable: Awaitable[Any]) -> Outcome:
    try:
        return Outcome(await awaitable)
    except BaseException as error:
        return Outcome(error=error)


def _outcome_of(call: Callable[[], Any]) -> Outcome:
    try:
        return Outcome(call())
    except BaseException as error:  # StopIteration among them, which no future can hold
        return Outcome(error=error)


async def _flat(outcome: Awaitable[Outcome]) -> Outcome:
    try:
        return await outcome
    except (asyncio.CancelledError, Interrupted) as ended:
        return Outcome(error=ended)
