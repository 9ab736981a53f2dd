"""How endpoints are: workers and what their states mean, the queue, the release, failures, money."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from factory.account import Balance, CloudWorker, Endpoint, Health, JobResult, Release
from factory.ledger import Entry
from factory.overview.gap import Gap
from factory.overview.prices import workers_usd_per_h
from factory.overview.worker_states import StateLine, counts, explained, verdict
from factory.provisioning.observed import PoolOffer
from factory.wording import error_sentence

FAILED = ("FAILED", "TIMED_OUT")
SHOWN_FAILURES = 3
FAILURE_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen of one endpoint. None: it could not be had; `entries` are the ledger's."""

    endpoint: Endpoint
    health: Health | None = None
    workers: tuple[CloudWorker, ...] | None = None
    requests: tuple[JobResult, ...] | None = None
    releases: tuple[Release, ...] = ()
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """How long the oldest job has waited, in seconds, and who says so."""

    seconds: float
    said_by: Literal["RunPod", "this machine's ledger"]


@dataclass(frozen=True, slots=True)
class FailedJob:
    """A job that failed. `at` is when it was submitted from here (Unix seconds), None for one that others sent."""

    id: str
    state: str
    sentence: str
    worker: str | None = None
    at: float | None = None


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """One endpoint. `jobs` are RunPod's counts (empty: unknown); money is US dollars.

    `usd_per_h` is workers that are up x their GPU's price (None: no price, or unknown), `usd_24h` what RunPod has
    billed for the workers (None: unknown).
    """

    name: str
    id: str
    verdict: str
    image: str
    pools: tuple[str, ...]
    data_centers: tuple[str, ...]
    workers_min: int
    workers_max: int
    states: tuple[StateLine, ...]
    workers: tuple[CloudWorker, ...] | None
    jobs: Mapping[str, int]
    oldest_wait: Wait | None
    version: int | None
    released_at: str | None
    on_version: int
    failures: tuple[FailedJob, ...]
    usd_per_h: float | None
    usd_24h: float | None

    @property
    def worker_count(self) -> int:
        """How many workers there are, in whatever state."""
        return sum(line.count for line in self.states)


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """The endpoints that were asked for. `balance` None: unknown. `calls`: how many the look took of RunPod's limits.

    `at` is when it was looked at, Unix seconds.
    """

    at: float
    balance: Balance | None
    endpoints: tuple[EndpointStatus, ...]
    gaps: tuple[Gap, ...] = ()
    calls: int = 0


def status_of(
    sight: Sight, pools: Mapping[str, PoolOffer], bill: Mapping[str, float] | None, now: float
) -> EndpointStatus:
    """Say how an endpoint is. `now` is Unix seconds; `bill` endpoint id → US dollars in a day."""
    endpoint, spec = sight.endpoint, sight.endpoint.spec
    found = counts(sight.workers, sight.health)
    current = [worker for worker in sight.workers or () if not worker.is_stale]
    newest = next((release for release in sight.releases), None)
    return EndpointStatus(
        name=spec.name,
        id=endpoint.id,
        verdict=verdict(endpoint, found, sight.health),
        image=spec.image,
        pools=spec.pools or spec.cpus,
        data_centers=spec.data_centers,
        workers_min=spec.workers_min,
        workers_max=spec.workers_max,
        states=explained(found, sight.health),
        workers=sight.workers,
        jobs=sight.health.jobs if sight.health else {},
        oldest_wait=oldest_wait(sight, now),
        version=_version(endpoint, newest, current),
        released_at=newest.created_at if newest else None,
        on_version=len(current),
        failures=tuple(failures(sight.requests or (), sight.entries)[:SHOWN_FAILURES]),
        usd_per_h=None if sight.workers is None else workers_usd_per_h(sight.workers, spec, pools),
        usd_24h=None if bill is None else round(bill.get(endpoint.id, 0.0), 4),
    )


def _version(endpoint: Endpoint, newest: Release | None, current: Sequence[CloudWorker]) -> int | None:
    """Return the configuration's number: the endpoint's, else its newest release's, else that of up-to-date workers."""
    known = [worker.version for worker in current if worker.version is not None]
    first = endpoint.version if newest is None or newest.version is None else newest.version
    return first if first is not None else max(known, default=None)


def oldest_wait(sight: Sight, now: float) -> Wait | None:
    """Return how long the oldest queued job has waited; None when none waits, or nobody knows since when.

    RunPod says since when a job waits only once it has been taken; so jobs that were submitted from here are looked up
    in the ledger.
    """
    if sight.health is not None and not sight.health.jobs.get("inQueue", 0):
        return None
    if sight.requests is None:
        open_since = [entry.submitted_at for entry in sight.entries if entry.state == "IN_QUEUE"]
    else:
        queued = {job.id: job for job in sight.requests if job.state == "IN_QUEUE"}
        told = [job.delay_ms / 1000 for job in queued.values() if job.delay_ms]
        if told:
            return Wait(round(max(told), 1), "RunPod")
        open_since = [entry.submitted_at for entry in sight.entries if entry.id in queued]
    return Wait(round(max(0.0, now - min(open_since)), 1), "this machine's ledger") if open_since else None


def failures(requests: Sequence[JobResult], entries: Sequence[Entry]) -> list[FailedJob]:
    """Return the failed jobs that RunPod or the ledger knows: the ledger's newest first, then those of others."""
    of_runpod = {job.id: job for job in requests if job.state in FAILED}
    retried = {job.id for job in requests if job.state not in FAILED}
    found = {
        entry.id: FailedJob(entry.id, entry.state, _short(entry.error), entry.worker_id, entry.submitted_at)
        for entry in sorted(entries, key=lambda entry: -entry.submitted_at)
        if (entry.state in FAILED and entry.id not in retried) or entry.id in of_runpod
    }
    for job in of_runpod.values():
        at = found[job.id].at if job.id in found else None
        found[job.id] = FailedJob(job.id, job.state, _short(job.error), job.worker_id, at)
    return list(found.values())


def _short(error: str | None) -> str:
    """Return an error's first sentence on one line."""
    text = " ".join(error_sentence(error).split())
    return text if len(text) <= FAILURE_CHARACTERS else f"{text[: FAILURE_CHARACTERS - 1]}…"
