"""When a deployment is stopped, and when it is left alone: looks in, sickness or nothing out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.mending.sickness import Look, is_pull_pending, judge

EVERY_S = 5.0
STATUSES = ("RUNNING", "IDLE", "INITIALIZING", "THROTTLED", "UNHEALTHY")


def looks(states: Sequence[str], **counts: int | Callable[[int], int]) -> list[Look]:
    """Return a look each EVERY_S; a state is a worker's, or several's (`IDLE+UNHEALTHY`), or none (empty)."""

    def count(name: str, number: int) -> int:
        value = counts.get(name, 0)
        return value(number) if callable(value) else value

    return [
        Look(
            at_s=number * EVERY_S,
            workers={f"w{n}": one.removesuffix("*") for n, one in enumerate(state.split("+")) if one},
            pulling=frozenset(f"w{n}" for n, one in enumerate(state.split("+")) if one.endswith("*")),
            up=state.count("IDLE") + state.count("RUNNING"),
            unhealthy=state.count("UNHEALTHY"),
            completed=count("completed", number),
            failed=count("failed", number),
            queued=count("queued", number),
        )
        for number, state in enumerate(states)
    ]


SICK = {
    "unhealthy all the time": (looks(["UNHEALTHY"] * 20, queued=1), "crash_loop"),
    "unhealthy, up for a moment between crashes": (
        looks(["UNHEALTHY", "UNHEALTHY", "INITIALIZING"] * 7 + ["UNHEALTHY"], queued=1),
        "crash_loop",
    ),
    "unhealthy with no job at all": (looks(["UNHEALTHY"] * 20), "crash_loop"),
    "three unhealthy workers": (looks(["UNHEALTHY+UNHEALTHY+UNHEALTHY"] * 20, queued=5), "crash_loop"),
    "its jobs fail because the worker dies": (
        looks(["UNHEALTHY"] * 20, queued=1, failed=lambda number: number // 5),
        "crash_loop",
    ),
    "one initialises while the other crashes": (looks(["INITIALIZING+UNHEALTHY"] * 20, queued=1), "crash_loop"),
    "running and idle in turn, the job waits": (looks(["RUNNING", "IDLE"] * 10, queued=1), "crash_loop"),
    "well at first": (looks(["IDLE"] * 9 + ["UNHEALTHY"] * 20, completed=lambda n: min(n, 9)), "crash_loop"),
    "the pull hangs": (looks(["INITIALIZING*"] * 70, queued=1), "pull_failure"),
    "the pull hangs on two workers": (looks(["INITIALIZING*+INITIALIZING*"] * 70, queued=1), "pull_failure"),
    "the pull fails again and again, shown as unhealthy": (looks(["UNHEALTHY*"] * 70, queued=1), "crash_loop"),
}
WELL = {
    "nothing seen": [],
    "one look": looks(["UNHEALTHY"]),
    "no worker, no job": looks([""] * 100),
    "no worker, jobs wait: no stock": looks([""] * 100, queued=9),
    "throttled": looks(["THROTTLED"] * 100, queued=9),
    "starts for ten minutes": looks(["INITIALIZING"] * 120, queued=1),
    "a pull of four minutes": looks(["INITIALIZING*"] * 48 + ["INITIALIZING"] * 9 + ["IDLE"] * 9, queued=1),
    "idle": looks(["IDLE"] * 100),
    "one job of ten minutes": looks(["RUNNING"] * 120, queued=3),
    "short jobs, one after the other": looks(["RUNNING", "IDLE"] * 50, queued=2, completed=lambda n: n // 2),
    "jobs that fail by the handler's own error": looks(["RUNNING", "IDLE"] * 50, queued=2, failed=lambda n: n // 2),
    "running and idle in turn, nothing waits": looks(["RUNNING", "IDLE"] * 50),
    "one sick worker beside one that serves": looks(["IDLE+UNHEALTHY"] * 100, queued=1),
    "one pull hangs beside a worker that serves": looks(["RUNNING+INITIALIZING*"] * 100, queued=1),
    "crashed twice, then well": looks(["UNHEALTHY"] * 10 + ["IDLE"] * 50),
    "unhealthy for one minute": looks(["UNHEALTHY"] * 13 + ["INITIALIZING"] * 2),
    "jobs complete although a worker crashes now and then": looks(
        ["RUNNING", "UNHEALTHY"] * 50, queued=1, completed=lambda number: number // 4
    ),
    "scaled to zero and back": looks((["RUNNING"] * 3 + ["IDLE"] * 3 + [""] * 10) * 6, completed=lambda n: n // 16),
}


@pytest.mark.parametrize("name", SICK)
def test_what_never_ends_well_is_seen(name: str) -> None:
    """With numbers, and the workers that show it."""
    seen, kind = SICK[name]
    found = judge(seen)
    assert found is not None and found.kind == kind
    assert found.worker_ids and any(character.isdigit() for character in found.seen)


@pytest.mark.parametrize("name", WELL)
def test_what_is_well_or_may_become_so_is_left_alone(name: str) -> None:
    """At no moment of it is anything wrong."""
    seen = WELL[name]
    assert all(judge(seen[: end + 1]) is None for end in range(len(seen)))


def test_what_graphql_calls_running_may_be_unhealthy() -> None:
    """The job API's counts decide."""
    seen = [replace(look, up=0, unhealthy=1) for look in looks(["RUNNING"] * 20, queued=1)]
    found = judge(seen)
    assert found is not None and found.worker_ids == ("w0",)


def test_it_waits_as_long_as_it_is_told() -> None:
    """One second less than the patience is not enough."""
    assert judge(looks(["UNHEALTHY"] * 3), crash_patience_s=10.0) is not None
    assert judge(looks(["UNHEALTHY"] * 3), crash_patience_s=11.0) is None
    assert judge(looks(["INITIALIZING*"] * 3), pull_patience_s=10.0) is not None
    assert judge(looks(["INITIALIZING*"] * 3), pull_patience_s=11.0) is None


@given(st.lists(st.lists(st.sampled_from(STATUSES), max_size=3), max_size=60))
def test_a_worker_that_serves_throughout_keeps_an_endpoint_alive(states: list[list[str]]) -> None:
    """Whatever the others do."""
    assert judge(looks(["+".join(["IDLE", *state]) for state in states], queued=1)) is None


@pytest.mark.parametrize(
    ("lines", "is_pending"),
    [
        ([], False),
        (["create container demo:1"], False),
        (["create container demo:1", "image pull: demo:1: pending"], True),
        (["image pull: demo:1: pending", "error pulling image: not found", "create container demo:1"], True),
        (["image pull: demo:1: pending", "image pull: demo:1: complete", "start container"], False),
        (["image pull: demo:1: complete", "worker exited with exit code 1"], False),
    ],
)
def test_a_pull_is_pending_until_it_is_complete(lines: list[str], is_pending: bool) -> None:
    """As the platform's own lines say."""
    assert is_pull_pending(lines) == is_pending
