"""The job API as clients see it: routes, bodies, refusals, limits. Its clock stands still."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from runpod_box import Emulated, an_endpoint
from starlette.testclient import TestClient

from factory.emulator.runpod.app import Runpod, create_runpod
from factory.emulator.runpod.box import Box
from factory.emulator.runpod.clock import StepClock
from factory.emulator.runpod.entities import Worker
from factory.emulator.runpod.job_limits import RateLimits
from factory.emulator.runpod.refusals import Refused
from factory.emulator.runpod.troubles import EndpointGone, LateStatus404

ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-u1")
JOB = {"input": {"prompt": "hello"}}


class Api:
    """One endpoint's job API, and a worker at its back door."""

    def __init__(self, client: TestClient, box: Box) -> None:
        self.client = client
        self.box = box
        self.endpoint = box.world.create_endpoint(an_endpoint()).id

    def call(self, path: str, body: Any = None, *, method: str = "") -> Any:
        """Call an operation; with a body it is a POST."""
        return self.client.request(
            method or ("GET" if body is None else "POST"), f"/v2/{self.endpoint}/{path}", json=body
        )

    def get(self, path: str) -> Any:
        """Return what a GET answers."""
        answer = self.call(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None) -> Any:
        """Return what a POST answers."""
        answer = self.call(path, body, method="POST")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def run(self, body: Any = None) -> str:
        """Submit a job and return its id."""
        job_id: str = self.post("run", JOB if body is None else body)["id"]
        return job_id

    def take(self, count: int = 1) -> list[str]:
        """Let the worker take what is there."""
        worker = Worker("w1", self.endpoint, 1, "image")
        return [job.id for job in self.box.jobs.close(self.box.jobs.ask(worker, count))]

    def finish(self, job_id: str, result: Any = None) -> None:
        """Let the worker answer."""
        self.box.jobs.finish(self.endpoint, "w1", job_id, result or {"output": "done"})

    def advance(self, seconds: float) -> None:
        """Move the clock, and do what is due."""
        assert isinstance(self.box.clock, StepClock)
        self.box.clock.advance(seconds)
        self.box.jobs.tick()


@pytest.fixture
def api(client: TestClient, box: Box) -> Api:
    """The job API of a new endpoint."""
    return Api(client, box)


def test_the_life_of_a_job(api: Api) -> None:
    """From run to the result; times are ms."""
    queued = api.post("run", JOB)
    assert ID.fullmatch(queued["id"]) and queued["status"] == "IN_QUEUE" and len(queued) == 2
    status = f"status/{queued['id']}"
    assert api.get(status) == queued
    api.advance(2)
    assert api.take() == [queued["id"]]
    running = {"id": queued["id"], "status": "IN_PROGRESS", "delayTime": 2000, "workerId": "w1"}
    assert api.get(status) == running
    api.advance(3)
    api.finish(queued["id"], {"output": {"answer": 42}})
    done = {**running, "status": "COMPLETED", "executionTime": 3000, "output": {"answer": 42}}
    assert api.get(status) == done
    assert api.post(status) == done
    assert api.get("requests") == {"requests": [done]}


def test_health_and_metrics(api: Api) -> None:
    """What is queued, running and done, and the workers by state."""
    first, _ = api.run(), api.run()
    api.take()
    workers = {"idle": 0, "initializing": 0, "ready": 0, "running": 0, "throttled": 0, "unhealthy": 0}
    jobs = {"completed": 0, "failed": 0, "inProgress": 1, "inQueue": 1, "retried": 0}
    assert api.get("health") == {"jobs": jobs, "workers": workers}
    assert api.get("metrics") == {"readyWorkers": [], "workers": workers}
    api.finish(first)
    assert api.get("health")["jobs"] == {**jobs, "completed": 1, "inProgress": 0}


def test_metrics_name_the_workers(api: Api) -> None:
    """A worker that has joined is ready."""
    api.box.fleet.joined("w1", api.endpoint)
    assert api.get("metrics")["readyWorkers"] == ["w1"]


def test_cancel_retry_and_purge(api: Api) -> None:
    """Their answers, and what becomes of the jobs."""
    cancelled, failed, *queued = (api.run() for _ in range(4))
    assert api.post(f"cancel/{cancelled}") == {"id": cancelled, "status": "CANCELLED"}
    assert api.get(f"status/{cancelled}") == {"id": cancelled, "status": "CANCELLED"}
    assert api.take() == [failed]
    api.finish(failed, {"error": "bad", "output": {"part": 1}})
    assert api.get(f"status/{failed}")["error"] == "bad"
    assert api.post("purge-queue") == {"removed": 2, "status": "completed"}
    assert {api.call(f"status/{job}").status_code for job in queued} == {404}
    assert api.post(f"retry/{failed}") == {"id": failed, "status": "IN_QUEUE"}
    assert api.get(f"status/{failed}") == {"id": failed, "status": "IN_QUEUE"}
    assert api.call(f"retry/{failed}", method="POST").status_code == 400
    assert api.take() == [failed]


def test_stream_drains(api: Api) -> None:
    """Each chunk is given once; the status tells the end."""
    job = api.run()
    assert api.get(f"stream/{job}") == {"id": job, "status": "IN_QUEUE", "stream": []}
    api.take()
    for chunk in ("a", {"b": 1}):
        api.box.jobs.add_chunk(api.endpoint, "w1", job, chunk)
    running = {"id": job, "status": "IN_PROGRESS"}
    assert api.get(f"stream/{job}") == {**running, "stream": [{"output": "a"}, {"output": {"b": 1}}]}
    assert api.post(f"stream/{job}") == {**running, "stream": []}
    api.box.jobs.add_chunk(api.endpoint, "w1", job, "last")
    api.finish(job, {"output": []})
    assert api.get(f"stream/{job}") == {"id": job, "status": "COMPLETED", "stream": [{"output": "last"}]}


def test_what_is_over_is_not_found(api: Api) -> None:
    """A result's retention and a job's time to live end in the same 404, whose `status` is a number."""
    done, dead = api.run(), api.run({**JOB, "policy": {"ttl": 1_000_000}})
    api.take()
    api.finish(done)
    api.advance(1800)
    for job in (done, dead, "unknown"):
        for operation, method in (("status", "GET"), ("stream", "GET"), ("cancel", "POST"), ("retry", "POST")):
            answer = api.call(f"{operation}/{job}", method=method)
            assert answer.status_code == 404
            assert answer.json() == {"title": "Not Found", "status": 404, "detail": "job not found"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "run", 405),
        ("GET", "runsync", 405),
        ("GET", "purge-queue", 405),
        ("POST", "health", 405),
        ("GET", "cancel/x", 405),
        ("GET", "nothing", 404),
        ("POST", "openai/v1/chat/completions", 404),
        ("POST", "batch", 404),
        ("GET", "status", 404),
        ("GET", "status/a/b", 404),
        ("POST", "run/x", 404),
        ("GET", "", 404),
    ],
)
def test_what_is_no_route(method: str, path: str, status: int, api: Api) -> None:
    """Unknown paths are 404, known ones by another method 405."""
    assert api.call(path, method=method).status_code == status


@pytest.mark.parametrize("operation", ["run", "runsync"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"input"',
        b"{}",
        b'{"input": null}',
        b'{"input": {"a": NaN}}',
        b'{"input": "\xff"}',
        b"[" * 100_000,
        b'{"input": {"a": 1}, "policy": {"ttl": 1}}',
    ],
    ids=["empty", "cut", "list", "text", "no input", "null", "NaN", "no UTF-8", "deep", "ttl"],
)
def test_what_is_no_job(operation: str, body: bytes, api: Api) -> None:
    """A body that can't be a job is 400, and nothing is queued."""
    answer = api.client.post(f"/v2/{api.endpoint}/{operation}", content=body)
    assert (answer.status_code, answer.json()["status"]) == (400, 400)
    assert api.get("health")["jobs"]["inQueue"] == 0


@pytest.mark.parametrize(("operation", "most"), [("run", 10_000_000), ("runsync?wait=1000", 20_000_000)])
def test_the_longest_payload(operation: str, most: int, served: Emulated) -> None:
    """A body may have 10 MB, for /runsync 20; one byte more is 400."""
    endpoint = served.call(lambda box: box.world.create_endpoint(an_endpoint())).id
    frame = len(b'{"input":""}')
    url = f"{served.jobs_url}/{endpoint}/{operation}"
    with httpx.Client(headers={"Authorization": "key"}, timeout=60) as client:
        long = client.post(url, content=b'{"input":"%s"}' % (b"x" * (most - frame + 1)))
        assert (long.status_code, "bytes" in long.json()["detail"]) == (400, True)
        assert served.call(lambda box: box.jobs.queued(endpoint)) == 0
        if operation == "run":
            assert client.post(url, content=b'{"input":"%s"}' % (b"x" * (most - frame))).status_code == 200
            assert served.call(lambda box: box.jobs.queued(endpoint)) == 1


def test_runsync(served: Emulated) -> None:
    """It answers with the result; or, when the wait is over, with the state: the job goes on."""
    endpoint = served.call(lambda box: box.world.create_endpoint(an_endpoint())).id
    answers: list[httpx.Response] = []

    def runsync(wait: str) -> threading.Thread:
        def call() -> None:
            url = f"{served.jobs_url}/{endpoint}/runsync{wait}"
            answers.append(httpx.post(url, json=JOB, headers={"Authorization": "key"}, timeout=60))

        thread = threading.Thread(target=call)
        thread.start()
        return thread

    def take() -> str:
        assert served.box.loop is not None
        taking = served.box.jobs.take(Worker("w1", endpoint, 1, "image"))
        return asyncio.run_coroutine_threadsafe(taking, served.box.loop).result(30)[0].id

    thread = runsync("")
    job = take()
    served.call(lambda box: box.jobs.finish(endpoint, "w1", job, {"output": [1]}))
    thread.join()
    assert job.startswith("sync-") and ID.fullmatch(job.removeprefix("sync-"))
    assert answers[0].json() == {
        "id": job,
        "status": "COMPLETED",
        "delayTime": 0,
        "executionTime": 0,
        "output": [1],
        "workerId": "w1",
    }
    thread = runsync("?wait=1000")
    job = take()
    served.advance(1)
    thread.join()
    assert answers[1].json() == {"id": job, "status": "IN_PROGRESS"}
    thread = runsync("?wait=300000")
    deadline = time.monotonic() + 30
    while not served.call(lambda box: box.jobs.purge(endpoint)):
        assert time.monotonic() < deadline
    thread.join()
    assert answers[2].status_code == 404


@pytest.mark.parametrize("wait", ["999", "300001", "-1", "x", "1e3"])
def test_a_wait_that_runsync_does_not_know(wait: str, api: Api) -> None:
    """Anything but 1000 to 300000 ms is 400."""
    assert api.call(f"runsync?wait={wait}", JOB).status_code == 400


@pytest.mark.parametrize("key", ["", "Bearer ", "wrong", "Bearer wrong"])
def test_a_wrong_key(key: str, api: Api) -> None:
    """Without a valid key everything is 401."""
    api.box.keys = frozenset({"right"})
    for path in ("health", "status/x", "requests"):
        answer = api.client.get(f"/v2/{api.endpoint}/{path}", headers={"Authorization": key})
        assert answer.status_code == 401
    assert api.client.get(f"/v2/{api.endpoint}/health", headers={"Authorization": "Bearer right"}).status_code == 200
    assert api.client.get(f"/v2/{api.endpoint}/health", headers={"Authorization": "right"}).status_code == 200


def test_an_unknown_endpoint(api: Api) -> None:
    """It is 404, for every operation."""
    for method, path in (("POST", "run"), ("GET", "health"), ("GET", "status/x"), ("POST", "purge-queue")):
        answer = api.client.request(method, f"/v2/none/{path}", json=JOB if method == "POST" else None)
        assert (answer.status_code, answer.json()["detail"]) == (404, "endpoint not found")


def test_a_load_balancer_has_no_queue(api: Api) -> None:
    """Nothing is run there; its health is told."""
    api.endpoint = api.box.world.create_endpoint(
        an_endpoint("lb", kind="LOAD_BALANCER", scaler="REQUEST_COUNT", scaler_value=4)
    ).id
    assert api.call("run", JOB).status_code == 400
    assert api.call("status/x").status_code == 400
    assert api.call("health").status_code == 200


@pytest.mark.parametrize(
    ("path", "method", "limit"), [("requests", "GET", 10), ("purge-queue", "POST", 2), ("cancel/x", "POST", 100)]
)
def test_rate_limits(path: str, method: str, limit: int, api: Api) -> None:
    """One call too many in ten seconds is 429; another endpoint is free, and so is this one in the next window."""
    statuses = [api.call(path, method=method).status_code for _ in range(limit + 1)]
    assert [status == 429 for status in statuses] == [False] * limit + [True]
    first, api.endpoint = api.endpoint, api.box.world.create_endpoint(an_endpoint("other")).id
    assert api.call(path, method=method).status_code != 429
    api.endpoint = first
    api.advance(10)
    assert api.call(path, method=method).status_code != 429


def test_troubles(api: Api) -> None:
    """The endpoint that is gone, and the job that is not there yet."""
    job = api.run()
    late = LateStatus404(times=2)
    api.box.troubles.add(late)
    assert [api.call(f"status/{job}").status_code for _ in range(3)] == [404, 404, 200]
    api.box.troubles.add(EndpointGone())
    for path in ("health", f"status/{job}"):
        assert (api.call(path).status_code, api.call(path).json()) == (404, {"message": "Not Found"})
    api.box.troubles.clear()
    assert api.call("health").status_code == 200


@pytest.fixture
def kept(tmp_path: Any) -> Iterator[Runpod]:
    """An application whose state is on disk."""
    yield create_runpod(clock=StepClock(), state=tmp_path / "state")


def test_an_accepted_job_is_on_disk_before_its_answer(kept: Runpod) -> None:
    """Whoever has seen the id can be sure: the store holds the job when the answer is out."""
    box: Box = kept.state.box
    with TestClient(kept, headers={"Authorization": "key"}) as client:
        api = Api(client, box)
        job = api.run()
        assert box.world.store is not None
        assert [stored.id for stored in box.world.store.load("job")] == [job]


def test_calls_at_once() -> None:
    """So many calls may be open at a time, however few came in the window."""
    limits = RateLimits()
    opened = [limits.enter("ep", "cancel", 0.0) for _ in range(20)]
    with pytest.raises(Refused, match="20 at once"):
        limits.enter("ep", "cancel", 0.0)
    limits.leave(opened[0])
    limits.enter("ep", "cancel", 0.0)
    for _ in range(1000):
        limits.leave(limits.enter("ep", "health", 0.0))
