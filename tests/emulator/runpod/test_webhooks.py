"""Webhooks: the finished job arrives, is tried three times, and never leaves the machine unasked."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from factory.emulator.runpod.clock import StepClock
from factory.emulator.runpod.entities import Job
from factory.emulator.runpod.webhooks import PAUSE_S, Webhooks


class Receiver(ThreadingHTTPServer):
    """Where webhooks arrive; answers the statuses that it was given, then 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receiving)
        self.statuses: list[int] = []
        self.posts: list[tuple[str, dict[str, str], Any]] = []

    @property
    def url(self) -> str:
        """The webhook."""
        return f"http://127.0.0.1:{self.server_port}/hook?a=1"


class _Receiving(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        """Keep a post."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.posts.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver on loopback."""
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def done_job(webhook: Any) -> Job:
    """A job that has ended."""
    payload = {"input": {"a": 1}, "webhook": webhook, "policy": {"ttl": 10_000}}
    job = Job("job-u1", "ep", payload, False, 1.0, 1.0, "COMPLETED", started_at=2.0, finished_at=5.0, worker_id="w1")
    job.output, job.has_output = [1], True
    return job


def deliver(url: Any, hosts: frozenset[str] = frozenset()) -> list[tuple[int, str]]:
    """Let a job end, move the clock until all attempts are made, and return them."""

    async def play() -> list[tuple[int, str]]:
        clock = StepClock()
        webhooks = Webhooks(clock, hosts)
        webhooks.job_ended(done_job(url))
        while webhooks.is_busy:
            await asyncio.sleep(0.001)
            clock.advance(PAUSE_S)
        return [(delivery.status, delivery.problem) for delivery in webhooks.deliveries]

    return asyncio.run(asyncio.wait_for(play(), 30))


def test_the_whole_job_is_posted(receiver: Receiver) -> None:
    """Status, times, input, output and the webhook itself, by RunPod's user agent."""
    assert deliver(receiver.url) == [(200, "")]
    ((path, headers, body),) = receiver.posts
    assert path == "/hook?a=1"
    assert headers["user-agent"] == "Go-http-client/2.0"
    assert headers["host"] == f"127.0.0.1:{receiver.server_port}"
    assert body == {
        "id": "job-u1",
        "status": "COMPLETED",
        "delayTime": 1000,
        "executionTime": 3000,
        "workerId": "w1",
        "input": {"a": 1},
        "output": [1],
        "webhook": receiver.url,
    }


@pytest.mark.parametrize(
    ("statuses", "tried"),
    [([500], [500, 200]), ([404, 302], [404, 302, 200]), ([500, 500, 500], [500, 500, 500]), ([201], [201, 200])],
)
def test_three_attempts(statuses: list[int], tried: list[int], receiver: Receiver) -> None:
    """Anything but 200 is tried again, twice; a redirect is not followed."""
    receiver.statuses = list(statuses)
    assert [status for status, _ in deliver(receiver.url)] == tried
    assert len(receiver.posts) == len(tried)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://192.0.2.1/hook", "loopback"),
        ("http://[2001:db8::1]/hook", "loopback"),
        ("http://0.0.0.0/hook", "loopback"),
        ("ftp://127.0.0.1/hook", "http"),
        ("127.0.0.1:80", "http"),
        ("http://127.0.0.1:99999/", "Port"),
        ("http://127.0.0.1:1/", "refused"),
        ("http://name.invalid/", ""),
    ],
)
def test_a_webhook_that_cannot_be_called(url: str, problem: str) -> None:
    """A stranger's address is never connected to, and the reason is kept."""
    found = deliver(url)
    assert [status for status, _ in found] == [0, 0, 0]
    assert problem in found[0][1]


def test_a_host_that_is_allowed(receiver: Receiver) -> None:
    """A name that the box was given is called, wherever it leads."""
    url = receiver.url.replace("127.0.0.1", "localhost")
    assert deliver(url, frozenset({"localhost"})) == [(200, "")]
    assert deliver(url) == [(200, "")]


def test_a_job_without_a_webhook() -> None:
    """Nothing happens."""
    assert deliver("") == []
