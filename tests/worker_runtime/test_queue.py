"""The worker on a queue: the unmodified SDK takes jobs over HTTP from a small server that speaks its protocol."""

from __future__ import annotations

import json
import queue
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from worker_app import environment, write_app

HANDLER = """
import asyncio
class Handler:
    async def __call__(self, inputs):
        await asyncio.sleep(inputs.get("sleep", 0))
        return inputs["give"]
"""
GENERATOR = """
class Handler:
    def __call__(self, inputs):
        yield "one"
        yield {"two": 2}
        if inputs.get("fail"):
            raise ValueError("third")
"""


class JobServer(ThreadingHTTPServer):
    """Hands out jobs by long poll, and keeps what is posted, as (kind, job id, body)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Protocol)
        self.jobs: queue.Queue[dict[str, Any]] = queue.Queue()
        self.posted: queue.Queue[tuple[str, str, Any]] = queue.Queue()
        self.taken: queue.Queue[str] = queue.Queue()

    def variables(self) -> dict[str, str]:
        """Return what RunPod sets in a worker; the fitness checks, which ask the internet, are off."""
        url = f"http://127.0.0.1:{self.server_port}"
        return {
            "RUNPOD_WEBHOOK_GET_JOB": f"{url}/job-take/$ID?gpu=none",
            "RUNPOD_WEBHOOK_POST_OUTPUT": f"{url}/job-done/$RUNPOD_POD_ID/$ID?gpu=none",
            "RUNPOD_WEBHOOK_POST_STREAM": f"{url}/job-stream/$RUNPOD_POD_ID/$ID?gpu=none",
            "RUNPOD_POD_ID": "worker-1",
            "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
            "RUNPOD_SKIP_GPU_CHECK": "true",
        }

    def answer(self, kind: str = "job-done") -> tuple[str, Any]:
        """Return the next post of that kind: job id and body."""
        while True:
            found, job, body = self.posted.get(timeout=60)
            if found == kind:
                return job, body


class _Protocol(BaseHTTPRequestHandler):
    server: JobServer

    def do_GET(self) -> None:
        """Job-take and job-stop, each a long poll."""
        try:
            if not self.path.startswith("/job-take"):
                raise queue.Empty
            job = self.server.jobs.get(timeout=1)
            self.server.taken.put(job["id"])
        except queue.Empty:
            time.sleep(0.2)
            self._reply(204, b"")
            return
        self._reply(200, json.dumps(job).encode())

    def do_POST(self) -> None:
        """Job-done and job-stream."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        found = re.match(r"/(job-\w+)/worker-1/([^?]+)", self.path)
        assert found is not None
        self.server.posted.put((found[1], found[2], json.loads(body)))
        self._reply(200, b"{}")

    def _reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def server() -> Iterator[JobServer]:
    """A queue on loopback."""
    made = JobServer()
    thread = Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def start(server: JobServer, tmp_path: Path) -> Iterator[Any]:
    """The function that starts a worker on that queue: recipe.json and further variables."""
    running: list[subprocess.Popen[str]] = []

    def begin(recipe: Path, **changes: str) -> subprocess.Popen[str]:
        log = (tmp_path / "worker.log").open("w")
        process = subprocess.Popen(
            [sys.executable, "-m", "worker_runtime"],
            env=environment(recipe, **{**server.variables(), **changes}),
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_jobs_end_in_the_right_state(server: JobServer, start: Any, tmp_path: Path) -> None:
    """Results and errors arrive as RunPod wants them: output, or an error that is a string."""
    start(write_app(tmp_path, code=HANDLER))
    cases: list[tuple[Any, dict[str, Any]]] = [
        ({"a": 1}, {"output": {"a": 1}}),
        ({}, {"output": {}}),
        (None, {"output": None}),
        ({"error": "no"}, {"error": "no"}),
    ]
    for i, (give, body) in enumerate(cases):
        server.jobs.put({"id": f"j{i}", "input": {"give": give}})
        assert server.answer() == (f"j{i}", body)
    server.jobs.put({"id": "bad", "input": {}})
    assert server.answer() == ("bad", {"error": "handler_failed: KeyError: 'give'"})


def test_a_generator_streams(server: JobServer, start: Any, tmp_path: Path) -> None:
    """Parts go to the stream one by one and come again whole with the result; an error fails the job."""
    start(write_app(tmp_path, code=GENERATOR))
    server.jobs.put({"id": "j1", "input": {}})
    parts = [server.answer("job-stream")[1]["output"] for _ in range(2)]
    assert parts == ["one", {"two": 2}]
    assert server.answer() == ("j1", {"output": ["one", {"two": 2}]})
    server.jobs.put({"id": "j2", "input": {"fail": True}})
    assert server.answer() == ("j2", {"error": "handler_failed: ValueError: third"})


def test_a_failed_start_joins_the_queue_and_reports(server: JobServer, start: Any, tmp_path: Path) -> None:
    """A worker that can't start takes jobs, fails each with the reason, asks to be replaced, and ends with code 1."""
    files = [{"path": "x.bin", "size_bytes": 3, "digest": "sha256:" + "0" * 64}]
    block = {"key": "m", "repo": "org/m", "commit": "c" * 40, "placement": "image", "load_dtype": None, "files": files}
    process = start(write_app(tmp_path, models=[block]), FACTORY_FAILED_JOBS="2", FACTORY_IMAGE_MODELS=str(tmp_path))
    for name in ("j1", "j2"):
        server.jobs.put({"id": name, "input": {"x": 1}})
        job, body = server.answer()
        assert job == name
        assert body["error"].startswith("weights_missing: 1 of 1 files of org/m are not in ")
        assert body["stopPod"] is True
    assert process.wait(60) == 1


def test_sigterm_finishes_the_running_job(server: JobServer, start: Any, tmp_path: Path) -> None:
    """A worker that is told to stop in mid-job posts that job's result first, and ends with code 0."""
    process = start(write_app(tmp_path, code=HANDLER))
    server.jobs.put({"id": "long", "input": {"sleep": 2, "give": "done"}})
    assert server.taken.get(timeout=60) == "long"
    time.sleep(0.5)  # the SDK has the answer, and begins the job within its 0.1 s turn
    process.send_signal(signal.SIGTERM)
    assert server.answer() == ("long", {"output": "done"})
    assert process.wait(60) == 0
