"""Many workers on one volume: each byte comes once, whatever locks do, and nobody is in another's way."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fetch_worker
import pytest
from fetch_worker import order
from weights_site import TOTAL_BYTES, Site, site

from factory.emulator.faults import Fault
from worker_runtime.weights import lease


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Site]:
    """A hub and a volume."""
    with site(tmp_path) as found:
        yield found


def wait_for(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    """Wait until it holds."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, "it never came to hold"
        time.sleep(0.01)


def ends(workers: list[Any]) -> list[list[dict[str, Any]]]:
    """Wait for workers that must end well, and return their events."""
    found = []
    for worker in workers:
        code, events = fetch_worker.finish(worker)
        assert code == 0, events
        found.append(events)
    return found


@pytest.mark.parametrize("breaks_flock", [False, True], ids=["flock", "no flock"])
def test_four_at_once(breaks_flock: bool, here: Site) -> None:
    """Four workers start at once on an empty volume: one fetches, the hub sends each byte once, all four are served."""
    told = order(here.volume, here.url, [here.block()], breaks_flock=breaks_flock)
    seen = ends([fetch_worker.start(told) for _ in range(4)])
    assert here.sent_bytes() == TOTAL_BYTES
    here.demand_whole(here.model())
    leaders = [rows for rows in seen if any(row["event"] == "fetched" for row in rows)]
    assert len(leaders) == 1
    assert not list((here.volume / ".factory/workers").iterdir())  # they have left


def test_hosts_that_know_nothing_of_each_other(here: Site) -> None:
    """Workers of four hosts, who can't look for each other's processes, do as well."""
    told = order(here.volume, here.url, [here.block()])
    ends([fetch_worker.start({**told, "host": f"host-{number}"}) for number in range(4)])
    assert here.sent_bytes() == TOTAL_BYTES
    here.demand_whole(here.model())


def test_two_recipes_of_one_commit(here: Site) -> None:
    """Two selections of one commit share a folder: what both want comes once, and READY lists the union."""
    one = here.block("config.json", "model-00001.safetensors", "model-00002.safetensors")
    two = here.block("config.json", "model-00002.safetensors", "text/model.safetensors", "text/vocab.txt", "empty.txt")
    told = order(here.volume, here.url, [one], recipe="one")
    ends([fetch_worker.start(told), fetch_worker.start({**told, "models": [two], "recipe": "two"})])
    assert here.sent_bytes() == TOTAL_BYTES
    here.demand_whole(here.model())


def test_waiters_see_how_far_the_leader_is(here: Site) -> None:
    """A worker that waits tells of the leader's progress, in bytes."""
    here.plan(Fault("stall", path="/_cdn/*00001*", method="GET", after_bytes=200_000, wait_s=3))
    told = order(here.volume, here.url, [here.block()], stale_s=2)
    leader = fetch_worker.start(told)
    wait_for(lambda: here.sent_bytes() > 0)
    _, waiter = ends([leader, fetch_worker.start(told)])
    waited = [row for row in waiter if row["event"] == "waiting"]
    assert waited
    assert waited[0]["leader"]


def test_a_worker_killed_among_many(here: Site) -> None:
    """When the leader of four is killed, another goes on where it was."""
    told = order(here.volume, here.url, [here.block()])
    doomed = fetch_worker.start({**told, "die": "in the middle"})
    wait_for(lambda: here.sent_bytes() > 0)
    others = [fetch_worker.start(told) for _ in range(3)]
    assert fetch_worker.finish(doomed)[0] == -9
    ends(others)
    here.demand_whole(here.model())
    assert here.sent_bytes() <= TOTAL_BYTES + 2 * (1 << 20) + 3000


def test_stopped_and_robbed(here: Site) -> None:
    """A leader that stands still loses the lease; going on it writes nothing, and uses what the other brought."""
    here.plan(Fault("stall", path="/_cdn/*00001*", method="GET", after_bytes=500_000, wait_s=4))
    told = order(here.volume, here.url, [here.block()], stale_s=1.5)
    first = fetch_worker.start({**told, "host": "other"})  # of another host: nobody can look whether it lives
    wait_for(lambda: here.sent_bytes() > 2_000_000)
    os.kill(first.pid, signal.SIGSTOP)
    try:
        code, events = fetch_worker.run(told)
        assert code == 0, events
        here.demand_whole(here.model())
        marks = {path: path.stat().st_mtime_ns for path in here.store.folder(here.model()).rglob("*")}
    finally:
        os.kill(first.pid, signal.SIGCONT)
    code, events = fetch_worker.finish(first)
    assert code == 0, events
    assert any(row["event"] == "lease_lost" for row in events)
    here.demand_whole(here.model())
    assert marks == {path: path.stat().st_mtime_ns for path in here.store.folder(here.model()).rglob("*")}


def test_a_lease_that_another_host_left(here: Site) -> None:
    """A lease of a host that is gone is taken over when it has stood still for as long as it promised to beat."""
    told = order(here.volume, here.url, [here.block()], stale_s=1)
    code, _ = fetch_worker.run({**told, "die": "in the middle", "host": "gone"})
    assert code == -9
    assert lease.highest(here.volume / ".factory/lease") == 1
    code, events = fetch_worker.run(told)
    assert code == 0, events
    assert [row["leader"] for row in events if row["event"] == "waiting"]
    here.demand_whole(here.model())
    assert lease.highest(here.volume / ".factory/lease") == 2
