"""Looking at fifty endpoints stays within what RunPod allows: its OpenAPI shows 60 management calls a minute.

(OpenAPI 2.0.0, RateLimitPolicyHeader, read 2026-11-23; seconds are measured by `make bench-operate`.)
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from forked_cli import ForkedCli, forked_cli
from runpod_box import Emulated, an_endpoint, emulated
from sights import Desk

from factory.emulator.runpod.box import Box
from factory.emulator.runpod.clock import RealClock
from factory.emulator.runpod.entities import Person
from factory.emulator.runpod.launch_inline import InlineLauncher

ENDPOINTS = 50
JOB_API = ("health", "requests", "status", "run")


@pytest.fixture(scope="module")
def cli() -> Iterator[ForkedCli]:
    """What processes are forked from."""
    with forked_cli() as forks:
        yield forks


@pytest.fixture(scope="module")
def crowded() -> Iterator[Emulated]:
    """Fifty endpoints, each with a worker."""

    def fill(box: Box) -> None:
        for number in range(ENDPOINTS):
            box.world.create_endpoint(an_endpoint(f"model-{number:02}", workers_min=1, workers_max=1))

    with emulated(clock=RealClock(), launcher=InlineLauncher(), person=Person(worker_quota=ENDPOINTS)) as box:
        box.call(fill)
        deadline = time.monotonic() + 20
        while box.call(lambda b: sum(bool(b.fleet.workers(e)) for e in b.world.endpoints)) < ENDPOINTS:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield box


@pytest.mark.parametrize("api", ["rest", "graphql"])
@pytest.mark.parametrize(("command", "most"), [("status", 60), ("audit", 12)])
def test_fifty_endpoints_take_few_calls(
    crowded: Emulated, cli: ForkedCli, tmp_path: Path, api: str, command: str, most: int
) -> None:
    """Every list is asked for once, and each endpoint is shown with its worker."""
    crowded.calls.clear()
    done = Desk(crowded, cli, tmp_path, api).run(command, "--json")
    assert done.code == 0, done.err
    shown = json.loads(done.out)["endpoints"]
    assert len(shown) == ENDPOINTS
    assert all(sum(e["workers"].values()) if command == "audit" else e["worker_count"] for e in shown)
    paths = Counter(call.path for call in crowded.calls)
    managed = {path: count for path, count in paths.items() if path.split("/")[3:4] not in ([w] for w in JOB_API)}
    assert sum(managed.values()) <= most, managed
    assert all(count == 1 for path, count in paths.items() if path != "/graphql"), paths
