"""A job through the adapter: outputs, errors, streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, Field
from worker_app import SeenLog

from worker_runtime.adapter import Adapter, Surroundings, is_streaming
from worker_runtime.errors import CommandFailed
from worker_runtime.outputs import OutputRules


class Returns:
    """A handler that returns what it was made with."""

    def __init__(self, output: Any) -> None:
        self.output = output

    def __call__(self, _inputs: Any) -> Any:
        """Return it."""
        return self.output


class Raises:
    """A handler that raises what it was made with."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, _inputs: Any) -> Any:
        """Raise it."""
        raise self.error


class Asynchronous:
    """An async handler."""

    async def __call__(self, inputs: Any) -> Any:
        """Echo."""
        await asyncio.sleep(0)
        return inputs


class Generates:
    """A generator that may fail after two parts."""

    def __call__(self, inputs: Any) -> Iterator[Any]:
        """Yield two parts, then raise when the input says so."""
        yield np.float32(1)
        yield {"part": 2}
        if inputs:
            raise ValueError("third part")


class GeneratesAsync:
    """An async generator."""

    async def __call__(self, inputs: Any) -> AsyncIterator[Any]:
        """Yield the input's items."""
        for item in inputs:
            yield item


class Checked:
    """A handler with an Input."""

    class Input(BaseModel):
        """Two fields."""

        texts: list[str]
        count: int = Field(1, le=5)

    def __call__(self, inputs: Input) -> Any:
        """Give the fields back."""
        return {"texts": inputs.texts, "count": inputs.count}


def answer(handler: Any, job_input: Any, log: SeenLog, limit: int = 10_000) -> Any:
    """Return the adapter's answer to one job."""
    around = Surroundings(log, outputs=OutputRules(max_result_bytes=limit))
    return asyncio.run(Adapter(handler, around).run({"id": "j1", "input": job_input}))


def streamed(handler: Any, job_input: Any, log: SeenLog) -> list[Any]:
    """Return the parts of the adapter's answer."""

    async def collect() -> list[Any]:
        adapter = Adapter(handler, Surroundings(log, outputs=OutputRules(max_result_bytes=1000)))
        return [part async for part in adapter.stream({"id": "j1", "input": job_input})]

    return asyncio.run(collect())


@pytest.mark.parametrize(
    ("handler", "job_input", "expected"),
    [
        (Returns(None), {}, None),
        (Returns([np.int64(1)]), {}, [1]),
        (Asynchronous(), {"a": 1}, {"a": 1}),
        (Generates(), None, [1.0, {"part": 2}]),
        (GeneratesAsync(), [1, 2], [1, 2]),
        (Checked(), {"texts": ["x"]}, {"texts": ["x"], "count": 1}),
    ],
    ids=["none", "numpy", "async", "generator", "async-generator", "input-model"],
)
def test_gives_the_output(handler: Any, job_input: Any, expected: Any, log: SeenLog) -> None:
    """Every form of handler gives its output, as plain JSON, and one line in the log."""
    given = answer(handler, job_input, log)
    assert (dict(given) if isinstance(given, dict) else given) == expected
    assert [(e["id"], e["status"]) for e in log.events("job")] == [("j1", "done")]


def test_an_empty_object_survives_the_sdk(log: SeenLog) -> None:
    """The SDK drops an output that equals {}; ours does not equal it, and is still written as {}."""
    given = answer(Returns({}), {}, log)
    assert isinstance(given, dict)
    assert given != {}
    assert json.dumps(given) == "{}"


def test_every_input_problem_is_listed_with_its_path(log: SeenLog) -> None:
    """Wrong input fails the job with all problems, where each is, and what was found."""
    error = answer(Checked(), {"texts": ["a", 3], "count": 9}, log)["error"]
    assert error.startswith("input_invalid: texts.1: ")
    assert "(found 3)" in error
    assert "count: Input should be less than or equal to 5 (found 9)" in error
    assert "texts: Field required" in answer(Checked(), {}, log)["error"]
    assert answer(Checked(), None, log)["error"].startswith("input_invalid: input: ")


@pytest.mark.parametrize(
    ("handler", "text"),
    [
        (Raises(ValueError("bad thing")), "handler_failed: ValueError: bad thing"),
        (Raises(SystemExit(3)), "handler_failed: SystemExit: 3"),
        (Raises(CommandFailed("it broke", fix="mend it")), "command_failed: it broke; mend it"),
        (Raises(ValueError("\ud800")), "handler_failed: ValueError: ?"),
        (Returns({"error": "my own words", "detail": 1}), "my own words"),
        (Returns({"error": {"code": 5}}), '{"code": 5}'),
        (Returns(object()), "output_unserialisable: "),
        (Returns("x" * 20_000), "output_too_large: the output is 20031 bytes of JSON, and RunPod takes 10000"),
    ],
    ids=["exception", "sys.exit", "own-error", "surrogate", "error-key", "error-object", "object", "too-large"],
)
def test_an_error_is_one_string(handler: Any, text: str, log: SeenLog) -> None:
    """However a job fails, its error is a string that begins with the reason, and the log has it too."""
    failed = answer(handler, {}, log)
    assert isinstance(failed["error"], str)
    assert failed["error"].startswith(text)
    assert log.events("job")[-1]["status"] == "failed"


def test_a_traceback_is_logged_and_not_posted(log: SeenLog) -> None:
    """The caller gets the sentence; the person with the log gets the traceback."""
    failed = answer(Raises(ValueError("bad")), {}, log)
    assert "Traceback" not in failed["error"]
    assert "ValueError: bad" in log.events("job")[0]["traceback"]


def test_streams_part_by_part(log: SeenLog) -> None:
    """A generator's parts come one by one, and a failure is the last part."""
    assert streamed(Generates(), None, log) == [1.0, {"part": 2}]
    assert streamed(Generates(), "fail", log)[2:] == [{"error": "handler_failed: ValueError: third part"}]
    assert streamed(GeneratesAsync(), [object()], log)[0]["error"].startswith("output_unserialisable")


@pytest.mark.parametrize(
    ("handler", "streams"),
    [(Generates(), True), (GeneratesAsync(), True), (Asynchronous(), False), (Returns(1), False)],
)
def test_knows_a_streaming_handler(handler: Any, streams: bool) -> None:
    """A handler streams when its __call__ is a generator, async or not."""
    assert is_streaming(type(handler)) is streams
