"""Workers, releases and log lines over REST v2, of a box with workers in its own loop."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from runpod_box import KEY, Emulated, an_endpoint, emulated

from factory.emulator.runpod.entities import Endpoint
from factory.emulator.runpod.launch_inline import InlineLauncher

DEADLINE_S = 20


@pytest.fixture
def job() -> asyncio.Event:
    """What every job waits for."""
    return asyncio.Event()


@pytest.fixture
def runpod(job: asyncio.Event) -> Iterator[Emulated]:
    """A box that starts workers."""

    async def answer(job_input: Any) -> Any:
        await job.wait()
        return job_input

    with emulated(launcher=InlineLauncher(answer)) as made:
        yield made


@pytest.fixture
def client(runpod: Emulated) -> Iterator[httpx.Client]:
    """A client of it."""
    with httpx.Client(
        base_url=f"{runpod.url}/v2", headers={"Authorization": f"Bearer {KEY}"}, timeout=DEADLINE_S
    ) as made:
        yield made


def started(runpod: Emulated, client: httpx.Client) -> tuple[Endpoint, dict[str, Any]]:
    """Make an endpoint with a worker that is always there, and wait until it is idle."""
    endpoint = runpod.call(lambda box: box.world.create_endpoint(an_endpoint(workers_min=1, workers_max=1)))
    return endpoint, idle_worker(runpod, client, endpoint)


def idle_worker(runpod: Emulated, client: httpx.Client, endpoint: Endpoint, but: str = "") -> dict[str, Any]:
    """Wait for an idle worker of the endpoint that isn't `but`."""
    give_up_at = time.monotonic() + DEADLINE_S
    while time.monotonic() < give_up_at:
        runpod.advance(1)
        for worker in client.get(f"/serverless/{endpoint.id}/workers").json()["workers"]:
            if worker["status"] == "IDLE" and worker["id"] != but:
                found: dict[str, Any] = worker
                return found
    raise AssertionError("no worker became idle")


def events(text: str) -> list[tuple[str, dict[str, str]]]:
    """Return (id, data) of each event in a stream."""
    blocks = [dict(line.split(": ", 1) for line in block.split("\n")) for block in text.split("\n\n") if block]
    return [(block["id"], json.loads(block["data"])) for block in blocks]


def test_a_worker_is_shown(runpod: Emulated, client: httpx.Client) -> None:
    """Where it runs, since when, what; and the summary adds up."""
    endpoint, worker = started(runpod, client)
    assert (worker["version"], worker["isStale"], worker["image"]) == (1, False, endpoint.container.image)
    assert (worker["gpuTypeId"], worker["dataCenterId"]) == ("NVIDIA GeForce RTX 4090", "EU-RO-1")
    assert worker["uptimeSeconds"] >= 0
    answer = client.get(f"/serverless/{endpoint.id}/workers").json()
    assert answer["endpointVersion"] == 1
    assert answer["summary"] == {"running": 0, "idle": 1, "initializing": 0, "throttled": 0, "unhealthy": 0, "total": 1}


def test_a_release_rolls_out(runpod: Emulated, client: httpx.Client, job: asyncio.Event) -> None:
    """After a change the old worker is stale, the roll-out in progress; when it is over, all run the new version."""
    endpoint, old = started(runpod, client)
    # An idle worker would be gone with the next tick; a busy one stays until its job is done.
    runpod.call(lambda box: box.jobs.submit(endpoint.id, {"input": {"a": 1}}, is_sync=False))
    client.patch(f"/serverless/{endpoint.id}", json={"env": {"A": "1"}})
    workers = client.get(f"/serverless/{endpoint.id}/workers").json()
    assert [worker["isStale"] for worker in workers["workers"] if worker["id"] == old["id"]] == [True]
    assert client.get(f"/serverless/{endpoint.id}/releases").json()["rollout"]["inProgress"] is True
    runpod.call(lambda box: job.set())
    new = idle_worker(runpod, client, endpoint, but=old["id"])
    assert (new["version"], new["isStale"]) == (2, False)
    give_up_at = time.monotonic() + DEADLINE_S
    while client.get(f"/serverless/{endpoint.id}/releases").json()["rollout"]["inProgress"]:
        assert time.monotonic() < give_up_at, "the roll-out never ended"
        runpod.advance(1)
    releases = client.get(f"/serverless/{endpoint.id}/releases").json()
    assert releases["rollout"] == {"inProgress": False, "workersOnLatest": 1, "workersTotal": 1, "percentOnLatest": 100}
    assert [release["workerCount"] for release in releases["releases"]] == [1, 0]


def read_until_gone(
    runpod: Emulated, client: httpx.Client, path: str, **headers: str
) -> list[tuple[str, dict[str, str]]]:
    """Follow a worker's lines, delete its endpoint once the stream is open, and return all that came."""
    with client.stream("GET", path, headers=headers) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert (stream.headers["cache-control"], stream.headers["x-accel-buffering"]) == ("no-cache", "no")
        for endpoint_id in runpod.call(lambda box: list(box.world.endpoints)):
            client.delete(f"/serverless/{endpoint_id}")
        runpod.advance(1)
        return events(stream.read().decode())


def test_log_lines_are_followed_until_the_worker_is_gone(runpod: Emulated, client: httpx.Client) -> None:
    """What was said before, what is said meanwhile, each with an id; then the stream ends."""
    endpoint, worker = started(runpod, client)
    runpod.call(lambda box: box.fleet.heartbeat(worker["id"], unhealthy="of a line"))
    path = f"/serverless/{endpoint.id}/workers/{worker['id']}/logs"
    found = read_until_gone(runpod, client, path)
    lines = [data["line"] for _, data in found]
    assert "worker is unhealthy: of a line" in lines
    assert lines.index("worker is unhealthy: of a line") < len(lines) - 1, "its end was said after"
    for event_id, data in found:
        ts, _, number = event_id.partition("/")
        assert (data["ts"], len(number), data["source"] in ("container", "system")) == (ts, 12, True)
    assert [event_id for event_id, _ in found] == sorted(event_id for event_id, _ in found)


@pytest.mark.parametrize(
    ("query", "resume_after", "has_old"),
    [
        ("?tail=0", None, False),
        ("?tail=1", None, True),
        ("?source=system", None, True),
        ("?source=container&tail=5000", None, False),
        ("?since=2023-01-01T00:00:00Z&tail=0", None, True),
        ("?since=2099-01-01T00:00:00Z", None, False),
        ("?tail=0&since=2099-01-01T00:00:00Z", "2023-01-01T00:00:00Z", True),
        ("", "last", False),
        ("", "before last", True),
    ],
)
def test_where_reading_begins(
    runpod: Emulated, client: httpx.Client, query: str, resume_after: str | None, has_old: bool
) -> None:
    """Last-Event-ID goes before `since`, `since` before `tail`; `source` narrows all of them."""
    endpoint, worker = started(runpod, client)
    runpod.call(lambda box: box.fleet.heartbeat(worker["id"], unhealthy="old"))
    rows = runpod.call(lambda box: box.fleet.log_lines(worker["id"]))
    known = {
        "last": f"2023-11-14T22:13:20Z/{rows[-1].seq:012}",
        "before last": f"2023-11-14T22:13:20Z/{rows[-2].seq:012}",
    }
    headers = {"Last-Event-ID": known.get(resume_after, resume_after)} if resume_after else {}
    path = f"/serverless/{endpoint.id}/workers/{worker['id']}/logs{query}"
    lines = [data["line"] for _, data in read_until_gone(runpod, client, path, **headers)]
    assert ("worker is unhealthy: old" in lines) is has_old


@pytest.mark.parametrize(
    ("query", "headers"),
    [("?tail=5001", {}), ("?source=stderr", {}), ("?since=now", {}), ("", {"Last-Event-ID": "nothing"})],
)
def test_a_bad_beginning_is_a_422(runpod: Emulated, client: httpx.Client, query: str, headers: dict[str, str]) -> None:
    """Before a stream is opened."""
    endpoint, worker = started(runpod, client)
    path = f"/serverless/{endpoint.id}/workers/{worker['id']}/logs{query}"
    assert client.get(path, headers=headers).status_code == 422


def test_a_worker_of_another_endpoint_is_a_404(runpod: Emulated, client: httpx.Client) -> None:
    """Ids are looked for in their endpoint."""
    endpoint, worker = started(runpod, client)
    other = runpod.call(lambda box: box.world.create_endpoint(an_endpoint("other")))
    assert client.get(f"/serverless/{other.id}/workers/{worker['id']}/logs").status_code == 404
    assert client.get(f"/serverless/{endpoint.id}/workers/nobody/logs").status_code == 404
