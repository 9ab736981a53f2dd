"""Workers without a process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from fleet_stage import a_box
from runpod_box import an_endpoint

from factory.emulator.runpod.clock import StepClock
from factory.emulator.runpod.entities import Job
from factory.emulator.runpod.launch_inline import InlineLauncher

pytestmark = pytest.mark.anyio


async def _answers(answer: Callable[[Any], Any], inputs: list[Any]) -> list[Job]:
    box = a_box(InlineLauncher(answer))
    endpoint = box.world.create_endpoint(an_endpoint())
    jobs = [box.jobs.submit(endpoint.id, {"input": one}, is_sync=False) for one in inputs]
    for _ in range(200):
        await box.tick()
        await asyncio.sleep(0)
        assert isinstance(box.clock, StepClock)
        box.clock.advance(1)
        if all(job.is_final for job in jobs):
            break
    await box.close()
    return jobs


async def test_inline_workers_answer_without_a_process() -> None:
    """A function answers, sync or async; its exception fails the job, and the worker goes on."""

    async def double(number: Any) -> Any:
        if number == 3:
            raise ValueError("no threes")
        return number * 2

    jobs = await _answers(double, [1, 2, 3, 4])
    assert [(job.status, job.output, job.error) for job in jobs] == [
        ("COMPLETED", 2, None),
        ("COMPLETED", 4, None),
        ("FAILED", None, "ValueError: no threes"),
        ("COMPLETED", 8, None),
    ]


async def test_an_inline_worker_can_crash() -> None:
    """SystemExit ends it as a container would end: the job is tried once more, then it fails."""

    def crash(_: Any) -> Any:
        raise SystemExit(7)

    (job,) = await _answers(crash, [1])
    assert (job.status, job.error) == ("FAILED", "job timed out after 1 retries")
