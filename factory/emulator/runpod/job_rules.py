"""What RunPod allows of a job: sizes, times, policy, and what it says of one.

docs.runpod.io (serverless/endpoints/job-operations, send-requests), read 2026-11-23, unless a line says otherwise.
MB are 10^6 bytes. Out-of-range values are refused with 400 here; whether RunPod refuses or clamps them is unconfirmed.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from factory.emulator.runpod.entities import Endpoint, Job
from factory.emulator.runpod.refusals import Refused

RUN_BYTES = 10_000_000
RUNSYNC_BYTES = 20_000_000
CHUNK_BYTES = 1_000_000
"""Body of /run, of /runsync, and one chunk of a stream. A result may be as long as its request may."""
ASYNC_RETENTION_S = 30 * 60.0
SYNC_RETENTION_S = 60.0
"""How long a result is kept after the job's end."""
EXECUTION_TIMEOUT_MS = 600_000
TTL_MS = 86_400_000
_LONGEST_MS = 7 * 86_400_000
_POLICY_MS = {"executionTimeout": 5_000, "ttl": 10_000}
POLL_S = 20.0
"""How long a worker's poll without an answer stays open (measured at RunPod: 3 to 20 s and more)."""
MOST_RETRIES = 1
LOST_AFTER_S = 20.0
"""A job that its worker doesn't name for so long is lost: twice that, and it fails after the 30 to 50 s that were seen
at RunPod with `{"input": {}}`."""


def checked(payload: Any) -> dict[str, Any]:
    """Return a submitted body as it is queued, or raise Refused (400).

    An empty input (`{}`, `[]`, `""`, `0`, `false`) is accepted and the key dropped, as RunPod does (two projects and
    its own "golden paths" saw it with `{}`, 2026): no worker can use the job then.
    """
    if not isinstance(payload, dict):
        raise Refused(400, "the body must be a JSON object")
    if payload.get("input") is None:
        raise Refused(400, "input is required")
    if not isinstance(payload.get("webhook", ""), str):
        raise Refused(400, "webhook must be a URL")
    policy = payload.get("policy", {})
    if not isinstance(policy, dict):
        raise Refused(400, "policy must be an object")
    for name, least in _POLICY_MS.items():
        value = policy.get(name, least)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _LONGEST_MS:
            raise Refused(400, f"policy.{name} must be {least} to {_LONGEST_MS} ms")
    if not isinstance(policy.get("lowPriority", False), bool):
        raise Refused(400, "policy.lowPriority must be a boolean")
    return payload if payload["input"] else {key: value for key, value in payload.items() if key != "input"}


def new_id(*, is_sync: bool) -> str:
    """Return a job's id: `-u1` is the region."""
    return f"sync-{uuid.uuid4()}-u1" if is_sync else f"{uuid.uuid4()}-u1"


def is_low_priority(job: Job) -> bool:
    """Does it wait for all that are not?"""
    return _policy(job).get("lowPriority", False) is True


def ttl_s(job: Job) -> float:
    """Return how long it may exist, from its submission and in any state."""
    return float(_policy(job).get("ttl", TTL_MS)) / 1000


def execution_timeout_s(job: Job, endpoint: Endpoint | None) -> float:
    """Return how long one attempt may take: the job's, else the endpoint's, else RunPod's."""
    own = endpoint.execution_timeout_ms if endpoint else 0
    return float(_policy(job).get("executionTimeout") or own or EXECUTION_TIMEOUT_MS) / 1000


def retention_s(job: Job) -> float:
    """Return how long its result is kept."""
    return SYNC_RETENTION_S if job.is_sync else ASYNC_RETENTION_S


def result_bytes(job: Job) -> int:
    """Return how long the body of its job-done may be."""
    return RUNSYNC_BYTES if job.is_sync else RUN_BYTES


def for_worker(job: Job) -> dict[str, Any]:
    """Return a job as a worker gets it: the whole body that was submitted, and the id."""
    return {**job.payload, "id": job.id}


def status_of(job: Job) -> dict[str, Any]:
    """Return a job as /status shows it; times in ms, of the latest attempt."""
    shown: dict[str, Any] = {"id": job.id, "status": job.status}
    if job.started_at is not None:
        shown["delayTime"] = round((job.started_at - job.queued_at) * 1000)
        shown["workerId"] = job.worker_id
        if job.finished_at is not None:
            shown["executionTime"] = round((job.finished_at - job.started_at) * 1000)
    if job.has_output:
        shown["output"] = job.output
    if job.error is not None:
        shown["error"] = job.error
    if job.retries:
        shown["retries"] = job.retries
    return shown


def for_webhook(job: Job) -> dict[str, Any]:
    """Return the object that a webhook is sent."""
    return {**{key: job.payload[key] for key in ("input", "webhook") if key in job.payload}, **status_of(job)}


def _policy(job: Job) -> Mapping[str, Any]:
    policy: Mapping[str, Any] = job.payload.get("policy", {})
    return policy
