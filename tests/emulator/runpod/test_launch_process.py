"""Workers as processes of a rendered context: the no-engine way from a queue to an answer, and to a clean end."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from emulator_process import emulator_process
from runpod_box import KEY, Emulated, an_endpoint, emulated
from worker_app import listed, model, write_app

from factory.emulator.runpod.box import Box
from factory.emulator.runpod.clock import RealClock
from factory.emulator.runpod.entities import Container, Endpoint, Job, Worker
from factory.emulator.runpod.launch_process import ProcessLauncher, image_environment, process_environment
from factory.emulator.runpod.launcher import Order

IMAGE = "127.0.0.1:5000/test/mine:0123456789abcdef"
HANDLER = """
import os, sys, subprocess

class Handler:
    def __call__(self, inputs):
        if inputs.get("exit"):
            os._exit(inputs["exit"])
        if inputs.get("child"):
            return subprocess.Popen(["sleep", "600"]).pid
        return {name: os.environ.get(name) for name in inputs["names"]} | {"pid": os.getpid(), "cwd": os.getcwd()}
"""
DOCKERFILE = """FROM base
ENV IGNORED="of an earlier stage"
FROM base
ENV VIRTUAL_ENV=/opt/venv PATH=/opt/venv/bin:${PATH}
ENV HF_HOME=/runpod-volume/huggingface
ENV QUOTED="a \\"b\\" \\$c \\\\ d"
"""


def a_context(folder: Path, **app: Any) -> Path:
    """Write a context as `factory render` does, without the runtime's copy: the installed one is the same."""
    write_app(folder, **app)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    return folder


@pytest.fixture
def contexts(tmp_path: Path) -> Path:
    """A folder of contexts with one in it."""
    a_context(tmp_path / "contexts" / "test" / "mine" / "0123456789abcdef", code=HANDLER)
    return tmp_path / "contexts"


@pytest.fixture
def box(contexts: Path) -> Iterator[Emulated]:
    """A box in real time, with process workers."""
    with emulated(clock=RealClock(), launcher=ProcessLauncher(contexts)) as made:
        yield made


def endpoint_of(box: Emulated, image: str = IMAGE, *, env: dict[str, str] | None = None, **fields: object) -> Endpoint:
    """Make an endpoint of an image."""
    draft = an_endpoint("mine", container=Container(image, env=env or {}), **fields)
    return box.call(lambda inside: inside.world.create_endpoint(draft))


def run(box: Emulated, endpoint: Endpoint, job_input: Any) -> dict[str, Any]:
    """Run a job through the job API, as a client does, and return its end."""
    answer = httpx.post(
        f"{box.jobs_url}/{endpoint.id}/runsync?wait=60000",
        json={"input": job_input},
        headers={"Authorization": f"Bearer {KEY}"},
        timeout=70,
    )
    found: dict[str, Any] = answer.json()
    return found


def until(condition: Callable[[], Any], what: str, limit_s: float = 30) -> Any:
    """Return the first true value of a condition."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {limit_s} s: {what}")


def is_alive(pid: int) -> bool:
    """Is the process there, and no zombie?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def worker_of(box: Emulated, endpoint: Endpoint) -> Worker:
    """Return the only worker."""
    (found,) = box.call(lambda inside: inside.fleet.workers(endpoint.id))
    return found


def test_a_job_runs_in_a_process(box: Emulated) -> None:
    """The SDK in it takes the job and answers; its folder is its own, and the emulator's environment isn't there.

    The context is found by a digest too: its first 16 digits are the tag. What the handler left running ends as well.
    """
    endpoint = endpoint_of(box, f"registry.test/test/mine@sha256:{'0123456789abcdef' * 4}", env={"MINE": "1"})
    names = ["MINE", "RUNPOD_ENDPOINT_ID", "HF_HOME", "QUOTED", "DOCKER_HOST", "FACTORY_VOLUME", "IGNORED"]
    output = run(box, endpoint, {"names": names})["output"]
    assert {name: output[name] for name in names} == {
        "MINE": "1",
        "RUNPOD_ENDPOINT_ID": endpoint.id,
        "HF_HOME": "/runpod-volume/huggingface",
        "QUOTED": 'a "b" $c \\ d',
        "DOCKER_HOST": None,
        "FACTORY_VOLUME": None,
        "IGNORED": None,
    }
    worker = worker_of(box, endpoint)
    assert (worker.status, worker.joined_at is not None) == ("IDLE", True)
    lines = box.call(lambda inside: inside.fleet.log_lines(worker.id, "container"))
    assert any(json.loads(row.line).get("phase") == "ready" for row in lines if row.line.startswith('{"event"'))
    assert box.call(lambda inside: inside.fleet.bill.spend_usd_per_h) > 1
    assert Path(output["cwd"]).is_dir()
    child = run(box, endpoint, {"child": True})["output"]
    assert is_alive(child)
    box.call(lambda inside: inside.world.delete_endpoint(endpoint.id))
    until(lambda: not is_alive(output["pid"]) and not Path(output["cwd"]).exists(), "process and folder are gone")
    until(lambda: not is_alive(child), "its child is gone")


def test_a_crash_is_seen_and_started_again(box: Emulated) -> None:
    """The same worker is back for the job's second try; its exit code is kept, and the job has failed."""
    endpoint = endpoint_of(box)
    answer = run(box, endpoint, {"exit": 3})
    assert (answer["status"], answer["error"]) == ("FAILED", "job timed out after 1 retries")
    worker = worker_of(box, endpoint)
    assert answer["retries"] == 1
    assert (worker.exit_code, worker.restarts, worker.status) == (3, 2, "UNHEALTHY")


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ("test/other:1", "there is no rendered context at"),
        ("test/../../etc:1", "there is no rendered context at"),
        ("test/mine:ffff", "there is no rendered context at"),
    ],
)
def test_an_image_without_a_context_is_one_that_cannot_be_pulled(image: str, says: str, box: Emulated) -> None:
    """The worker stays INITIALIZING, and its system log says which folder was looked for."""
    endpoint = endpoint_of(box, image, workers_min=1)

    def complaints(inside: Box) -> list[str]:
        fleet = inside.fleet
        lines = [row.line for one in fleet.workers(endpoint.id) for row in fleet.log_lines(one.id, "system")]
        return [line for line in lines if says in line]

    until(lambda: box.call(complaints), "the log says so")
    assert worker_of(box, endpoint).status == "INITIALIZING"


def test_a_kill_of_the_emulator_kills_its_workers(contexts: Path, tmp_path: Path) -> None:
    """SIGKILL leaves no worker behind that would ask a dead port for jobs."""
    with emulator_process(tmp_path / "log", "--workers", "process", "--contexts", contexts) as emulator:
        client = httpx.Client(base_url=emulator.url, headers={"Authorization": f"Bearer {KEY}"}, timeout=70)
        endpoint = client.post(
            "/v2/serverless",
            json={
                "name": "mine",
                "type": "QUEUE",
                "image": IMAGE,
                "disk": 5,
                "gpu": {"pools": ["ADA_24"]},
                "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4},
            },
        ).json()
        job = client.post(f"/v2/{endpoint['id']}/runsync", json={"input": {"names": []}}).json()
        pid = job["output"]["pid"]
        assert is_alive(pid)
        assert emulator.end(signal.SIGKILL) == -signal.SIGKILL
        until(lambda: not is_alive(pid), "the worker is gone")
    scratch = Path(job["output"]["cwd"])
    assert scratch.is_dir()
    with emulator_process(tmp_path / "log", "--workers", "process", "--contexts", contexts):
        until(lambda: not scratch.exists(), "the next emulator removes its folder")


@pytest.mark.minilm
def test_a_real_embedding_without_an_engine(minilm_folder: Path, tmp_path: Path) -> None:
    """The whole way: the emulated Hub, the volume that the worker fills, the real model, the queue."""
    reference = json.loads(
        (Path(__file__).parents[2] / "worker_runtime" / "data" / "minilm_reference.json").read_text()
    )["vectors"][0]
    repository = tmp_path / "hub" / "org" / "minilm"
    repository.parent.mkdir(parents=True)
    repository.symlink_to(minilm_folder)
    files = [row for row in listed(minilm_folder) if row["path"] in ("model.safetensors", "vocab.txt")]
    files += [row for row in listed(minilm_folder) if row["path"].endswith(".json")]
    with emulated(clock=RealClock(), launcher=ProcessLauncher(tmp_path / "contexts"), hub=tmp_path / "hub") as box:
        commit = httpx.get(f"{box.url}/api/models/org/minilm").json()["sha"]
        weights = model("minilm", files, placement="volume", commit=commit)
        context = tmp_path / "contexts" / "test" / "minilm" / "1"
        a_context(context, handler={"name": "embeddings"}, models=[weights])
        volume = box.call(lambda inside: inside.world.create_volume("weights", 10, "EU-RO-1"))
        endpoint = endpoint_of(box, "test/minilm:1", volume_ids=[volume.id])
        answer = run(box, endpoint, {"text": reference["text"]})
        assert answer["status"] == "COMPLETED", answer
        vector = answer["output"]["embeddings"][0]
        assert max(abs(a - b) for a, b in zip(vector, reference["vector"], strict=True)) < 1e-6


@pytest.mark.parametrize("has_volume", [True, False])
def test_paths_of_an_image_become_paths_here(has_volume: bool, tmp_path: Path) -> None:
    """/runpod-volume is the volume's folder wherever a value names it as a path, and nothing else is touched."""
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    env = {
        "A": "/runpod-volume",
        "B": "/runpod-volume/x:/runpod-volume/y",
        "C": "/runpod-volumes",
        "D": "/data/runpod-volume",
    }
    endpoint = an_endpoint()
    worker = Worker("w", "e", 1, IMAGE)
    jobs: Any = Job  # a process is given neither jobs nor `joined`
    order = Order(worker, endpoint, env, Path("/vol") if has_volume else None, "http://x", None, jobs, lambda: None)
    found = process_environment(order, tmp_path, Path("/scratch"))
    if not has_volume:
        assert {name: found[name] for name in env} == env and "FACTORY_VOLUME" not in found
        return
    assert [found[name] for name in "ABCD"] == ["/vol", "/vol/x:/vol/y", "/runpod-volumes", "/data/runpod-volume"]
    assert (found["FACTORY_VOLUME"], found["HF_HOME"]) == ("/vol", "/vol/huggingface")
    assert found["FACTORY_RECIPE"] == str(tmp_path / "recipe.json")


def test_the_environment_of_a_rendered_dockerfile() -> None:
    """One variable a line, of the last stage, as factory quotes them; lines of several are the base's business."""
    assert image_environment(DOCKERFILE) == {"HF_HOME": "/runpod-volume/huggingface", "QUOTED": 'a "b" $c \\ d'}


def test_a_python_that_is_not_there(contexts: Path) -> None:
    """It can't be started, which looks like a command that isn't in an image: exit code 127."""
    launcher = ProcessLauncher(contexts, python=f"{sys.prefix}/no-such-python")
    with emulated(clock=RealClock(), launcher=launcher) as box:
        endpoint = endpoint_of(box, workers_min=1)
        until(lambda: box.call(lambda b: [w.exit_code for w in b.fleet.workers(endpoint.id)]) == [127], "exit code 127")
        assert os.listdir(contexts) == ["test"]  # noqa: PTH208
