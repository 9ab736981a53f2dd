"""The machine's fitness, the failure's report, a job's time, and the log."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from job_server import JobServer
from worker_app import SeenLog

from worker_runtime import failures, fitness, settings
from worker_runtime.errors import NoSpace, SettingsError, Unfit
from worker_runtime.limits import limit_of
from worker_runtime.settings import FitnessRules, Settings


def test_a_fit_machine() -> None:
    """A machine that has what is wanted passes; a queue that answers is network enough."""
    with JobServer() as server:
        url = server.variables()["RUNPOD_WEBHOOK_GET_JOB"]
        fitness.check_system(FitnessRules(min_memory_gb=0.001, min_disk_percent=0.001), url)


def test_memory() -> None:
    """Both numbers are in the sentence."""
    with pytest.raises(Unfit, match=r"\d+\.\d\d GiB of \d+\.\d\d GiB memory are available, and .* wants 999999"):
        fitness.check_memory(999999)


def test_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fix is a size at which the check passes."""
    gb = 10**9
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(total=100 * gb, free=5 * gb))
    with pytest.raises(Unfit) as caught:
        fitness.check_disk(10)
    assert caught.value.what == (
        "5.0 GB of the container disk's 100.0 GB are free (5.0 %), and RunPod's SDK wants 10 %"
    )
    assert "grow the container disk to 106 GB" in caught.value.fix
    assert (106 - 95) / 106 >= 0.1


def test_network() -> None:
    """A queue that nobody serves is named with host and port."""
    with JobServer() as server:
        port = server.server_port
    with pytest.raises(Unfit, match=f"no connection to the queue at 127.0.0.1:{port} within 1 s"):
        fitness.check_network(f"http://127.0.0.1:{port}/job-take/$ID?x", 1)


def test_what_is_switched_off_is_not_checked() -> None:
    """RunPod's own switch leaves the checks out."""
    rules = settings.read({"RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true", "RUNPOD_MIN_MEMORY_GB": "999999"}).fitness
    fitness.check_system(rules, "http://127.0.0.1:1/?")


async def _fails() -> None:
    raise RuntimeError("GPU compute too slow: 3000ms (max: 2000ms)")


def _passes() -> None:
    pass


def test_named_checks() -> None:
    """Sync and async checks run; the first that fails is named with what it found."""
    fitness.run_checks([("one", _passes)])
    with pytest.raises(Unfit, match=r"the check 'GPU speed' failed: GPU compute too slow: 3000ms"):
        fitness.run_checks([("one", _passes), ("GPU speed", _fails)])


def test_a_report_on_the_volume(tmp_path: Path, log: SeenLog) -> None:
    """A failure is one JSON file, without secrets; the newest 20 are kept, and nothing half written."""
    found = Settings(volume=tmp_path, may_volume_be_folder=True, worker_id="w/1")
    for number in range(25):
        error = NoSpace(f"{number}: https://cdn/x?Signature=abc", fix="grow it")
        path = failures.record(error, found, log, phase="weights")
    assert path is not None and path.name.endswith("-w1-no_space.json")
    kept = sorted((tmp_path / ".factory" / "failures").iterdir())
    assert len(kept) == failures.KEPT and kept[-1] == path
    said = json.loads(path.read_text())
    assert (said["sentence"], said["fix"], said["phase"]) == ("24: https://cdn/x?***", "grow it", "weights")


def test_no_volume_no_report(tmp_path: Path, log: SeenLog) -> None:
    """A folder that isn't a mount is the container's own disk, and a volume that can't be written is no failure."""
    assert failures.record(NoSpace("x"), Settings(volume=tmp_path), log) is None
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".factory").write_text("a file is in the way")
    assert failures.record(NoSpace("x"), Settings(volume=tmp_path, may_volume_be_folder=True), log) is None
    assert log.events("unrecorded")


@pytest.mark.parametrize(
    ("job", "job_s", "total_s"),
    [
        ({}, None, None),
        ({"policy": {"executionTimeout": 600_000}}, None, 597),
        ({"policy": {"executionTimeout": 1000}}, None, 0.5),
        ({"policy": {"executionTimeout": 600_000}}, 30.0, 30),
        ({"policy": {"executionTimeout": 20_000}}, 30.0, 17),
        ({"policy": None}, 30.0, 30),
        ({"policy": {"executionTimeout": "x"}}, None, None),
        ({"policy": {"executionTimeout": True}}, None, None),
    ],
)
def test_a_jobs_limit(job: dict[str, Any], job_s: float | None, total_s: float | None) -> None:
    """The lesser of the job's policy, less 3 s to say so, and the operator's limit."""
    assert limit_of(job, job_s).total_s == total_s


@pytest.mark.parametrize(
    ("environ", "start_s"),
    [
        ({}, 360),
        ({"RUNPOD_INIT_TIMEOUT": "800"}, 740),
        ({"RUNPOD_INIT_TIMEOUT": "60"}, 30),
        ({"RUNPOD_INIT_TIMEOUT": "800", "FACTORY_START_S": "5"}, 5),
    ],
)
def test_the_start_up_limit(environ: dict[str, str], start_s: float) -> None:
    """By default a minute less than RunPod waits."""
    assert settings.read(environ).start_s == start_s


def test_a_start_mode_that_is_none() -> None:
    """A slip is named."""
    with pytest.raises(SettingsError, match="FACTORY_START is 'lasy'"):
        settings.read({"FACTORY_START": "lasy"})


def test_the_log_keeps_no_secret(log: SeenLog) -> None:
    """Known secrets, tokens and queries are struck out of every field, however deep."""
    log.secrets = ("hunter2hunter2",)
    log.tell("x", text="a hunter2hunter2", deep=[{"u": "https://h/p?sig=1"}], token="hf_abcdefgh", n=1.5, none=None)
    [row] = log.events()
    assert row["text"] == "a ***"
    assert row["deep"] == [{"u": "https://h/p?***"}]
    assert (row["token"], row["n"], row["none"]) == ("***", 1.5, None)
