"""From the handler contract to the function that RunPod's SDK calls with a job.

The SDK posts an `error` as it is, leaves a job for ever IN_PROGRESS when the result can't be serialised, and posts an
exception as an object with its traceback (runpod 1.12.0, read and seen 2026-11-23). So this function never raises, its
`error` is always a string, and its output is always plain JSON of a size that RunPod takes.
"""

from __future__ import annotations

import inspect
import json
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from pydantic import ValidationError

from worker_runtime import contract, outputs
from worker_runtime.errors import HandlerFailed, InputInvalid, JobError, WorkerError
from worker_runtime.events import EventLog
from worker_runtime.recipe import problems

Job = Mapping[str, Any]
JobFunction = Callable[[dict[str, Any]], Awaitable[Any]]
StreamFunction = Callable[[dict[str, Any]], AsyncIterator[Any]]


class _Answer(dict[str, Any]):
    """An object as a job's output. The SDK drops an output that equals `{}`; this one equals only itself."""

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other


def is_streaming(handler: Any) -> bool:
    """Whether calling the handler gives a generator."""
    call = type(handler).__call__
    return inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call)


class Adapter:
    """Answers jobs with one handler. `max_result_bytes` bounds the JSON of one result, or of one streamed part."""

    def __init__(self, handler: Any, log: EventLog, *, max_result_bytes: int) -> None:
        self._handler = handler
        self._log = log
        self._max_result_bytes = max_result_bytes

    async def run(self, job: dict[str, Any]) -> Any:
        """Answer one job: its output, or `{"error": string}`. A streaming handler's parts come as one list."""
        start = time.perf_counter()
        try:
            output = await self._collect(self._inputs(job))
            result = outputs.within_limit(outputs.jsonable(output), self._max_result_bytes)
        except (Exception, SystemExit) as error:  # sys.exit would end the worker with nothing posted
            return self._failure(job, error, start)
        if isinstance(result, dict):
            if result.get("error"):  # the handler's own way to fail a job
                return self._failure(job, HandlerFailed(_as_text(result["error"])), start, whole=result)
            result = _Answer(result)
        self._done(job, start)
        return result

    async def stream(self, job: dict[str, Any]) -> AsyncIterator[Any]:
        """Answer one job part by part; a failure is the last part, `{"error": string}`, which fails the job."""
        start = time.perf_counter()
        try:
            async for part in _parts(self._handler(self._inputs(job))):
                yield outputs.within_limit(outputs.jsonable(part), self._max_result_bytes)
        except (Exception, SystemExit) as error:
            yield self._failure(job, error, start)
            return
        self._done(job, start)

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

    async def _collect(self, inputs: Any) -> Any:
        answer = self._handler(inputs)
        if inspect.isawaitable(answer):
            answer = await answer
        if inspect.isgenerator(answer) or inspect.isasyncgen(answer):
            return [part async for part in _parts(answer)]
        return answer

    def _failure(
        self, job: Job, error: BaseException, start: float, *, whole: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        known = error if isinstance(error, WorkerError) else HandlerFailed(f"{type(error).__name__}: {error}")
        trace = "" if isinstance(error, JobError) else "".join(traceback.format_exception(error))
        self._log.tell(
            "job",
            id=job.get("id"),
            status="failed",
            seconds=round(time.perf_counter() - start, 3),
            **known.as_fields(),
            **({"traceback": trace[-4000:]} if trace else {}),
        )
        text = known.what if whole is not None else str(known)
        return {**(whole or {}), "error": text.encode("utf-8", "replace").decode()}

    def _done(self, job: Job, start: float) -> None:
        self._log.tell("job", id=job.get("id"), status="done", seconds=round(time.perf_counter() - start, 3))


def _as_text(error: object) -> str:
    return error if isinstance(error, str) else json.dumps(error, ensure_ascii=False)


async def _parts(answer: Any) -> AsyncIterator[Any]:
    if inspect.isasyncgen(answer):
        async for part in answer:
            yield part
    else:
        for part in answer:
            yield part
