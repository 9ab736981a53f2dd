"""RunPod's side of the worker protocol on loopback, as far as the SDK needs it, and a worker as a process on it."""

from __future__ import annotations

import json
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from worker_app import environment

WAIT_S = 60.0


class JobServer(ThreadingHTTPServer):
    """Hands out jobs by long poll, and keeps what is posted.

    `hold_s` is how long a poll without a job stays open; `max_bytes` what a result may have: a larger one is answered
    with 400, as RunPod does it.
    """

    daemon_threads = True

    def __init__(self, *, hold_s: float = 20.0, max_bytes: int = 10_000_000) -> None:
        super().__init__(("127.0.0.1", 0), _Protocol)
        self.hold_s = hold_s
        self.max_bytes = max_bytes
        self.jobs: queue.Queue[dict[str, Any]] = queue.Queue()
        self.stops: queue.Queue[str] = queue.Queue()
        self.taken: queue.Queue[str] = queue.Queue()
        self.posts: list[tuple[str, str, Any]] = []  # kind, job, body; in the order of arrival
        self.polls: list[float] = []  # when each job-take came
        self.refused: list[tuple[str, int]] = []
        self.pings: list[tuple[float, str]] = []  # when, the jobs that are said to be in progress
        self._arrived = threading.Condition()
        self._read = 0
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self) -> JobServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a worker that is gone, and all of anything else."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def variables(self) -> dict[str, str]:
        """Return what RunPod sets in a worker. Pings come each second."""
        url = f"http://127.0.0.1:{self.server_port}"
        return {
            "RUNPOD_WEBHOOK_GET_JOB": f"{url}/job-take/$ID?gpu=none",
            "RUNPOD_WEBHOOK_POST_OUTPUT": f"{url}/job-done/$RUNPOD_POD_ID/$ID?gpu=none",
            "RUNPOD_WEBHOOK_POST_STREAM": f"{url}/job-stream/$RUNPOD_POD_ID/$ID?gpu=none",
            "RUNPOD_WEBHOOK_PING": f"{url}/ping/$RUNPOD_POD_ID?gpu=none",
            "RUNPOD_PING_INTERVAL": "1000",
            "RUNPOD_AI_API_KEY": "worker-key",
            "RUNPOD_POD_ID": "worker-1",
            "RUNPOD_MIN_MEMORY_GB": "0.1",
            "RUNPOD_MIN_DISK_PERCENT": "0.1",
        }

    def submit(self, job_id: str, job_input: Any, **more: Any) -> None:
        """Queue a job."""
        self.jobs.put({"id": job_id, "input": job_input, **more})

    def add(self, kind: str, job: str, body: Any) -> None:
        """Keep what a worker posted."""
        with self._arrived:
            self.posts.append((kind, job, body))
            self._arrived.notify_all()

    def answer(self, kind: str = "job-done") -> tuple[str, Any]:
        """Return the next post of that kind, progress left out: job id and body."""
        end = time.monotonic() + WAIT_S
        with self._arrived:
            while True:
                while self._read < len(self.posts):
                    found, job, body = self.posts[self._read]
                    self._read += 1
                    if found == kind and body.get("status") != "IN_PROGRESS":
                        return job, body
                if not self._arrived.wait(end - time.monotonic()):
                    raise AssertionError(f"no {kind} within {WAIT_S:.0f} s; so far: {str(self.posts)[:2000]}")

    def run(self, job_id: str, job_input: Any, **more: Any) -> Any:
        """Queue a job and return what is posted for it."""
        self.submit(job_id, job_input, **more)
        job, body = self.answer()
        assert job == job_id
        return body

    def of(self, job_id: str) -> list[Any]:
        """Return all that was posted for a job, in order: progress values, then `("result", body)`."""
        return [
            body["output"] if body.get("status") == "IN_PROGRESS" else ("result", body)
            for kind, job, body in self.posts
            if job == job_id and kind == "job-done"
        ]


class _Protocol(BaseHTTPRequestHandler):
    server: JobServer

    def do_GET(self) -> None:
        """Job-take and job-stop, each a long poll, and pings."""
        place = urlsplit(self.path)
        if place.path.startswith("/ping"):
            self.server.pings.append((time.monotonic(), parse_qs(place.query).get("job_id", [""])[0]))
            return self._reply(200, {})
        try:
            if place.path.startswith("/job-take"):
                self.server.polls.append(time.monotonic())
                job = self.server.jobs.get(timeout=self.server.hold_s)
                self.server.taken.put(job["id"])
                return self._reply(200, job)
            return self._reply(200, {"jobsToStop": [self.server.stops.get(timeout=self.server.hold_s)]})
        except queue.Empty:
            return self._reply(204, None)

    def do_POST(self) -> None:
        """Job-done and job-stream."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        found = re.match(r"/(job-\w+)/worker-1/([^?]+)", self.path)
        assert found is not None
        if len(body) > self.server.max_bytes:
            self.server.refused.append((found[2], len(body)))
            return self._reply(400, {})
        self.server.add(found[1], found[2], json.loads(body))
        return self._reply(200, {})

    def _reply(self, status: int, answer: Any) -> None:
        body = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


class QueueWorker:
    """A worker as a process on a queue: `python -u -m worker_runtime`, or another command. Its log goes to a file."""

    def __init__(self, server: JobServer, recipe: Path, log: Path, *command: str, **changes: str) -> None:
        self.log = log
        variables = {**server.variables(), "TMPDIR": str(log.parent), **changes}
        with log.open("w") as out:
            self.process = subprocess.Popen(
                command or (sys.executable, "-u", "-m", "worker_runtime"),
                env=environment(recipe, **variables),
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> QueueWorker:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def wait(self, timeout_s: float = WAIT_S) -> int:
        """Wait for its end, and return its exit code."""
        return self.process.wait(timeout_s)

    def events(self, *names: str) -> list[dict[str, Any]]:
        """Return the events in its log so far."""
        rows = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith('{"event"')]
        return [row for row in rows if not names or row["event"] in names]

    def wait_for(self, event: str, **fields: Any) -> dict[str, Any]:
        """Return the first such event, once it is in the log."""
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            for row in self.events(event):
                if all(row.get(name) == value for name, value in fields.items()):
                    return row
            assert self.process.poll() is None, f"the worker ended:\n{self.log.read_text()[-3000:]}"
            time.sleep(0.05)
        raise AssertionError(f"no event {event} {fields}:\n{self.log.read_text()[-3000:]}")


def errors(bodies: Sequence[Any]) -> list[str]:
    """Return the errors of answers."""
    return [body["error"] for body in bodies]
