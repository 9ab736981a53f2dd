"""The worker protocol on the wire: long polls, results, stops, and workers that go away in the middle of it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from runpod_box import KEY, Emulated, an_endpoint, emulated

from factory.emulator.runpod import worker_protocol
from factory.emulator.runpod.entities import Job
from factory.emulator.runpod.launch_inline import InlineLauncher
from factory.emulator.runpod.troubles import LoseJob


class Worker:
    """A foreign worker by hand, over HTTP."""

    def __init__(self, runpod: Emulated, name: str = "w1") -> None:
        self.runpod = runpod
        self.name = name
        self.endpoint: str = runpod.call(lambda box: next(iter(box.world.endpoints)))
        self.client = httpx.AsyncClient(headers={"Authorization": KEY}, timeout=60)

    def url(self, operation: str, job: str = "", query: str = "") -> str:
        """The address of an operation."""
        return f"{self.runpod.jobs_url}/{self.endpoint}/{operation}/{self.name}{job and '/' + job}?gpu=none{query}"

    async def take(self, query: str = "&job_in_progress=0") -> httpx.Response:
        """Ask for a job."""
        return await self.client.get(self.url("job-take", query=query))

    async def done(self, job: str, body: Any) -> int:
        """Post a result, as the SDK does it: JSON that calls itself a form."""
        headers = {"Content-Type": "application/x-www-form-urlencoded", "charset": "utf-8", "X-Request-ID": job}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        url = self.url("job-done", job, "&isStream=false")
        return (await self.client.post(url, content=content, headers=headers)).status_code

    def submit(self, payload: Any = None) -> Job:
        """Queue a job."""
        payload = payload or {"input": {"n": 1}, "extra": [1], "policy": {"lowPriority": False}}
        return self.runpod.call(lambda box: box.jobs.submit(self.endpoint, payload, is_sync=False))

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait for something that is about to happen in the emulator's thread."""
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.005)

    @property
    def waiting(self) -> int:
        """How many polls the emulator holds open."""
        return sum(call.status == 0 for call in self.runpod.calls)


@pytest.fixture
def runpod() -> Iterator[Emulated]:
    """A served box with one endpoint."""
    with emulated() as served:
        served.call(lambda box: box.world.create_endpoint(an_endpoint()))
        yield served


def play(scenario: Any) -> None:
    """Run a scenario."""
    asyncio.run(asyncio.wait_for(scenario, 60))


def test_a_job_comes_whole_and_its_result_is_taken(runpod: Emulated) -> None:
    """All that was submitted reaches the worker, with the id; every form of result is understood."""

    async def scenario() -> None:
        worker = Worker(runpod)
        for body, status in (({"output": {"a": 1}}, "COMPLETED"), ({"error": "bad"}, "FAILED"), ({}, "COMPLETED")):
            job = worker.submit()
            taken = await worker.take()
            assert taken.headers["content-type"] == "application/json"
            assert taken.json() == {
                "id": job.id,
                "input": {"n": 1},
                "extra": [1],
                "policy": {"lowPriority": False},
            }
            assert await worker.done(job.id, body) == 200
            assert job.status == status
            assert job.worker_id == "w1"

    play(scenario())


def test_a_poll_is_held_until_a_job_comes_or_20_s_are_over(runpod: Emulated) -> None:
    """No take is answered at once with nothing: the SDK would ask a thousand times a second."""

    async def scenario() -> None:
        worker = Worker(runpod)
        poll = asyncio.create_task(worker.take())
        await worker.until(lambda: worker.waiting == 1)
        runpod.advance(19)
        await asyncio.sleep(0.05)
        assert not poll.done()
        runpod.advance(1)
        assert (await poll).status_code == 204
        poll = asyncio.create_task(worker.take())
        await worker.until(lambda: worker.waiting == 1)
        job = worker.submit()
        assert (await poll).json()["id"] == job.id

    play(scenario())


def test_batches(runpod: Emulated) -> None:
    """A batch is a list of at most `batch_size`; one that is none is refused, after a while."""

    async def scenario() -> None:
        worker = Worker(runpod)
        jobs = [worker.submit() for _ in range(3)]
        for size, expected in ((2, jobs[:2]), (5, jobs[2:])):
            answer = await worker.client.get(worker.url("job-take-batch", query=f"&batch_size={size}"))
            assert [job["id"] for job in answer.json()] == [job.id for job in expected]
        poll = asyncio.create_task(worker.client.get(worker.url("job-take-batch", query="&batch_size=2")))
        await worker.until(lambda: worker.waiting == 1)
        runpod.advance(20)
        assert (await poll).status_code == 204

    play(scenario())


def test_a_refused_take_is_held_back(runpod: Emulated, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong key, an unknown endpoint and a senseless batch are refused, but not at once."""
    monkeypatch.setattr(worker_protocol, "REFUSAL_HOLD_S", 0.05)

    async def scenario() -> None:
        worker = Worker(runpod)
        for url, key, status in (
            (worker.url("job-take"), "", 401),
            (worker.url("job-take").replace(worker.endpoint, "none"), KEY, 404),
            (worker.url("job-take-batch", query="&batch_size=0"), KEY, 400),
            (worker.url("job-take-batch", query="&batch_size=many"), KEY, 400),
        ):
            began = time.monotonic()
            assert (await worker.client.get(url, headers={"Authorization": key})).status_code == status
            assert time.monotonic() - began >= 0.05

    play(scenario())


def test_a_worker_that_hangs_up_gets_no_job(runpod: Emulated) -> None:
    """Its poll is forgotten, and the job that comes then goes to the next who asks, with no retry counted."""

    async def scenario() -> None:
        worker, other = Worker(runpod), Worker(runpod, "w2")
        poll = asyncio.create_task(worker.take())
        await worker.until(lambda: worker.waiting == 1)
        poll.cancel()
        await worker.client.aclose()
        await worker.until(lambda: worker.waiting == 0)
        job = worker.submit()
        assert (job.status, job.retries) == ("IN_QUEUE", 0)
        assert (await other.take()).json()["id"] == job.id

    play(scenario())


def test_progress(runpod: Emulated) -> None:
    """It is the output while the job runs; late progress is answered with 200, and ignored."""

    async def scenario() -> None:
        worker = Worker(runpod)
        job = worker.submit()
        await worker.take()
        assert await worker.done(job.id, {"status": "IN_PROGRESS", "output": {"pct": 10}}) == 200
        assert (job.worker_id, job.finished_at, job.output) == ("w1", None, {"pct": 10})
        assert await worker.done(job.id, {"output": "result"}) == 200
        assert await worker.done(job.id, {"status": "IN_PROGRESS", "output": {"pct": 20}}) == 200
        assert (job.status, job.output) == ("COMPLETED", "result")

    play(scenario())


def test_results_that_are_refused(runpod: Emulated) -> None:
    """Not JSON, not an object, too long, another's, unknown, ended: the SDK drops them, and the job stays."""

    async def scenario() -> None:
        worker, other = Worker(runpod), Worker(runpod, "w2")
        job = worker.submit()
        await worker.take()
        for body in (b"", b"{", b"[1]", b'{"output": NaN}', b'{"output": "' + b"x" * 10_000_000 + b'"}'):
            assert await worker.done(job.id, body) == 400
        assert await other.done(job.id, {"output": 1}) == 400
        assert await worker.done("unknown", {"output": 1}) == 404
        assert job.finished_at is None
        assert await worker.done(job.id, {"output": "é\ud800"}) == 200
        assert await worker.done(job.id, {"output": 2}) == 400
        assert job.output == "é\ud800"

    play(scenario())


def test_a_stream(runpod: Emulated) -> None:
    """Chunks go to the stream, of at most 1 MB each; the end is a job-done."""

    async def scenario() -> None:
        worker = Worker(runpod)
        job = worker.submit()
        await worker.take()
        url = worker.url("job-stream", job.id, "&isStream=false")
        statuses = []
        for body in ({"output": "a"}, {"output": "x" * 1_000_000}, {"put": 1}, {"output": {"b": 1}}):
            statuses.append((await worker.client.post(url, content=json.dumps(body).encode())).status_code)
        assert statuses == [200, 400, 400, 200]
        assert job.stream == ["a", {"b": 1}]
        assert await worker.done(job.id, {"output": []}) == 200

    play(scenario())


def test_stops(runpod: Emulated) -> None:
    """A cancelled job is told to its worker once, at once when it listens; nothing is 204 after 20 s."""

    async def scenario() -> None:
        worker = Worker(runpod)
        job, other = worker.submit(), worker.submit()
        await worker.take()
        await worker.take()
        poll = asyncio.create_task(worker.client.get(worker.url("job-stop")))
        await worker.until(lambda: worker.waiting == 1)
        runpod.call(lambda box: box.jobs.cancel(worker.endpoint, job.id))
        assert (await poll).json() == {"jobsToStop": [job.id]}
        runpod.call(lambda box: box.jobs.cancel(worker.endpoint, other.id))
        assert (await worker.client.get(worker.url("job-stop"))).json() == {"jobsToStop": [other.id]}
        poll = asyncio.create_task(worker.client.get(worker.url("job-stop")))
        await worker.until(lambda: worker.waiting == 1)
        runpod.advance(20)
        assert (await poll).status_code == 204
        assert await worker.done(job.id, {"output": 1}) == 400

    play(scenario())


def test_pings(runpod: Emulated) -> None:
    """A worker that pings without its job for 20 s has lost it; what it says of its health is shown."""

    async def scenario() -> None:
        worker = Worker(runpod)
        kept, lost = worker.submit(), worker.submit()
        await worker.take()
        await worker.take("&job_in_progress=1")
        for _ in range(2):
            runpod.advance(10)
            answer = await worker.client.get(worker.url("ping", query=f"&job_id={kept.id},x&runpod_version=1.12.0"))
            assert answer.status_code == 200
        assert (kept.status, lost.status) == ("IN_PROGRESS", "IN_QUEUE")
        await worker.client.get(worker.url("ping", query="&status=unhealthy&check=gpu&reason=too slow"))
        found = runpod.call(lambda box: box.fleet.find(worker.endpoint, "w1"))
        assert found is not None
        assert (found.status, found.problem) == ("UNHEALTHY", "gpu: too slow")
        stranger = Worker(runpod, "w9")
        assert (await stranger.client.get(stranger.url("ping"))).status_code == 200
        assert runpod.call(lambda box: box.fleet.find(worker.endpoint, "w9")) is None

    play(scenario())


def test_a_job_without_input(runpod: Emulated) -> None:
    """The SDK raises on it and asks again: after 20 s of that, twice, the job fails."""

    async def scenario() -> None:
        worker = Worker(runpod)
        job = worker.submit({"input": {}})
        for retries in (0, 1):
            assert (await worker.take()).json() == {"id": job.id}
            assert job.retries == retries
            runpod.advance(20)
        assert (job.status, job.error) == ("FAILED", "job timed out after 1 retries")

    play(scenario())


def test_an_inline_worker_cannot_use_it_either() -> None:
    """A job without input ends in the same way with workers in the emulator's loop."""
    with emulated(launcher=InlineLauncher()) as runpod:
        endpoint = runpod.call(lambda box: box.world.create_endpoint(an_endpoint(workers_min=1))).id
        job = runpod.call(lambda box: box.jobs.submit(endpoint, {"input": {}}, is_sync=False))
        for _ in range(10):
            runpod.advance(10)
        assert (job.status, job.error) == ("FAILED", "job timed out after 1 retries")


def test_a_take_that_says_nothing_is_in_progress(runpod: Emulated) -> None:
    """A worker that asks without its job of 20 s ago has lost it, and gets it again."""

    async def scenario() -> None:
        worker = Worker(runpod)
        job = worker.submit()
        await worker.take()
        runpod.advance(20)
        other = worker.submit()
        assert (await worker.take("&job_in_progress=1")).json()["id"] == other.id
        assert job.retries == 0
        assert (await worker.take("&job_in_progress=0")).json()["id"] == job.id
        assert (job.retries, other.retries) == (1, 0)

    play(scenario())


def test_a_worker_leaves_after_its_job(runpod: Emulated) -> None:
    """`stopPod` with a result: the worker gets no further job."""

    async def scenario() -> None:
        worker = Worker(runpod)
        job = worker.submit()
        await worker.take()
        assert await worker.done(job.id, {"output": 1, "stopPod": True}) == 200
        poll = asyncio.create_task(worker.take())
        await worker.until(lambda: worker.waiting == 1)
        following = worker.submit()
        await asyncio.sleep(0.05)
        assert following.worker_id is None
        poll.cancel()

    play(scenario())


def test_a_lost_job(runpod: Emulated) -> None:
    """The trouble: the worker never sees it, and after 20 s it is queued again."""

    async def scenario() -> None:
        worker = Worker(runpod)
        runpod.call(lambda box: box.troubles.add(LoseJob()))
        poll = asyncio.create_task(worker.take())
        await worker.until(lambda: worker.waiting == 1)
        runpod.advance(5)
        job = worker.submit()
        assert job.worker_id == "w1"
        runpod.advance(15)
        assert (await poll).status_code == 204
        runpod.advance(5)
        answer = await worker.take("&job_in_progress=1")
        assert (answer.json()["id"], job.retries) == (job.id, 1)

    play(scenario())


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "job-take/w1"),
        ("GET", "job-take"),
        ("GET", "job-take/w1/x"),
        ("GET", "job-done/w1/x"),
        ("POST", "job-done/w1"),
        ("POST", "ping/w1"),
        ("GET", "job-steal/w1"),
    ],
)
def test_what_is_no_route(method: str, path: str, runpod: Emulated) -> None:
    """Other methods and paths are 404."""
    endpoint = Worker(runpod).endpoint
    url = f"{runpod.jobs_url}/{endpoint}/{path}"
    assert httpx.request(method, url, headers={"Authorization": KEY}).status_code == 404
