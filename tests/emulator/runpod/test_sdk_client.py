"""The unmodified `runpod.Endpoint` client (1.12.0), sync and asyncio, against the job API over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import requests
import runpod
from runpod import AsyncioEndpoint
from runpod.http_client import AsyncClientSession
from runpod_box import KEY, Emulated, an_endpoint, emulated

from factory.emulator.runpod.box import Box
from factory.emulator.runpod.clock import RealClock
from factory.emulator.runpod.entities import Job


async def work(box: Box, endpoint_id: str) -> None:
    """A worker in the emulator's loop; what it does is the job's own wish."""
    worker = box.fleet.joined("w1", endpoint_id)
    while True:
        for job in await box.jobs.take(worker):
            answer(box, job)


def answer(box: Box, job: Job) -> None:
    """Do what a job's input says; `leave` leaves it running."""
    match job.payload["input"]:
        case {"do": "leave"}:
            return
        case {"do": "fail"}:
            result: dict[str, Any] = {"error": "bad"}
        case {"do": "stream"}:
            for number in range(3):
                box.jobs.add_chunk(job.endpoint_id, "w1", job.id, {"n": number})
            result = {"output": []}
        case given:
            result = {"output": {"got": given}}
    box.jobs.finish(job.endpoint_id, "w1", job.id, result)


class Account:
    """A served box with two endpoints: one has a worker, the other none."""

    def __init__(self, runpod_box: Emulated) -> None:
        self.box = runpod_box.box
        self.live, self.empty = (
            runpod_box.call(lambda box, name=name: box.world.create_endpoint(an_endpoint(name)).id)  # type: ignore[misc]
            for name in ("live", "empty")
        )
        assert self.box.loop is not None
        self.worker = asyncio.run_coroutine_threadsafe(work(self.box, self.live), self.box.loop)
        self.jobs_url = runpod_box.jobs_url


@pytest.fixture(scope="module")
def served() -> Iterator[Account]:
    """One account for all of it."""
    with emulated(clock=RealClock()) as runpod_box:
        account = Account(runpod_box)
        yield account
        account.worker.cancel()


@pytest.fixture
def account(served: Account, monkeypatch: pytest.MonkeyPatch) -> Account:
    """The account, as RUNPOD_ENDPOINT_BASE_URL names it: the SDK reads that at its import."""
    monkeypatch.setattr(runpod, "endpoint_url_base", served.jobs_url)
    return served


def test_run_and_output(account: Account) -> None:
    """`run`, `status`, `output`: the client polls until the result is there."""
    job = runpod.Endpoint(account.live, api_key=KEY).run({"input": {"text": "é"}})
    assert job.output(timeout=30) == {"got": {"text": "é"}}
    assert job.status() == "COMPLETED"


def test_run_sync(account: Account) -> None:
    """`run_sync` answers with the output; input without its key is wrapped by the SDK."""
    endpoint = runpod.Endpoint(account.live, api_key=KEY)
    assert endpoint.run_sync({"input": {"n": 1}}, timeout=30) == {"got": {"n": 1}}
    assert endpoint.run_sync({"n": 2}, timeout=30) == {"got": {"n": 2}}
    assert endpoint.run_sync({"input": {"do": "fail"}}, timeout=30) is None


def test_stream(account: Account) -> None:
    """`stream` yields each chunk once, and ends with the job."""
    job = runpod.Endpoint(account.live, api_key=KEY).run({"input": {"do": "stream"}})
    assert list(job.stream()) == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_cancel_health_and_purge(account: Account) -> None:
    """What the client asks of a queue that nobody serves."""
    endpoint = runpod.Endpoint(account.empty, api_key=KEY)
    job, *_ = [endpoint.run({"input": {"n": number}}) for number in range(3)]
    assert job.status() == "IN_QUEUE"
    assert job.cancel() == {"id": job.job_id, "status": "CANCELLED"}
    assert job.status() == "CANCELLED"
    health = endpoint.health()
    assert health["jobs"]["inQueue"] == 2
    assert health["workers"]["ready"] == 0
    assert endpoint.purge_queue() == {"removed": 2, "status": "completed"}


def test_what_the_client_makes_of_refusals(account: Account) -> None:
    """An unknown endpoint or job is an HTTPError of 404; no key, the SDK's RuntimeError."""
    with pytest.raises(requests.HTTPError, match="404"):
        runpod.Endpoint("none", api_key=KEY).run({"input": {"n": 1}})
    account.box.keys = frozenset({"right"})
    try:
        with pytest.raises(RuntimeError, match="401"):
            runpod.Endpoint(account.live, api_key="wrong").health()
    finally:
        account.box.keys = None


def play(scenario: Callable[[AsyncioEndpoint], Coroutine[Any, Any, None]], endpoint_id: str) -> None:
    """Run a scenario of the asyncio client."""

    async def run() -> None:
        async with AsyncClientSession() as session:
            await asyncio.wait_for(scenario(AsyncioEndpoint(endpoint_id, session, api_key=KEY)), 60)

    asyncio.run(run())


def test_the_asyncio_client(account: Account) -> None:
    """run, status, output, stream and health; many at once."""

    async def scenario(endpoint: AsyncioEndpoint) -> None:
        jobs = await asyncio.gather(*(endpoint.run({"n": number}) for number in range(20)))
        outputs = await asyncio.gather(*(job.output(timeout=30) for job in jobs))
        assert outputs == [{"got": {"n": number}} for number in range(20)]
        streaming = await endpoint.run({"do": "stream"})
        assert [chunk async for chunk in streaming.stream()] == [{"n": 0}, {"n": 1}, {"n": 2}]
        assert (await endpoint.health())["workers"]["ready"] == 1

    play(scenario, account.live)


def test_the_asyncio_client_cancels_and_purges(account: Account) -> None:
    """cancel of a queued job, and purge-queue."""

    async def scenario(endpoint: AsyncioEndpoint) -> None:
        job, _ = await endpoint.run({"n": 1}), await endpoint.run({"n": 2})
        assert await job.cancel() == {"id": job.job_id, "status": "CANCELLED"}
        assert await endpoint.purge_queue() == {"removed": 1, "status": "completed"}

    play(scenario, account.empty)


def test_cancel_of_a_running_job(account: Account) -> None:
    """The worker is told to stop it."""
    job = runpod.Endpoint(account.live, api_key=KEY).run({"input": {"do": "leave"}})
    for _ in range(1000):
        if job.status() == "IN_PROGRESS":
            break
    assert job.cancel() == {"id": job.job_id, "status": "CANCELLED"}
    assert account.box.jobs.stops.read(account.live, "w1") == [job.job_id]
