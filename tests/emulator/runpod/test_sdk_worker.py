"""The unmodified SDK (runpod 1.12.0) as a worker in a process of its own, on the emulator's queue."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sdk_worker
from runpod_box import KEY, Emulated, an_endpoint, emulated

from factory.emulator.runpod import job_rules as rules
from factory.emulator.runpod.clock import Clock, RealClock
from factory.emulator.runpod.entities import Job, Worker
from factory.emulator.runpod.worker_env import worker_environment

WAIT_S = 60.0
FITNESS = {"RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true", "RUNPOD_SKIP_GPU_CHECK": "true"}


class Queue:
    """An endpoint of a served box, and one SDK worker on it."""

    def __init__(self, runpod: Emulated, kind: str, log: Path) -> None:
        self.runpod = runpod
        self.kind = kind
        self.endpoint: str = runpod.call(lambda box: box.world.create_endpoint(an_endpoint(kind, workers_max=1))).id
        with log.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-u", sdk_worker.__file__, kind],
                env=self.environment(),
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # its heartbeat is a process too
            )
        self.log = log

    def environment(self) -> dict[str, str]:
        """What RunPod sets in a worker, on top of ours without its names; pings come each second."""
        box = self.runpod.box
        env = worker_environment(
            Worker(f"worker-{self.kind}", self.endpoint, 1, "image"),
            box.world.endpoints[self.endpoint],
            url=self.runpod.url,
            key=KEY,
            secrets=(),
            catalogue=box.catalogue,
            volume_id=None,
            extra=FITNESS,
        )
        own = {name: value for name, value in os.environ.items() if not name.startswith("RUNPOD_")}
        return {**own, **env, "RUNPOD_PING_INTERVAL": "1000"}

    def submit(self, job_input: Any, **more: Any) -> Job:
        """Queue a job."""
        body = {"input": job_input, **more}
        return self.runpod.call(lambda box: box.jobs.submit(self.endpoint, body, is_sync=False))

    def cancel(self, job: Job) -> None:
        """Cancel a job."""
        self.runpod.call(lambda box: box.jobs.cancel(self.endpoint, job.id))

    def has_begun(self, job: Job) -> bool:
        """Has the worker begun a job? Before that the SDK forgets a stop of it, though it was handed out."""
        return f'"requestId": "{job.id}", "message": "Started."' in self.log.read_text()

    def until(self, condition: Callable[[], Any]) -> None:
        """Wait for something that the worker is about to cause."""
        end = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < end, f"the worker's log:\n{self.log.read_text()[-3000:]}"
            time.sleep(0.01)

    def run(self, job_input: Any, **more: Any) -> dict[str, Any]:
        """Queue a job, wait for its end, and return its status."""
        job = self.submit(job_input, **more)
        self.until(lambda: job.is_final)
        return rules.status_of(job)

    def kill(self) -> None:
        """End the worker with its heartbeat."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def box_with_workers(folder: Path, clock: Clock | None, *kinds: str) -> Iterator[dict[str, Queue]]:
    """Serve a box with a worker of each kind."""
    with emulated(clock=clock) as runpod:
        queues = {kind: Queue(runpod, kind, folder / f"{kind}.log") for kind in kinds}
        try:
            yield queues
        finally:
            for queue in queues.values():
                queue.kill()


@pytest.fixture(scope="module")
def queues(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Queue]]:
    """One box, by the real clock, with workers that start side by side."""
    folder = tmp_path_factory.mktemp("sdk")
    with box_with_workers(folder, RealClock(), "sync", "concurrent", "generator", "refresh") as made:
        yield made


@pytest.fixture(scope="module")
def stepped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queue]:
    """A box whose clock is moved by hand, with one worker."""
    with box_with_workers(tmp_path_factory.mktemp("stepped"), None, "async") as made:
        yield made["async"]


def test_a_job_and_its_result(queues: dict[str, Queue]) -> None:
    """The handler gets the whole body and the id; what it returns is the output."""
    done = queues["sync"].run({"text": "é"}, webhook="", extra=[1])
    assert done["status"] == "COMPLETED"
    assert done["workerId"] == "worker-sync"
    assert done["output"] == {"job": {"id": done["id"], "input": {"text": "é"}, "webhook": "", "extra": [1]}}
    assert done["executionTime"] < 60_000


def test_an_error(queues: dict[str, Queue]) -> None:
    """An exception fails the job, with the SDK's account of it as a string."""
    failed = queues["sync"].run({"do": "raise"})
    assert failed["status"] == "FAILED"
    assert json.loads(failed["error"])["error_message"] == "bad thing"
    assert "output" not in failed


def shows(job: Job, percent: int) -> bool:
    """Is that its progress?"""
    return bool(job.output == {"percent": percent})


def test_progress(queues: dict[str, Queue], tmp_path: Path) -> None:
    """Each progress_update is the job's output until the result comes."""
    queue = queues["sync"]
    job = queue.submit({"do": "progress", "signs": str(tmp_path)})
    for percent in (10, 50):
        queue.until(functools.partial(shows, job, percent))
        assert rules.status_of(job)["status"] == "IN_PROGRESS"
        (tmp_path / str(percent)).touch()
    queue.until(lambda: job.is_final)
    assert (job.status, job.output) == ("COMPLETED", "done")


def test_a_result_that_is_too_long_is_lost(queues: dict[str, Queue]) -> None:
    """The SDK drops a result that is answered with 400: the job hangs until its time-out."""
    queue = queues["sync"]
    job = queue.submit({"do": "long"})
    queue.until(lambda: "400" in queue.log.read_text())
    assert job.finished_at is None
    queue.cancel(job)


def test_concurrency(queues: dict[str, Queue]) -> None:
    """A worker that takes four at once has them all in progress, by batch takes."""
    queue = queues["concurrent"]
    jobs = [queue.submit({"n": number, "sleep_s": 60}) for number in range(4)]
    queue.until(lambda: all(queue.has_begun(job) for job in jobs))
    paths = {call.path for call in queue.runpod.calls}
    assert any("/job-take-batch/" in path for path in paths)
    for job in jobs:
        queue.cancel(job)


def test_cancel(queues: dict[str, Queue]) -> None:
    """A cancelled job is stopped by job-stop, and the worker goes on with the next."""
    queue = queues["concurrent"]
    job = queue.submit({"sleep_s": 60})
    queue.until(lambda: queue.has_begun(job))
    queue.cancel(job)
    assert queue.run({"n": 1})["output"] == {"n": 1}
    queue.until(lambda: "Job stopped." in queue.log.read_text())
    assert job.status == "CANCELLED"


def test_a_stream(queues: dict[str, Queue]) -> None:
    """A generator's chunks come one by one; aggregated, they are the output too."""
    queue = queues["generator"]
    job = queue.submit({"chunks": ["a", {"b": 1}]})
    queue.until(lambda: job.is_final)
    assert queue.runpod.call(lambda box: box.jobs.take_chunks(job)) == ["a", {"b": 1}]
    assert (job.status, job.output) == ("COMPLETED", ["a", {"b": 1}])
    failed = queue.run({"chunks": ["a"], "fail": True})
    assert failed["status"] == "FAILED"
    assert "third" in failed["error"]


def test_a_worker_that_wants_to_be_fresh(queues: dict[str, Queue]) -> None:
    """With refresh_worker it asks to be replaced, ends after its job, and gets no other."""
    queue = queues["refresh"]
    first, second = queue.submit({"n": 1}), queue.submit({"n": 2})
    queue.until(lambda: first.is_final)
    queue.runpod.tick()
    assert queue.runpod.call(lambda box: box.fleet.find(queue.endpoint, "worker-refresh")) is None
    assert (first.status, second.status) == ("COMPLETED", "IN_QUEUE")


def test_a_job_without_input(stepped: Queue) -> None:
    """The SDK's worker can't use it; it is tried twice, and fails as the field has seen it."""
    job = stepped.submit({})
    for attempt in (1, 2):
        stepped.until(lambda attempt=attempt: stepped.log.read_text().count("missing field(s)") == attempt)  # type: ignore[misc]
        stepped.runpod.advance(20)
    assert rules.status_of(job) == {
        "id": job.id,
        "status": "FAILED",
        "delayTime": 0,
        "executionTime": 20_000,
        "error": "job timed out after 1 retries",
        "retries": 1,
        "workerId": "worker-async",
    }


def test_a_worker_that_is_killed(stepped: Queue) -> None:
    """With its heartbeat it falls silent: after a minute its job is queued again."""
    job = stepped.submit({"sleep_s": 60})
    stepped.until(lambda: job.status == "IN_PROGRESS")
    stepped.until(lambda: any(job.id in call.query for call in stepped.runpod.calls if "/ping/" in call.path))
    stepped.kill()
    stepped.runpod.advance(59)
    assert job.worker_id == "worker-async"
    stepped.runpod.advance(2)
    assert (job.status, job.retries) == ("IN_QUEUE", 1)
