"""`factory run` as a user starts it, through a real queue: the emulator with workers in its own loop."""

from __future__ import annotations

import asyncio
import base64
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
from forked_cli import Done, ForkedCli, forked_cli
from runpod_box import KEY, Emulated, an_endpoint, emulated

from factory.emulator.runpod.clock import RealClock
from factory.emulator.runpod.launch_inline import InlineLauncher
from factory.ledger import Ledger

Run = Callable[..., Done]


async def answer(job_input: dict[str, Any]) -> Any:
    """Do what the input says."""
    if "wait" in job_input:
        await asyncio.sleep(job_input["wait"])
    if "fail" in job_input:
        raise ValueError(job_input["fail"])
    if "file" in job_input:
        content = job_input["file"].encode()
        return {"video": {"name": "a.mp4", "size_bytes": len(content), "base64": base64.b64encode(content).decode()}}
    return {"got": job_input}


@pytest.fixture(scope="module")
def runpod() -> Iterator[Emulated]:
    """An account with one endpoint, whose workers answer at once."""
    with emulated(clock=RealClock(), launcher=InlineLauncher(answer)) as box:
        box.call(
            lambda b: b.world.create_endpoint(an_endpoint("demo", scaler_value=0.5, workers_min=1, idle_timeout_s=600))
        )
        yield box


@pytest.fixture
def environ(runpod: Emulated, tmp_path: Path) -> dict[str, str]:
    """The environment of a machine that has this account."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("FACTORY_", "RUNPOD_"))}
    env |= {"RUNPOD_API_BASE_URL": runpod.url, "RUNPOD_ENDPOINT_BASE_URL": runpod.jobs_url, "RUNPOD_API_KEY": KEY}
    return env | {"FACTORY_HOME": str(tmp_path / "home")}


@pytest.fixture(scope="module")
def cli() -> Iterator[ForkedCli]:
    """Processes that start quickly."""
    with forked_cli() as started:
        yield started


@pytest.fixture
def factory(cli: ForkedCli, environ: dict[str, str], tmp_path: Path) -> Run:
    """Run `factory run …` in a process of its own; what would be typed into it comes from a file."""
    (tmp_path / "demo.yaml").write_text(
        "name: demo\nimage: {repository: acme/demo}\nhandler: echo\n"
        "tests: [{input: {a: 1}}, {name: second, input: {b: 2}, expect: {b: 2}}]\n"
    )

    def run(*arguments: str | Path, stdin: str = "") -> Done:
        (tmp_path / "job.json").write_text(stdin)
        words = ["job.json" if word == "-" else word for word in arguments]
        return cli.run("run", *words, env=environ, folder=tmp_path)

    return run


@pytest.mark.parametrize(
    ("arguments", "stdin", "output"),
    [
        (["demo.yaml"], "", {"got": {"a": 1}}),
        (["demo.yaml", "--test", "second"], "", {"got": {"b": 2}}),
        (["demo.yaml", "--test", "2", "--sync"], "", {"got": {"b": 2}}),
        (["demo", "--input", "-"], '{"c": 3}', {"got": {"c": 3}}),
        (["demo", "--input", "-"], '{"input": {"d": 4}, "policy": {"executionTimeout": 9000}}', {"got": {"d": 4}}),
    ],
)
def test_the_output_is_on_stdout(factory: Run, arguments: list[str], stdin: str, output: object) -> None:
    """A recipe's test or a given input goes through the queue; stdout carries the output alone."""
    done = factory(*arguments, stdin=stdin)
    assert done.code == 0, done.err
    assert json.loads(done.out) == output
    assert "run" in done.err and "waited" in done.err


def test_json_says_all_of_the_job(factory: Run, tmp_path: Path) -> None:
    """--json has endpoint, job, times and output; the ledger knows the job too."""
    record = json.loads(factory("demo.yaml", "--json").out)
    assert record["state"] == "COMPLETED" and record["output"] == {"got": {"a": 1}}
    assert isinstance(record["delay_ms"], int) and isinstance(record["execution_ms"], int)
    (entry,) = Ledger(tmp_path / "home" / "jobs.sqlite").entries()
    assert (entry.id, entry.endpoint_id, entry.name, entry.state) == (
        record["job"],
        record["endpoint"],
        "demo",
        "COMPLETED",
    )


def test_files_of_the_result_are_saved(factory: Run, tmp_path: Path) -> None:
    """--out lays each file down and leaves its bytes out of what is printed."""
    done = factory("demo", "--input", "-", "--out", "out", stdin='{"file": "moving pictures"}')
    assert (tmp_path / "out" / "a.mp4").read_text() == "moving pictures"
    assert json.loads(done.out)["video"]["saved_as"] == "out/a.mp4" and "base64" not in done.out
    assert "saved out/a.mp4" in done.err


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "sentence"),
    [
        (["demo", "--input", "-"], '{"fail": "no prompt"}', 91, "no prompt"),
        (["demo", "--input", "-"], "{", 94, "no JSON"),
        (["demo", "--input", "-"], "[1]", 94, "a job is an object, this is [1]"),
        (["demo", "--input", "-"], "{}", 94, "empty"),
        (["demo", "--input", "-"], '{"input": {"a": 1}, "polcy": {}}', 94, "a job has no polcy beside its input"),
        (["demo.yaml", "--test", "third"], "", 94, "no test 'third' (there are 1, second)"),
        (["nothing", "--input", "-"], '{"a": 1}', 95, "no endpoint nothing (there are demo)"),
        (["demo"], "", 2, "give --input FILE"),
        (["demo.yaml", "--sync", "--stream"], "", 2, "exclude each other"),
        (["demo", "--timeout", "1", "--input", "-"], '{"wait": 20}', 92, "has not ended"),
    ],
)
def test_each_slip_is_one_sentence(factory: Run, arguments: list[str], stdin: str, code: int, sentence: str) -> None:
    """What can't be sent, or doesn't end well, says why, with its exit code and nothing on stdout."""
    done = factory(*arguments, stdin=stdin)
    assert done.code == code and done.out == ""
    assert sentence in done.err and "Traceback" not in done.err and KEY not in done.err


def test_a_detached_job_prints_its_id(factory: Run, runpod: Emulated) -> None:
    """--detach leaves the job to RunPod and says which it is."""
    job_id = factory("demo.yaml", "--detach").out.strip()
    (endpoint,) = runpod.box.world.endpoints.values()
    assert runpod.call(lambda box: box.jobs.get(endpoint.id, job_id)) is not None


def test_ctrl_c_cancels_the_job(environ: dict[str, str], runpod: Emulated, tmp_path: Path) -> None:
    """Nothing runs on unseen: the job is CANCELLED at RunPod, and the exit code is 130."""
    command = [sys.executable, "-m", "factory", "run", "demo", "--input", "-"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environ, cwd=tmp_path)
    assert process.stdin is not None
    process.stdin.write('{"wait": 60}')
    process.stdin.close()
    process.stdin = None
    (endpoint,) = runpod.box.world.endpoints.values()
    ledger, deadline = Ledger(tmp_path / "home" / "jobs.sqlite"), time.monotonic() + 30
    while not (entries := ledger.entries()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    job = runpod.call(lambda box: box.jobs.get(endpoint.id, entries[0].id))
    assert process.returncode == 130 and f"job {entries[0].id} cancelled" in said
    assert job is not None and job.status == "CANCELLED" and ledger.entries()[0].state == "CANCELLED"


def test_without_a_key(environ: dict[str, str], tmp_path: Path) -> None:
    """The missing key is named, and where to get one."""
    del environ["RUNPOD_API_KEY"]
    command = [sys.executable, "-m", "factory", "run", "demo", "--input", "-"]
    done = subprocess.run(
        command, input='{"a": 1}', capture_output=True, text=True, env=environ, timeout=60, check=False
    )
    assert done.returncode == 81 and "RUNPOD_API_KEY" in done.stderr
