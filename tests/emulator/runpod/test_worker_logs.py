"""A worker's log: kept, filtered, followed to its end."""

from __future__ import annotations

import asyncio

import pytest
from fleet_stage import Stage

from factory.emulator.runpod.refusals import Refused

pytestmark = pytest.mark.anyio


async def test_logs_are_kept_filtered_and_followed(stage: Stage) -> None:
    """Both sources in order with number and time; a follower gets the last lines, what comes, and the end."""
    endpoint, worker = await stage.ready()
    for number in range(3):
        stage.launcher.last.say("container", f"line {number}")
    read = stage.fleet.log_lines
    assert [row.line for row in read(worker.id, "container", tail=2)] == ["line 1", "line 2"]
    assert [row.seq for row in read(worker.id)] == [1, 2, 3, 4, 5]
    assert read(worker.id, tail=0) == []
    await stage.step(10)
    stage.launcher.last.say("container", "later")
    assert [row.line for row in read(worker.id, since=stage.box.clock.now())] == ["later"]

    seen: list[str] = []

    async def follow() -> None:
        async for row in stage.fleet.follow(worker.id, "container", tail=1):
            seen.append(row.line)

    following = asyncio.create_task(follow())
    await asyncio.sleep(0)
    stage.launcher.last.say("container", "new")
    await asyncio.sleep(0)
    stage.launcher.last.say("system", "not asked for")
    stage.launcher.last.say("container", "last")
    stage.box.world.delete_endpoint(endpoint.id)
    await stage.step()
    await asyncio.wait_for(following, 5)
    assert seen == ["later", "new", "last"]
    with pytest.raises(Refused, match="worker not found"):
        read(worker.id)


async def test_a_follower_goes_on_where_it_was(stage: Stage) -> None:
    """`after_seq` is the number of the last line that a reader has."""
    _, worker = await stage.ready()
    for number in range(5):
        stage.launcher.last.say("container", f"line {number}")
    lines = stage.fleet.follow(worker.id, tail=0, after_seq=5)
    assert [(await anext(lines)).line for _ in range(2)] == ["line 3", "line 4"]
