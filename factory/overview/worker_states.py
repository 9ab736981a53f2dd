"""What the states of workers mean: a word of RunPod's says less than people think.

"Four of five capacity problems were crash loops" (runpod-mcp, pull request 62, read 2026-11-23): a worker is `running`
from the moment its container starts, long before it takes a job.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from factory.account import CloudWorker, Endpoint, Health
from factory.wording import count_text

STATES = ("running", "idle", "initializing", "throttled", "unhealthy")


@dataclass(frozen=True, slots=True)
class StateLine:
    """How many workers are in a state, and what that means here and now."""

    state: str
    count: int
    meaning: str


def counts(workers: Sequence[CloudWorker] | None, health: Health | None) -> Mapping[str, int]:
    """Return state → workers, by the job API's counts; by the list of workers where there are none.

    GraphQL's list has no word for throttled and idle workers; /health has, whichever API manages the account.
    """
    found = Counter(worker.status.lower() for worker in workers or ()) if health is None else health.workers
    return {state: found[state] for state in STATES if found.get(state)}


def explained(found: Mapping[str, int], health: Health | None) -> tuple[StateLine, ...]:
    """Return the states that workers are in, each with its meaning."""
    lines = []
    for state in STATES:
        if number := found.get(state, 0):
            lines.extend(_running(number, health) if state == "running" else [StateLine(state, number, _MEANS[state])])
    return tuple(lines)


_MEANS = {
    "idle": "ready; takes the next job at once, ends after its idle time-out",
    "initializing": "the image is being pulled, or the container is being made",
    "throttled": "no free GPU of these pools there",
    "unhealthy": "crashed, or its start-up took longer than 7 minutes",
}


def _running(number: int, health: Health | None) -> list[StateLine]:
    """Say of workers that run what they run: a job, or their own start-up code."""
    if health is None:
        return [StateLine("running", number, "the container is up; whether it serves a job, nobody said")]
    busy, queued = min(number, health.jobs.get("inProgress", 0)), health.jobs.get("inQueue", 0)
    lines = [StateLine("running", busy, "serving a job")] if busy else []
    if number == busy:
        return lines
    if queued:
        why = f"still in start-up code: {count_text(queued, 'job')} in the queue, and none taken"
        return [*lines, StateLine("running", number - busy, why)]
    return [*lines, StateLine("running", number - busy, "the container is up, and there is no job for it")]


def verdict(endpoint: Endpoint, found: Mapping[str, int], health: Health | None) -> str:
    """Return in a few words how an endpoint is."""
    queued = health.jobs.get("inQueue", 0) if health else 0
    if endpoint.spec.workers_max == 0:
        return "off: workers max is 0"
    if not found:
        return "no worker yet: no GPU so far" if queued else "asleep: the next job starts a worker"
    if set(found) == {"throttled"}:
        return "no free GPU"
    if found.get("unhealthy") and not (found.get("running") or found.get("idle")):
        return "crashing"
    if found.get("idle") or (health and health.jobs.get("inProgress")):
        return "some crash" if found.get("unhealthy") else "serving"
    if found.get("running") and queued:
        return "starting: in start-up code"
    return "starting" if found.get("initializing") else "up"
