"""Waits, failures, versions and money of an endpoint, from what was seen of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from factory.account import CloudWorker, Endpoint, EndpointSpec, GpuOffer, Health, JobResult, Release
from factory.ledger import Entry
from factory.overview.prices import pools_of
from factory.overview.status import Sight, Wait, failures, oldest_wait, status_of

SPEC = EndpointSpec("demo", "org/demo:1", 20, pools=("ADA_24",), gpu_count=2)
ENDPOINT = Endpoint("ep", SPEC, is_queue=True)
QUEUED = Health({"inQueue": 2, "inProgress": 0}, {})
POOLS = pools_of(
    [GpuOffer("4090", "RTX 4090", "ADA_24", 24, 1.0, {}), GpuOffer("A40", "A40", "AMPERE_48", 48, 2.0, {})]
)


def entry(job_id: str, submitted_at: float, state: str = "IN_QUEUE", error: str | None = None) -> Entry:
    """A job of the ledger."""
    return Entry(job_id, "ep", "demo", submitted_at, state, submitted_at, error=error)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sight", "wait"),
    [
        (Sight(ENDPOINT, Health({"inQueue": 0}, {}), entries=(entry("a", 1),)), None),
        (Sight(ENDPOINT, QUEUED, requests=(JobResult("a", "IN_QUEUE", delay_ms=7000),)), Wait(7.0, "RunPod")),
        (
            Sight(ENDPOINT, QUEUED, requests=(JobResult("a", "IN_QUEUE"),), entries=(entry("a", 40), entry("b", 1))),
            Wait(60.0, "this machine's ledger"),
        ),
        (Sight(ENDPOINT, QUEUED, requests=(JobResult("x", "IN_QUEUE"),), entries=(entry("b", 1),)), None),
        (Sight(ENDPOINT, QUEUED, entries=(entry("b", 90), entry("a", 70))), Wait(30.0, "this machine's ledger")),
        (Sight(ENDPOINT, None, entries=(entry("b", 90, "COMPLETED"),)), None),
    ],
)
def test_the_oldest_wait(sight: Sight, wait: Wait | None) -> None:
    """RunPod's word first, then the ledger's, and of the ledger only jobs that RunPod still has queued."""
    assert oldest_wait(sight, 100.0) == wait


def test_failures_are_told_once_each() -> None:
    """The ledger's newest first, then those of others; a job that was retried since is none."""
    requests = [
        JobResult("a", "FAILED", error="of RunPod", worker_id="w"),
        JobResult("r", "IN_QUEUE"),
        JobResult("z", "TIMED_OUT"),
    ]
    entries = [
        entry("a", 10, "FAILED", "old"),
        entry("c", 20, "FAILED", '{"error_message": "x\\ny"}'),
        entry("r", 30, "FAILED"),
    ]
    found = failures(requests, entries)
    assert [(one.id, one.sentence, one.at) for one in found] == [
        ("c", "x y", 20),
        ("a", "of RunPod", 10),
        ("z", "no reason given", None),
    ]


def test_money_is_workers_that_are_up_times_their_gpu() -> None:
    """By the worker's own GPU, else the endpoint's first pool; a worker that waits or is being made costs nothing."""
    worker = CloudWorker("w", "RUNNING", False, gpu="A40")
    workers = (worker, replace(worker, id="v", status="IDLE", gpu=None), replace(worker, id="u", status="THROTTLED"))
    seen = status_of(Sight(ENDPOINT, workers=workers), POOLS, {"ep": 3.5}, 0.0)
    assert (seen.usd_per_h, seen.usd_24h) == (2 * 2.0 + 2 * 1.0, 3.5)
    assert status_of(Sight(ENDPOINT, workers=workers), {}, None, 0.0).usd_per_h is None
    assert status_of(Sight(ENDPOINT, workers=()), POOLS, {}, 0.0).usd_24h == 0.0


@pytest.mark.parametrize(
    ("endpoint", "releases", "versions", "shown"),
    [
        (ENDPOINT, (), [], None),
        (ENDPOINT, (), [3, 2], 3),
        (replace(ENDPOINT, version=4), (), [3], 4),
        (ENDPOINT, (Release(5, "2026-11-25T00:00:00Z", 0), Release(4, "", 1)), [4], 5),
    ],
)
def test_the_version_comes_from_whoever_knows(
    endpoint: Endpoint, releases: tuple[Release, ...], versions: list[int], shown: int | None
) -> None:
    """REST v2 shows none on the endpoint: its releases have it, else workers that are up to date."""
    workers = tuple(CloudWorker(f"w{v}", "IDLE", v != max(versions), version=v) for v in versions)
    seen = status_of(Sight(endpoint, workers=workers, releases=releases), POOLS, None, 0.0)
    assert seen.version == shown and seen.on_version == sum(not worker.is_stale for worker in workers)
