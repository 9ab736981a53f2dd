"""Is a fresh deployment in trouble that burns money and never ends? From a row of looks at it. Pure.

| sign | what it is |
| --- | --- |
| workers unhealthy look after look, none that serves | a crash loop: each is started again, and billed |
| a worker flips between running and idle, jobs wait, none of them ends | a crash loop (runpod-mcp#62) |
| an image's pull is pending look after look, no worker serves | the image can't be pulled (worker-comfyui#201) |

One look proves nothing: each sign must last. A job that completes wipes out what was seen before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from factory.wording import count_text, seconds_text

FLIPS = 4
CRASH_PATIENCE_S = 90.0
PULL_PATIENCE_S = 300.0  # 16 GB took 165 s on a cold host (measured by a user in 2026)


@dataclass(frozen=True, slots=True)
class Look:
    """An endpoint at one moment: `at_s` on any clock, workers by id, those whose image's pull is pending.

    `up` (idle or running) and `unhealthy` are the job API's counts: GraphQL calls no worker unhealthy.
    """

    at_s: float
    workers: Mapping[str, str] = field(default_factory=dict)  # id → RUNNING, IDLE, INITIALIZING, THROTTLED, UNHEALTHY
    pulling: frozenset[str] = frozenset()
    up: int = 0
    unhealthy: int = 0
    completed: int = 0
    failed: int = 0
    queued: int = 0


@dataclass(frozen=True, slots=True)
class Sickness:
    """What is wrong, in a sentence with numbers, and the workers that show it."""

    kind: Literal["crash_loop", "pull_failure"]
    seen: str
    worker_ids: tuple[str, ...]


def is_pull_pending(lines: Sequence[str]) -> bool:
    """Say whether a worker's system lines, oldest first, end with a pull that is not done.

    RunPod's words: `image pull: IMAGE: pending` … `complete`, `error pulling image: …` (published by users, 2026).
    """
    for line in reversed(lines):
        if "error pulling image" in line:
            return True
        if "image pull" in line:
            return "pending" in line
    return False


def judge(
    looks: Sequence[Look],
    *,
    crash_patience_s: float = CRASH_PATIENCE_S,
    pull_patience_s: float = PULL_PATIENCE_S,
) -> Sickness | None:
    """Return what is wrong; None while nothing is, or it has not lasted long enough. `looks` are oldest first."""
    recent = _since_last_success(looks)
    return _unhealthy(recent, crash_patience_s) or _flips(recent, crash_patience_s) or _pulls(recent, pull_patience_s)


def _since_last_success(looks: Sequence[Look]) -> Sequence[Look]:
    start = 0
    for number, (before, after) in enumerate(pairwise(looks), 1):
        if after.completed > before.completed:
            start = number
    return looks[start:]


def _last(looks: Sequence[Look], lasting_s: float) -> Sequence[Look]:
    """Return the looks of the last seconds, one more so that they span them; none when there are not that many."""
    if not looks:
        return ()
    since = looks[-1].at_s - lasting_s
    earlier = [number for number, look in enumerate(looks) if look.at_s <= since]
    return looks[earlier[-1] :] if earlier else ()


def _serves(looks: Sequence[Look]) -> bool:
    """Is there a worker that was up at every look?"""
    return all(look.up for look in looks) and any(
        all(look.workers.get(worker_id) in ("RUNNING", "IDLE") for look in looks) for worker_id in looks[-1].workers
    )


def _unhealthy(looks: Sequence[Look], patience_s: float) -> Sickness | None:
    window = _last(looks, patience_s)
    if len(window) < 2 or _serves(window):
        return None
    # Between two crashes a worker is up for a moment: most looks, not all.
    last = window[-1]
    if not last.unhealthy or 2 * sum(look.unhealthy > 0 for look in window) <= len(window):
        return None
    seen = f"{count_text(last.unhealthy, 'worker')} unhealthy again and again for {_span(window)}, no job completed"
    named = [worker_id for worker_id, status in last.workers.items() if status == "UNHEALTHY"]
    return Sickness("crash_loop", seen, tuple(named or last.workers))


def _flips(looks: Sequence[Look], patience_s: float) -> Sickness | None:
    window = _last(looks, patience_s)
    if len(window) < 2 or not all(look.queued for look in window) or window[0].failed != window[-1].failed:
        return None
    for worker_id in window[-1].workers:
        states = [look.workers.get(worker_id, "") for look in window]
        turns = sum({a, b} == {"RUNNING", "IDLE"} for a, b in pairwise(states))
        if turns >= FLIPS:
            jobs = count_text(window[-1].queued, "job")
            turned = f"a worker turned {turns} times between running and idle in {_span(window)}"
            seen = f"{turned}, {jobs} waiting, no job ended"
            return Sickness("crash_loop", seen, (worker_id,))
    return None


def _pulls(looks: Sequence[Look], patience_s: float) -> Sickness | None:
    window = _last(looks, patience_s)
    if len(window) < 2 or _serves(window):
        return None
    stuck = frozenset.intersection(*(look.pulling for look in window))
    if not stuck:
        return None
    seen = f"the image's pull has been pending for {_span(window)} on {count_text(len(stuck), 'worker')}"
    return Sickness("pull_failure", seen, tuple(sorted(stuck)))


def _span(looks: Sequence[Look]) -> str:
    return seconds_text(looks[-1].at_s - looks[0].at_s)
