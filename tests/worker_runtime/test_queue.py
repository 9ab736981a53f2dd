"""The worker on a queue: the unmodified SDK takes jobs over HTTP from a server that speaks RunPod's protocol."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import weights_site
from job_server import JobServer, QueueWorker
from worker_app import model, write_app

from factory.emulator.faults import FOREVER, Fault

HANDLER = """
import sys
import time
from typing import Any

import numpy as np
from pydantic import BaseModel

class OutOfMemoryError(RuntimeError):
    pass

class Handler:
    class Input(BaseModel):
        do: str
        value: Any = None
        seconds: float = 0

    def __init__(self, progress):
        self.progress = progress

    def __call__(self, inputs):
        if inputs.do == "return":
            return inputs.value
        if inputs.do == "numpy":
            return {"row": np.arange(3, dtype=np.float32), "n": np.int64(7)}
        if inputs.do == "object":
            return [object()]
        if inputs.do == "big":
            return "x" * 30_000_000
        if inputs.do == "raise":
            raise ValueError("bad thing at https://host/file?signature=sEcReT")
        if inputs.do == "exit":
            sys.exit(3)
        if inputs.do == "oom":
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of "
                                   "23.60 GiB of which 1.20 GiB is free.")
        if inputs.do == "progress":
            for step in range(200):
                self.progress({"step": step})
                time.sleep(0.01)
            return "done"
        if inputs.do == "loop":
            end = time.monotonic() + inputs.seconds
            while time.monotonic() < end:
                time.sleep(0.01)
            return "looped"
        if inputs.do == "block":
            time.sleep(inputs.seconds)
            return "blocked"
"""
GENERATOR = """
class Handler:
    def __call__(self, inputs):
        yield "one"
        yield {"two": 2}
        if inputs.get("fail"):
            raise ValueError("third")
"""
ASYNC = """
import asyncio, os, sys
class Handler:
    async def __call__(self, inputs):
        if inputs["do"] == "exit":
            sys.exit(3)
        if inputs["do"] == "die":
            os._exit(9)
        await asyncio.sleep(inputs.get("seconds", 0))
        return inputs
"""
SLOW = """
import time
class Handler:
    def load(self, model_dir):
        end = time.monotonic() + {seconds}
        while time.monotonic() < end:
            time.sleep(0.01)
    def __call__(self, inputs):
        return inputs
"""
NO_FILE = [{"path": "x.bin", "size_bytes": 3, "digest": "sha256:" + "0" * 64}]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[JobServer, QueueWorker]]:
    """One worker that outlives all that is asked of it, with a volume that is a folder."""
    folder = tmp_path_factory.mktemp("shared")
    volume = folder / "volume"
    volume.mkdir()
    recipe = write_app(folder / "app", code=HANDLER)
    with JobServer() as server, QueueWorker(server, recipe, folder / "log", FACTORY_VOLUME=str(volume)) as worker:
        yield server, worker


@pytest.fixture
def server() -> Iterator[JobServer]:
    """A queue of its own."""
    with JobServer() as made:
        yield made


@pytest.mark.parametrize(
    ("job_input", "body"),
    [
        ({"do": "return", "value": {"a": 1}}, {"output": {"a": 1}}),
        ({"do": "return", "value": {}}, {"output": {}}),
        ({"do": "return", "value": None}, {"output": None}),
        ({"do": "return", "value": {"error": "my own", "detail": 1}}, {"output": {"detail": 1}, "error": "my own"}),
        ({"do": "numpy"}, {"output": {"row": [0.0, 1.0, 2.0], "n": 7}}),
    ],
    ids=["object", "empty", "none", "error", "numpy"],
)
def test_a_result(job_input: Any, body: Any, shared: tuple[JobServer, QueueWorker]) -> None:
    """Results arrive as RunPod wants them; `{}` and None are results."""
    assert shared[0].run("ok", job_input) == body


@pytest.mark.parametrize(
    ("job_input", "error"),
    [
        ({"value": 1}, "input_invalid: do: Field required"),
        ({"do": 5, "seconds": "x"}, "input_invalid: do: Input should be a valid string (found 5); seconds: "),
        ({"do": "raise"}, "handler_failed: ValueError: bad thing at https://host/file?***"),
        ({"do": "object"}, "output_unserialisable: output.0 is of type builtins.object"),
        ({"do": "exit"}, "handler_failed: SystemExit: 3"),
        (
            {"do": "oom"},
            "out_of_memory: 20.00 GiB were asked for, and 1.20 GiB of 23.60 GiB were free on the GPU; ask for less",
        ),
    ],
    ids=["missing", "all-problems", "exception", "unserialisable", "sys.exit", "out-of-memory"],
)
def test_a_failure(job_input: Any, error: str, shared: tuple[JobServer, QueueWorker]) -> None:
    """A job that fails is answered with one string, at once, and the worker goes on without being replaced."""
    server, _ = shared
    body = server.run("bad", job_input)
    assert list(body) == ["error"]
    assert body["error"].startswith(error)
    assert server.run("next", {"do": "return", "value": 1}) == {"output": 1}


def test_30_mb_go_to_the_volume(shared: tuple[JobServer, QueueWorker]) -> None:
    """A result that RunPod would refuse, and the SDK drop, is stored whole, and the answer says where."""
    server, _ = shared
    stored = server.run("big", {"do": "big"})["output"]["output_file"]
    assert Path(stored["path"]).stat().st_size == 30_000_002
    assert not server.refused


def test_progress_is_ordered_and_never_late(shared: tuple[JobServer, QueueWorker]) -> None:
    """Of 200 values in two seconds a few arrive, in order, a second apart, and none after the result."""
    server, worker = shared
    assert server.run("steps", {"do": "progress"}) == {"output": "done"}
    server.run("after", {"do": "return"})
    *values, result = server.of("steps")
    steps = [value["step"] for value in values]
    assert result == ("result", {"output": "done"})
    assert 2 <= len(steps) <= worker.wait_for("job", id="steps")["seconds"] + 1
    assert steps == sorted(set(steps))
    assert [row["value"]["step"] for row in worker.events("progress") if row["id"] == "steps"] == steps


def test_times_when_asked(shared: tuple[JobServer, QueueWorker]) -> None:
    """A job that asks for it gets its times beside its output, and the log has them for each job."""
    server, worker = shared
    output = server.run("timed", {"do": "loop", "seconds": 0.3}, factory_timing=True)["output"]
    assert output["output"] == "looped"
    assert set(output["timing"]) == {"queue_s", "inputs_s", "inference_s", "outputs_s"}
    assert 0.3 <= output["timing"]["inference_s"] < 5
    row = worker.wait_for("job", id="timed")
    assert row["status"] == "done" and row["inference_s"] == output["timing"]["inference_s"]


def test_a_sync_handler_that_overruns_is_ended(shared: tuple[JobServer, QueueWorker]) -> None:
    """A job over its policy's time fails with the sentence; its handler was ended, so the worker stays."""
    server, _ = shared
    body = server.run("long", {"do": "loop", "seconds": 60}, policy={"executionTimeout": 2500})
    assert body == {
        "error": "job_timeout: the job ran for 1.2 s and was stopped (policy.executionTimeout 2.5 s); ask for less, "
        "or send a longer policy.executionTimeout"
    }
    assert server.run("next", {"do": "return", "value": 1}) == {"output": 1}


def test_a_cancelled_job_is_ended(shared: tuple[JobServer, QueueWorker]) -> None:
    """RunPod's stop of a job ends a sync handler, too; nothing is posted for it."""
    server, worker = shared
    server.submit("cancelled", {"do": "loop", "seconds": 60})
    while server.taken.get(timeout=60) != "cancelled":
        pass
    time.sleep(0.5)  # the SDK has the answer, and begins the job within its 0.1 s turn
    server.stops.put("cancelled")
    assert server.run("next", {"do": "return", "value": 1}) == {"output": 1}
    assert not server.of("cancelled")
    assert worker.wait_for("job", id="cancelled")["status"] == "cancelled"


def test_no_secret_reaches_the_log(shared: tuple[JobServer, QueueWorker]) -> None:
    """The query of a presigned URL in an exception is struck out, of its traceback too."""
    server, worker = shared
    server.run("secret", {"do": "raise"})
    assert worker.wait_for("job", id="secret", status="failed")["traceback"].count("?***") > 0
    assert "sEcReT" not in "".join(map(json.dumps, worker.events()))


def test_a_handler_that_cannot_be_ended(server: JobServer, tmp_path: Path) -> None:
    """A job whose handler sits in a long C call is answered all the same; the worker asks to be replaced and ends."""
    recipe = write_app(tmp_path / "app", code=HANDLER)
    with QueueWorker(server, recipe, tmp_path / "log", FACTORY_JOB_S="0.5") as worker:
        body = server.run("stuck", {"do": "block", "seconds": 600})
        assert body["error"].startswith("job_timeout: the job ran for 0.5 s and was stopped (FACTORY_JOB_S 0.5 s)")
        assert body["stopPod"] is True
        assert worker.wait(15) == 0
        assert worker.events("retire")[0]["reason"] == "the handler's thread does not end"


def test_memory_that_runs_out_twice_in_a_row(server: JobServer, tmp_path: Path) -> None:
    """Where no GPU can be asked, the second job in a row that lacks memory has the worker replaced."""
    with QueueWorker(server, write_app(tmp_path / "app", code=HANDLER), tmp_path / "log") as worker:
        assert "stopPod" not in server.run("j1", {"do": "oom"})
        assert server.run("j2", {"do": "oom"})["stopPod"] is True
        assert worker.wait(15) == 0
        assert worker.events("retire")[0]["reason"] == "2 jobs in a row ran out of memory"


def test_an_async_handler(server: JobServer, tmp_path: Path) -> None:
    """An async handler is answered, is cancelled when its time is over, and its sys.exit ends a job only."""
    with QueueWorker(server, write_app(tmp_path / "app", code=ASYNC), tmp_path / "log"):
        assert server.run("j1", {"do": "x"}) == {"output": {"do": "x"}}
        assert server.run("j2", {"do": "exit"}) == {"error": "handler_failed: SystemExit: 3"}
        body = server.run("j3", {"do": "x", "seconds": 60}, policy={"executionTimeout": 1000})
        assert body["error"].startswith("job_timeout: the job ran for 0.5 s") and "stopPod" not in body
        assert server.run("j4", {"do": "y"}) == {"output": {"do": "y"}}


def test_a_generator_streams(server: JobServer, tmp_path: Path) -> None:
    """Parts go to the stream one by one and come again whole with the result; an error fails the job."""
    with QueueWorker(server, write_app(tmp_path / "app", code=GENERATOR), tmp_path / "log"):
        server.submit("j1", {"x": 1})
        parts = [server.answer("job-stream")[1]["output"] for _ in range(2)]
        assert parts == ["one", {"two": 2}]
        assert server.answer() == ("j1", {"output": ["one", {"two": 2}]})
        assert server.run("j2", {"fail": True}) == {"error": "handler_failed: ValueError: third"}
        output = server.run("j3", {"x": 1}, factory_timing=True)["output"]
        assert output[:2] == ["one", {"two": 2}] and set(output[2]) == {"timing"}


def test_a_failed_start_joins_the_queue_and_reports(server: JobServer, tmp_path: Path) -> None:
    """A worker that can't start fails each job with the reason, asks to be replaced, leaves a report, and ends."""
    volume = tmp_path / "volume"
    volume.mkdir()
    recipe = write_app(tmp_path / "app", code=GENERATOR, models=[model("m", NO_FILE)])
    changes = {"FACTORY_FAILED_JOBS": "2", "FACTORY_IMAGE_MODELS": str(tmp_path), "FACTORY_VOLUME": str(volume)}
    with QueueWorker(server, recipe, tmp_path / "log", **changes) as worker:
        for name in ("j1", "j2"):
            body = server.run(name, {"x": 1})
            assert body["error"].startswith("weights_missing: 1 of 1 files of org/m are not in ")
            assert body["stopPod"] is True
        assert worker.wait(15) == 1
        failed = worker.events("failed")
    [report] = (volume / ".factory" / "failures").glob("*.json")
    found = json.loads(report.read_text())
    assert (found["code"], found["worker"], found["phase"]) == ("weights_missing", "worker-1", "weights")
    assert [(row["code"], row["report"]) for row in failed] == [("weights_missing", str(report))]
    assert found["sentence"] == failed[0]["sentence"]


def test_a_machine_that_is_not_fit(server: JobServer, tmp_path: Path) -> None:
    """What the SDK would kill a worker for, before any job, every job is told: with the number and the fix."""
    changes = {"FACTORY_FAILED_JOBS": "1", "RUNPOD_MIN_MEMORY_GB": "900000"}
    with QueueWorker(server, write_app(tmp_path / "app"), tmp_path / "log", **changes) as worker:
        error = server.run("j1", {"x": 1})["error"]
        assert worker.wait(15) == 1
    assert error.startswith("unfit: ")
    assert " memory are available, and RunPod's SDK wants 900000; choose " in error


NVIDIA_SMI = """#!/bin/sh
[ "$1" = --list-gpus ] && exec echo 'GPU 0: Old GPU'
echo '| NVIDIA-SMI 450.80   Driver Version: 450.80   CUDA Version: 11.2 |'
"""
CHECKED = """
import runpod
@runpod.serverless.register_fitness_check
def tokenizer_is_here():
    raise RuntimeError("no tokenizer in /opt")
class Handler:
    def __call__(self, inputs):
        return inputs
"""


@pytest.mark.parametrize(
    ("program", "code", "says"),
    [
        (NVIDIA_SMI, GENERATOR, "'CUDA version' failed: CUDA version too old: 11.2 found, 11.8 required"),
        (None, CHECKED, "'tokenizer_is_here' failed: no tokenizer in /opt"),
    ],
    ids=["gpu", "own"],
)
def test_checks_that_the_sdk_would_make(
    program: str | None, code: str, says: str, server: JobServer, tmp_path: Path
) -> None:
    """The SDK's checks of a GPU, and those that a handler's file registers with it, kill no worker in silence."""
    if program is not None:
        for name, text in (("nvidia-smi", program), ("nvcc", "#!/bin/sh\nexit 1\n")):
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(0o755)
    changes = {"FACTORY_FAILED_JOBS": "1", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with QueueWorker(server, write_app(tmp_path / "app", code=code), tmp_path / "log", **changes) as worker:
        assert server.run("j1", {"x": 1})["error"].startswith(f"unfit: the check {says}; let the worker be replaced")
        assert worker.wait(15) == 1


def test_a_lazy_start(server: JobServer, tmp_path: Path) -> None:
    """A lazy worker takes its first job at once, tells it what it waits for, and then answers it."""
    recipe = write_app(tmp_path / "app", code=SLOW.replace("{seconds}", "4"))
    with QueueWorker(server, recipe, tmp_path / "log", FACTORY_START="lazy") as worker:
        assert server.run("first", {"x": 1}, factory_timing=True)["output"]["output"] == {"x": 1}
        assert server.of("first")[:-1] == ["loading the model"]
        assert server.run("second", {"x": 2}) == {"output": {"x": 2}}
        assert [row["phase"] for row in worker.events("phase")][-2:] == ["load", "ready"]
        assert worker.wait_for("job", id="first")["queue_s"] > 0


def test_a_lazy_start_shows_the_download(server: JobServer, tmp_path: Path) -> None:
    """The first job of a lazy worker sees how far the weights are, and how long they will still take."""
    with weights_site.site(tmp_path) as site:
        site.plan(Fault("stall", times=FOREVER, method="GET", wait_s=4, after_bytes=1_000_000))
        recipe = write_app(tmp_path / "app", models=[site.block()])
        changes = {"HF_ENDPOINT": site.url, "FACTORY_VOLUME": str(site.volume), "FACTORY_LEASE_S": "2"}
        with QueueWorker(server, recipe, tmp_path / "log", FACTORY_START="lazy", **changes):
            assert server.run("first", {"x": 1}) == {"output": {"x": 1}}
        shown = [value for value in server.of("first")[:-1] if value.startswith("downloading ")]
        assert re.fullmatch(r"downloading \d+\.\d of 17\.\d MB, \d+ s left", shown[-1]), shown


def test_a_slow_start(server: JobServer, tmp_path: Path) -> None:
    """An eager start over its limit joins the queue; a job whose time is over before it is ready is told so."""
    recipe = write_app(tmp_path / "app", code=SLOW.replace("{seconds}", "12"))
    with QueueWorker(server, recipe, tmp_path / "log", FACTORY_START_S="1") as worker:
        body = server.run("short", {"x": 1}, policy={"executionTimeout": 2000})
        assert body == {
            "error": "start_up_slow: the worker was not ready after 1 s: loading the model; send the job again later, "
            "or with a longer policy.executionTimeout"
        }
        assert worker.wait_for("slow_start")["doing"] in ("loading the model", "importing the handler")
        assert server.run("patient", {"x": 2}) == {"output": {"x": 2}}


def test_a_lazy_start_that_fails(server: JobServer, tmp_path: Path) -> None:
    """The job that waited for a start gets its error, and so does the next."""
    code = SLOW.replace("{seconds}", "3").replace("def __call__", "    raise OSError('no GPU')\n    def __call__")
    recipe = write_app(tmp_path / "app", code=code)
    changes = {"FACTORY_START": "lazy", "FACTORY_FAILED_JOBS": "2"}
    with QueueWorker(server, recipe, tmp_path / "log", **changes) as worker:
        for name in ("j1", "j2"):
            body = server.run(name, {"x": 1})
            assert body["error"].startswith("handler_load: the handler's load raised OSError: no GPU")
            assert body["stopPod"] is True
        assert worker.wait(15) == 1


def test_sigterm_finishes_the_running_job(server: JobServer, tmp_path: Path) -> None:
    """A worker that is told to stop in mid-job posts that job's result first, and ends, though its polls are open."""
    with QueueWorker(server, write_app(tmp_path / "app", code=HANDLER), tmp_path / "log") as worker:
        server.submit("long", {"do": "loop", "seconds": 2})
        assert server.taken.get(timeout=60) == "long"
        time.sleep(0.5)  # the SDK has the answer, and begins the job within its 0.1 s turn
        worker.process.send_signal(signal.SIGTERM)
        assert server.answer() == ("long", {"output": "looped"})
        assert worker.wait(12) == 0


def test_sigterm_does_not_wait_for_ever(server: JobServer, tmp_path: Path) -> None:
    """A job that doesn't end within the grace is answered with that, before the platform kills the worker."""
    recipe = write_app(tmp_path / "app", code=HANDLER)
    with QueueWorker(server, recipe, tmp_path / "log", FACTORY_STOP_S="1") as worker:
        server.submit("long", {"do": "loop", "seconds": 600})
        assert server.taken.get(timeout=60) == "long"
        time.sleep(0.5)
        worker.process.send_signal(signal.SIGTERM)
        job, body = server.answer()
        assert (job, body["error"].partition(";")[0]) == (
            "long",
            "worker_stopped: the worker was told to stop before the job was done",
        )
        assert worker.wait(12) == 0


@pytest.mark.parametrize("when", ["idle", "loading"])
def test_sigterm_without_a_job(when: str, server: JobServer, tmp_path: Path) -> None:
    """An idle worker ends at once, its long polls open; so does one that is still starting."""
    recipe = write_app(tmp_path / "app", code=SLOW.replace("{seconds}", "0" if when == "idle" else "600"))
    with QueueWorker(server, recipe, tmp_path / "log") as worker:
        worker.wait_for("phase", phase="ready" if when == "idle" else "weights")
        if when == "idle":
            server.run("j1", {"x": 1})
        worker.process.send_signal(signal.SIGTERM)
        assert worker.wait(12) == (0 if when == "idle" else 143)


@pytest.mark.parametrize("death", ["SIGKILL", "os._exit"])
def test_no_ping_outlives_the_worker(death: str, server: JobServer, tmp_path: Path) -> None:
    """However a worker dies that isn't PID 1, the SDK's ping process dies with it: no dead job looks alive."""
    with QueueWorker(server, write_app(tmp_path / "app", code=ASYNC), tmp_path / "log") as worker:
        server.submit("doomed", {"do": "x" if death == "SIGKILL" else "die", "seconds": 600})
        assert server.taken.get(timeout=60) == "doomed"
        while not server.pings:
            time.sleep(0.05)
        if death == "SIGKILL":
            while "doomed" not in server.pings[-1][1]:
                time.sleep(0.05)
            worker.process.kill()
        worker.wait(15)
    pings = len(server.pings)
    time.sleep(2.5)  # two and a half of their intervals
    assert len(server.pings) <= pings + 1  # one may have been under way
