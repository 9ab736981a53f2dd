"""`factory emulator`: what it prints, what it keeps, how it ends."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from emulator_process import EmulatorProcess, emulator_process

Factory = Callable[..., "subprocess.CompletedProcess[str]"]
KEY = {"Authorization": "Bearer emulator"}
HUB = Path(__file__).parent.parent / "fixtures" / "hub"


def test_prints_what_to_export(tmp_path: Path) -> None:
    """One NAME=value a line, all of them usable as they are; HF_ENDPOINT only with a hub."""
    with emulator_process(tmp_path / "log", "--workers", "none") as running:
        url = running.url
        assert running.exports == {
            "RUNPOD_API_BASE_URL": url,
            "RUNPOD_ENDPOINT_BASE_URL": f"{url}/v2",
            "RUNPOD_API_KEY": "emulator",
        }
        assert httpx.get(f"{url}/v2/serverless", headers=KEY).json()["endpoints"] == []
    with emulator_process(tmp_path / "log", "--workers", "none", "--hub", HUB) as running:
        assert running.exports["HF_ENDPOINT"] == running.url
        models = httpx.get(f"{running.url}/api/models").json()
        assert "Wan-AI/Wan2.1-T2V-14B" in {model["id"] for model in models}


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_ends_by_a_signal_and_keeps_its_state(tmp_path: Path, signum: int, code: int) -> None:
    """Ctrl-C and SIGTERM end it cleanly; the account is there at the next start, and the new balance with it."""
    options = ("--workers", "none", "--state", tmp_path / "state")
    with emulator_process(tmp_path / "log", *options, "--balance", "12.5", "--worker-quota", "3") as running:
        body = {"name": "weights", "size": 10, "dataCenter": "EU-RO-1"}
        assert httpx.post(f"{running.url}/v2/network-volumes", json=body, headers=KEY).status_code == 201
        assert running.end(signum) == code
    with emulator_process(tmp_path / "log", *options) as running:
        state = httpx.get(f"{running.url}/_emulator/state").json()
    assert [volume["name"] for volume in state["volumes"]] == ["weights"]
    assert (state["person"]["balance_usd"], state["person"]["worker_quota"]) == (12.5, 3)


def test_kill_loses_no_accepted_job(tmp_path: Path) -> None:
    """After `kill -9` and a restart on the same folder every job that was answered is in its queue."""
    options = ("--workers", "none", "--state", tmp_path / "state")
    with emulator_process(tmp_path / "log", *options) as running, httpx.Client(headers=KEY) as client:
        body = {
            "name": "echo",
            "type": "QUEUE",
            "image": "localhost:5000/echo:1",
            "gpu": {"pools": ["ADA_24"]},
            "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4},
        }
        made = client.post(f"{running.url}/v2/serverless", json=body)
        assert made.status_code == 201, made.text
        endpoint = made.json()["id"]
        job_ids = [_submitted(client, running, endpoint, n) for n in range(200)]
        assert running.end(signal.SIGKILL) == -signal.SIGKILL
    with emulator_process(tmp_path / "log", *options) as running, httpx.Client(headers=KEY) as client:
        jobs = f"{running.url}/v2/{endpoint}"
        assert client.get(f"{jobs}/health").json()["jobs"]["inQueue"] == 200
        assert {client.get(f"{jobs}/status/{job_id}").json()["status"] for job_id in job_ids} == {"IN_QUEUE"}
        taken = client.get(f"{jobs}/job-take/worker-1?gpu=none").json()
        assert (taken["id"], taken["input"]) == (job_ids[0], {"n": 0})


def _submitted(client: httpx.Client, running: EmulatorProcess, endpoint: str, n: int) -> str:
    answer = client.post(f"{running.url}/v2/{endpoint}/run", json={"input": {"n": n}})
    assert answer.status_code == 200
    job_id: str = answer.json()["id"]
    return job_id


def test_a_state_folder_is_not_shared(tmp_path: Path, factory: Factory) -> None:
    """A second emulator on one folder says so."""
    with emulator_process(tmp_path / "log", "--workers", "none", "--state", tmp_path / "state"):
        ended = factory("emulator", "--workers", "none", "--state", tmp_path / "state", "--port", "0")
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr == f"error: {tmp_path}/state: another emulator uses it; choose another --state\n"


def _not_a_database(state: Path) -> None:
    state.mkdir()
    (state / "state.sqlite").write_text("something else, of somebody else " * 100)


def _another_layout(state: Path) -> None:
    state.mkdir()
    with sqlite3.connect(state / "state.sqlite") as db:
        db.execute("CREATE TABLE entity (colour TEXT)")


@pytest.mark.parametrize("spoil", [_not_a_database, _another_layout, lambda state: state.write_text("a file")])
def test_what_is_no_state_is_said(tmp_path: Path, factory: Factory, spoil: Callable[[Path], object]) -> None:
    """A folder or file that isn't an emulator's is left alone, in one sentence."""
    spoil(tmp_path / "state")
    ended = factory("emulator", "--workers", "none", "--state", tmp_path / "state", "--port", "0")
    assert ended.returncode in (2, 3)  # 2 is Click's: a file where a folder must be
    assert ended.stderr.count("state") >= 1 and "bug" not in ended.stderr


def test_says_which_workers_it_chose(tmp_path: Path) -> None:
    """Where no engine answers, workers are processes, and stderr says so."""
    socket = f"unix://{tmp_path}/none.sock"
    with emulator_process(tmp_path / "log", DOCKER_HOST=socket) as running:
        assert running.end(signal.SIGTERM) == -signal.SIGTERM
    assert "no Docker engine answers" in (tmp_path / "log").read_text()
    assert "process" in (tmp_path / "log").read_text()


def test_engine_that_is_asked_for_must_answer(tmp_path: Path, factory: Factory) -> None:
    """`--workers docker` without an engine is an error."""
    ended = factory("emulator", "--workers", "docker", "--port", "0", DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert (ended.returncode, ended.stdout) == (51, "")
    assert "no Docker engine answers" in ended.stderr and "--workers process" in ended.stderr


def test_ended_emulator_leaves_no_volumes_behind(tmp_path: Path) -> None:
    """Without --state, what the volumes' scratch folder held goes with the emulator."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with emulator_process(tmp_path / "log", "--workers", "inline", TMPDIR=str(temporary)) as running:
        assert list(temporary.iterdir())
        running.end(signal.SIGTERM)
    assert not list(temporary.iterdir())
