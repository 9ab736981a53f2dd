"""From the handler contract to the function that RunPod's SDK calls with a job.

The SDK posts an `error` as it is, leaves a job for ever IN_PROGRESS when the result can't be serialised, and posts an
exception as an object with its traceback (runpod 1.12.0, read and seen 2026-11-23). So this function never raises, its
`error` is always a string, and its output is always plain JSON of a size that RunPod takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from worker_runtime import contract, memory
from worker_runtime.bounded_call import BoundedCall
from worker_runtime.errors import GpuFailed, HandlerFailed, InputInvalid, JobError, OutOfMemory, WorkerError
from worker_runtime.events import EventLog, current_job
from worker_runtime.handler_thread import HandlerThread
from worker_runtime.job_folder import JobFolder
from worker_runtime.limits import JobLimit, limit_of
from worker_runtime.memory import MemoryWatch
from worker_runtime.outputs import JobOutputs, OutputRules
from worker_runtime.progress import Progress
from worker_runtime.recipe import problems
from worker_runtime.redaction import redact
from worker_runtime.timing import Timing

Job = Mapping[str, Any]
_END = object()


class _Answer(dict[str, Any]):
    """An object as a job's output. The SDK drops an output that equals `{}`; this one equals only itself."""

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other


def is_streaming(handler: type[Any]) -> bool:
    """Whether calling a handler of this class gives a generator."""
    call = handler.__call__
    return inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call)


def nobody(_reason: str) -> None:
    """Replace no worker: there is none, as with `--test-input`."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What jobs run in. `stopping`: set when no job may be waited for. `retire`: has the worker replaced, says why."""

    log: EventLog
    thread: HandlerThread = field(default_factory=HandlerThread)
    outputs: OutputRules = field(default_factory=OutputRules)
    jobs_folder: Path = Path("/tmp/factory-jobs")  # noqa: S108
    job_s: float | None = None
    progress: Progress | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    retire: Callable[[str], None] = nobody


class Adapter:
    """Answers jobs with one handler."""

    def __init__(self, handler: Any, around: Surroundings) -> None:
        self._handler = handler
        self._around = around
        self._log = around.log
        self._progress = around.progress or Progress(around.log)
        self._memory = MemoryWatch()

    async def run(self, job: dict[str, Any], limit: JobLimit | None = None, waited_s: float = 0.0) -> Any:
        """Answer one job: its output, or `{"error": string}`. A streaming handler's parts come as one list.

        `limit` and `waited_s` are those of a job that waited in this worker already.
        """
        timing = Timing(job, waited_s)
        channel = self._progress.channel(job)
        try:
            with self._job(job), self._progress.within(channel):
                try:
                    return self._ended_well(job, timing, await self._result(job, timing, limit))
                except (Exception, SystemExit, KeyboardInterrupt) as error:  # sys.exit would end the worker unanswered
                    return await self._failure(job, timing, error)
        finally:
            await channel.close()

    async def stream(
        self, job: dict[str, Any], limit: JobLimit | None = None, waited_s: float = 0.0
    ) -> AsyncIterator[Any]:
        """Answer one job part by part; a failure is the last part, `{"error": string}`, which fails the job."""
        timing = Timing(job, waited_s)
        channel = self._progress.channel(job)
        try:
            with self._job(job), self._progress.within(channel):
                outputs = JobOutputs(job, self._around.outputs)
                with timing.span("inputs"):
                    inputs = self._inputs(job)
                call = self._call(job, limit)
                async with contextlib.aclosing(call.parts(self._handler, inputs)) as parts:
                    while True:
                        with timing.span("inference"):
                            part = await anext(parts, _END)
                        if part is _END:
                            break
                        with timing.span("outputs"):
                            plain = await call.on_loop(asyncio.to_thread(outputs.finish, part))
                        yield plain
                if timing.is_asked:
                    yield {"timing": timing.as_fields()}
                self._tell_of_end(job, timing)
                self._memory.ended_well()
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            yield await self._failure(job, timing, error)
        finally:
            await channel.close()

    @contextlib.contextmanager
    def _job(self, job: Job) -> Iterator[None]:
        """A job's folder, its id in the log, and a line that it was cancelled when it was."""
        job_id = str(job.get("id", ""))
        token = current_job.set(job_id)
        self._memory.begin()
        try:
            with JobFolder(self._around.jobs_folder, job_id):
                yield
        except asyncio.CancelledError:
            self._log.tell("job", id=job.get("id"), status="cancelled")
            raise
        finally:
            with contextlib.suppress(ValueError):  # a stream that was left is closed in another context
                current_job.reset(token)

    def _call(self, job: Job, limit: JobLimit | None) -> BoundedCall:
        around = self._around
        return BoundedCall(around.thread, limit or limit_of(job, around.job_s), around.stopping, around.retire)

    async def _result(self, job: Job, timing: Timing, limit: JobLimit | None) -> Any:
        outputs = JobOutputs(job, self._around.outputs)
        call = self._call(job, limit)
        with timing.span("inputs"):
            inputs = self._inputs(job)
        with timing.span("inference"):
            value = await call.value(self._handler, inputs)
        with timing.span("outputs"):
            return await call.on_loop(asyncio.to_thread(outputs.finish, value))

    def _inputs(self, job: Job) -> Any:
        model = contract.input_model(self._handler)
        raw = job.get("input")
        if model is None:
            return raw
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            raise InputInvalid(
                problems(error), fix="`python -m worker_runtime --schema` prints what it takes"
            ) from error

    def _ended_well(self, job: Job, timing: Timing, result: Any) -> Any:
        if isinstance(result, dict) and result.get("error"):  # the handler's own way to fail a job
            text = _as_text(result["error"])
            self._tell_of_end(job, timing, HandlerFailed(text))
            return {**result, "error": text}
        self._tell_of_end(job, timing)
        self._memory.ended_well()
        if timing.is_asked:
            flags = {key: result.pop(key) for key in ("refresh_worker",) if isinstance(result, dict) and key in result}
            return _Answer(output=result, timing=timing.as_fields(), **flags)
        return _Answer(result) if isinstance(result, dict) else result

    async def _failure(self, job: Job, timing: Timing, error: BaseException) -> dict[str, Any]:
        known = error if isinstance(error, WorkerError) else memory.as_job_error(error)
        trace = "" if isinstance(error, JobError) else "".join(traceback.format_exception(error))[-4000:]
        self._tell_of_end(job, timing, known, **({"traceback": trace} if trace else {}))
        if isinstance(known, OutOfMemory | GpuFailed):
            reason = await asyncio.wrap_future(self._around.thread.submit(lambda: self._memory.recover(error, known)))
            if reason:
                self._around.retire(reason)
        text = redact(str(known), self._log.secrets).encode("utf-8", "replace").decode()
        failed: dict[str, Any] = {"error": text}
        if timing.is_asked:
            failed["timing"] = timing.as_fields()
        return failed

    def _tell_of_end(self, job: Job, timing: Timing, error: WorkerError | None = None, **more: Any) -> None:
        self._log.tell(
            "job",
            id=job.get("id"),
            status="done" if error is None else "failed",
            seconds=timing.seconds,
            **timing.as_fields(),
            **(error.as_fields() if error else {}),
            **more,
        )


def _as_text(error: object) -> str:
    return error if isinstance(error, str) else json.dumps(error, ensure_ascii=False)
