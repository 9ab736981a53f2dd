"""Workers without a process: tasks in the emulator's loop that answer jobs with a function. For load, and for tests.

    create_runpod(launcher=InlineLauncher())                          # gives every input back
    create_runpod(launcher=InlineLauncher(lambda job_input: {"n": len(job_input)}))

A function that raises fails the job with the exception's text; one that raises SystemExit ends its worker, as a
crashing container would.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable
from typing import Any

from factory.emulator.runpod.entities import Job
from factory.emulator.runpod.launcher import Handle, Order, Say
from factory.emulator.runpod.refusals import Refused

Answer = Callable[[Any], Any]


def echo(job_input: Any) -> Any:
    """Give the input back."""
    return job_input


class InlineLauncher:
    """Starts tasks. `answer` gets a job's input and returns its output, or an awaitable of it."""

    needs_url = False

    def __init__(self, answer: Answer = echo) -> None:
        self._answer = answer

    async def sweep(self) -> None:
        """Tasks end with their emulator."""

    async def start(self, order: Order, say: Say) -> Handle:
        """Start a task that takes jobs from now on."""
        return InlineWorker(order, self._answer, say)


class InlineWorker:
    """One such task."""

    def __init__(self, order: Order, answer: Answer, say: Say) -> None:
        self._order = order
        self._answer = answer
        self._say = say
        self._exit_code: int | None = None
        self._task = asyncio.create_task(self._work())

    @property
    def name(self) -> str:
        """Its worker's id."""
        return self._order.worker.id

    async def poll(self) -> int | None:
        """Return the code of the SystemExit that ended it, None while it goes on."""
        return self._exit_code

    async def stop(self, grace_s: float) -> None:
        """End it at once."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._exit_code = 143 if self._exit_code is None else self._exit_code

    async def _work(self) -> None:
        order = self._order
        try:
            order.joined()
            while True:
                for job in await order.jobs.take(order.worker):
                    await self._do(job)
        except SystemExit as end:
            self._exit_code = end.code if isinstance(end.code, int) else int(bool(end.code))
        except Exception as error:
            self._say("container", f"{type(error).__name__}: {error}")
            self._exit_code = 1

    async def _do(self, job: Job) -> None:
        if "input" not in job.payload:
            return  # no worker of RunPod's SDK can use it: the queue has it tried again, and failed
        try:
            output = self._answer(job.payload["input"])
            result = {"output": await output if inspect.isawaitable(output) else output}
        except Exception as error:
            result = {"error": f"{type(error).__name__}: {error}"}
        with contextlib.suppress(Refused):  # cancelled or out of time meanwhile
            self._order.jobs.finish(job.endpoint_id, self.name, job.id, result)
