"""The ledger: jobs that were submitted here, kept beyond what RunPod remembers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.account import FINAL_STATES, JobResult, JobState
from factory.errors import RunError
from factory.ledger import Ledger

STATES: list[JobState] = ["IN_QUEUE", "IN_PROGRESS", *sorted(FINAL_STATES)]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """An empty ledger."""
    return Ledger(tmp_path / "home" / "jobs.sqlite")


def test_a_job_is_followed_to_its_end(ledger: Ledger) -> None:
    """State, times and worker are the last that RunPod told."""
    ledger.add("ep", "wan", JobResult("a", "IN_QUEUE"))
    ledger.update("ep", JobResult("a", "COMPLETED", delay_ms=12, execution_ms=34, worker_id="w"))
    (entry,) = ledger.entries()
    assert (entry.name, entry.state, entry.delay_ms, entry.execution_ms, entry.worker_id) == (
        "wan",
        "COMPLETED",
        12,
        34,
        "w",
    )
    assert not entry.is_open and entry.seen_at >= entry.submitted_at


@given(later=st.lists(st.sampled_from(STATES), max_size=6))
def test_what_has_ended_stays_as_it_ended(tmp_path_factory: pytest.TempPathFactory, later: list[JobState]) -> None:
    """A late answer, or RunPod's forgetting, changes no end."""
    ledger = Ledger(tmp_path_factory.mktemp("home") / "jobs.sqlite")
    ledger.add("ep", "wan", JobResult("a", "IN_QUEUE"))
    for state in later:
        ledger.update("ep", JobResult("a", state))
    ended = [state for state in later if state in FINAL_STATES]
    assert ledger.entries()[0].state == (ended or later[-1:] or ["IN_QUEUE"])[0]


def test_a_retried_job_is_open_again(ledger: Ledger) -> None:
    """`retry` queues the same id once more."""
    ledger.add("ep", "wan", JobResult("a", "FAILED", error="x" * 9999))
    assert len(ledger.entries()[0].error or "") == 500
    ledger.reopen("ep", "a")
    assert ledger.entries()[0].is_open and ledger.entries()[0].error is None


def test_newest_first_and_by_endpoint(ledger: Ledger) -> None:
    """The list is bounded, and one endpoint's jobs can be asked for."""
    for number in range(5):
        ledger.add(f"ep{number % 2}", "wan", JobResult(f"j{number}", "IN_QUEUE"))
    assert [entry.id for entry in ledger.entries(limit=2)] == ["j4", "j3"]
    assert [entry.id for entry in ledger.entries(endpoint_id="ep1")] == ["j3", "j1"]


def test_many_writers(ledger: Ledger) -> None:
    """Nothing is lost when several commands write at once."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: ledger.add("ep", "wan", JobResult(f"j{n}", "IN_QUEUE")), range(40)))
    assert len(ledger.entries()) == 40


def test_a_broken_file_is_one_sentence(ledger: Ledger) -> None:
    """It says which file, and that it can be moved away."""
    ledger.path.parent.mkdir()
    ledger.path.write_text("no database, and long enough to be taken for one" * 9)
    with pytest.raises(RunError, match="ledger of jobs can't be used") as caught:
        ledger.entries()
    assert str(ledger.path) in str(caught.value)
