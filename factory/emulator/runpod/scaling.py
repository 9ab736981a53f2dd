"""How many workers an endpoint should have, and which may go: arithmetic alone, no clock and no state.

| scaler | wants |
| --- | --- |
| QUEUE_DELAY | the first job brings the first worker; then one more whenever a job has waited longer than the value |
| REQUEST_COUNT | (queued + running) / value, rounded up |

Both stay between workers min and max. Workers go after their idle time-out, or when there are more than the maximum.
(docs.runpod.io, "Endpoint settings", read 2026-11-23. That a worker which is still starting counts for one queued job,
and that two additions lie at least the value apart, is the emulator's own: RunPod doesn't say.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from factory.emulator.runpod.entities import Endpoint

IDLE_TIMEOUT_S = 5.0
"""Where an endpoint has none of its own (REQUEST_COUNT): GraphQL's default."""
ROLLING_SHARE = 0.1
"""So much of workers max is replaced at a time (docs.runpod.io, "Workers", read 2026-11-23)."""

State = Literal["throttled", "starting", "idle", "running"]
LEAVING_ORDER: tuple[State, ...] = ("throttled", "starting", "idle", "running")


@dataclass(frozen=True, slots=True)
class Load:
    """What an endpoint has to do, and with whom. `workers` are those that aren't leaving; `starting` are among them."""

    queued: int = 0
    oldest_wait_s: float | None = None
    in_progress: int = 0
    workers: int = 0
    starting: int = 0
    since_start_s: float = math.inf  # since the last worker was added


@dataclass(frozen=True, slots=True)
class Standing:
    """A worker that isn't leaving, what it does, and for how long."""

    id: str
    state: State
    since_s: float = 0.0


def wanted_workers(endpoint: Endpoint, load: Load) -> int:
    """Return how many workers there should be now. QUEUE_DELAY never asks for fewer than there are: they idle out."""
    asked = _by_count(endpoint, load) if endpoint.scaler == "REQUEST_COUNT" else _by_delay(endpoint, load)
    return min(endpoint.workers_max, max(endpoint.workers_min, asked))


def _by_count(endpoint: Endpoint, load: Load) -> int:
    return math.ceil((load.queued + load.in_progress) / endpoint.scaler_value)


def _by_delay(endpoint: Endpoint, load: Load) -> int:
    if not load.queued or load.oldest_wait_s is None:
        return load.workers
    if not load.workers:
        return 1
    is_late = load.oldest_wait_s > endpoint.scaler_value and load.since_start_s >= endpoint.scaler_value
    return load.workers + (is_late and load.queued > load.starting)


def leaving_workers(endpoint: Endpoint, workers: Sequence[Standing], load: Load) -> list[str]:
    """Return the ids of those that should take no more jobs: too many, idle for too long, or waiting for nothing."""
    ordered = sorted(workers, key=lambda one: (LEAVING_ORDER.index(one.state), -one.since_s))
    kept = wanted_workers(endpoint, load) if endpoint.scaler == "REQUEST_COUNT" else endpoint.workers_min
    leaving = [one.id for one in ordered[: max(0, len(ordered) - endpoint.workers_max)]]
    for one in ordered[len(leaving) :]:
        if len(ordered) - len(leaving) > kept and _is_done(endpoint, one, load):
            leaving.append(one.id)
    return leaving


def _is_done(endpoint: Endpoint, worker: Standing, load: Load) -> bool:
    if worker.state == "throttled":
        return not load.queued
    patience_s = IDLE_TIMEOUT_S if endpoint.idle_timeout_s is None else endpoint.idle_timeout_s
    return worker.state == "idle" and worker.since_s >= patience_s


def rolling_places(workers_max: int, in_transition: int) -> int:
    """Return how many outdated workers may be replaced now; those that are being replaced are in transition."""
    return max(0, max(1, math.ceil(workers_max * ROLLING_SHARE)) - in_transition)
