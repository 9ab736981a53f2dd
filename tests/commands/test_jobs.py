"""`factory jobs` as a user starts it: what was submitted here is known here, also when RunPod has forgotten it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from forked_cli import Done, ForkedCli, forked_cli
from runpod_box import KEY, Emulated, an_endpoint, emulated

from factory.emulator.runpod.clock import RealClock
from factory.emulator.runpod.launch_inline import InlineLauncher

Factory = Callable[..., Done]


async def answer(job_input: dict[str, Any]) -> Any:
    """Do what the input says."""
    await asyncio.sleep(job_input.get("wait", 0))
    if "fail" in job_input:
        raise ValueError(job_input["fail"])
    return {"got": job_input}


@pytest.fixture(scope="module")
def cli() -> Iterator[ForkedCli]:
    """Processes that start quickly."""
    with forked_cli() as started:
        yield started


@pytest.fixture(scope="module")
def runpod() -> Iterator[Emulated]:
    """One endpoint with a worker, and one whose workers never come."""
    with emulated(clock=RealClock(), launcher=InlineLauncher(answer)) as box:
        box.call(lambda b: b.world.create_endpoint(an_endpoint("demo", workers_min=1, workers_max=1)))
        box.call(lambda b: b.world.create_endpoint(an_endpoint("asleep", workers_max=0)))
        yield box


@pytest.fixture
def factory(cli: ForkedCli, runpod: Emulated, tmp_path: Path) -> Factory:
    """Run `factory …` to its end."""
    env = {"RUNPOD_API_BASE_URL": runpod.url, "RUNPOD_ENDPOINT_BASE_URL": runpod.jobs_url, "RUNPOD_API_KEY": KEY}
    env |= {"FACTORY_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"}

    def run(*words: str, job: dict[str, Any] | None = None) -> Done:
        if job is not None:
            (tmp_path / "job.json").write_text(json.dumps(job))
            words = (*words, "--input", "job.json")
        return cli.run(*words, env=env, folder=tmp_path)

    return run


def states(factory: Factory, name: str) -> dict[str, str]:
    """Return the state of each job that `factory jobs list` knows."""
    return {entry["id"]: entry["state"] for entry in json.loads(factory("jobs", "list", name, "--json").out)}


def test_a_job_from_submission_to_its_output(factory: Factory) -> None:
    """Submitted, followed to its end, looked at again, and listed with its times."""
    job_id = factory("jobs", "submit", "demo", job={"a": 1}).out.strip()
    watched = factory("jobs", "watch", "demo", job_id)
    assert watched.code == 0 and json.loads(watched.out) == {"got": {"a": 1}}
    looked = factory("jobs", "status", "demo", job_id)
    assert json.loads(looked.out) == {"got": {"a": 1}} and looked.err.startswith("completed")
    table = factory("jobs", "list", "demo").out
    assert job_id in table and "COMPLETED" in table and "WAITED" in table


def test_a_failed_job_is_queued_again(factory: Factory) -> None:
    """`retry` opens it again, in the ledger too; its second failure is the ledger's."""
    failed = factory("run", "demo", "--json", job={"fail": "no prompt"})
    assert failed.code == 91
    (job_id,) = states(factory, "demo")
    assert factory("jobs", "retry", "demo", job_id).out == "IN_QUEUE\n"
    again = factory("jobs", "watch", "demo", job_id)
    assert again.code == 91 and "no prompt" in again.err
    assert states(factory, "demo") == {job_id: "FAILED"}


def test_cancel_and_purge(factory: Factory) -> None:
    """A waiting job is cancelled by name, the rest by emptying the queue; the ledger has them all as CANCELLED."""
    ids = [factory("run", "asleep", "--detach", job={"n": n}).out.strip() for n in range(3)]
    assert factory("jobs", "cancel", "asleep", ids[0]).out == "CANCELLED\n"
    asked = factory("jobs", "purge", "asleep")
    assert asked.code != 0 and "Drop 2 jobs" in asked.err, "without a terminal nobody can say yes"
    assert factory("jobs", "purge", "asleep", "--yes").out == "2\n"
    assert states(factory, "asleep") == dict.fromkeys(ids, "CANCELLED")
    assert factory("jobs", "purge", "asleep", "--yes").out == "0\n"


def test_what_runpod_forgot_ends_as_expired(factory: Factory, runpod: Emulated, tmp_path: Path) -> None:
    """A job that RunPod no longer knows is EXPIRED, not an error for ever; a young one is given time."""
    import sqlite3

    job_id = factory("run", "asleep", "--detach", job={"n": 1}).out.strip()
    (endpoint,) = [e for e in runpod.box.world.endpoints.values() if e.name == "asleep"]
    runpod.call(lambda box: box.jobs.drop_endpoint(endpoint.id))
    assert states(factory, "asleep") == {job_id: "IN_QUEUE"}
    with sqlite3.connect(tmp_path / "home" / "jobs.sqlite") as db:
        db.execute("UPDATE jobs SET submitted_at = submitted_at - 600")
    assert states(factory, "asleep") == {job_id: "EXPIRED"}
    unknown = factory("jobs", "status", "asleep", job_id)
    assert unknown.code == 93 and "RunPod does not know it" in unknown.err


def test_nothing_submitted_is_said(factory: Factory) -> None:
    """An empty ledger is a sentence, and no table."""
    done = factory("jobs", "list", "demo")
    assert done.code == 0 and done.out == "" and "no job was submitted to demo" in done.err
