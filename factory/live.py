"""A live endpoint and its jobs: what `factory run` does between what was typed and what is printed."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from factory.account import Endpoint, JobRequest, JobResult
from factory.ledger import Entry, Ledger
from factory.ports import Cloud, Jobs
from factory.records import Progress, Tell
from factory.stages.run import find_endpoint, finished, run, watching
from factory.telling import stage

Way = Literal["wait", "sync", "stream", "detach"]


class AccountDoors(Protocol):
    """What is needed of an account; `wiring.Account` opens each door on first use."""

    @property
    def cloud(self) -> Cloud:
        """RunPod's management."""

    @property
    def jobs(self) -> Jobs:
        """RunPod's job API."""


def send(
    doors: AccountDoors,
    name: str,
    request: JobRequest,
    *,
    ledger: Ledger,
    way: Way,
    timeout_s: float,
    tell: Tell,
    on_chunk: Callable[[object], None],
) -> tuple[str, JobResult]:
    """Send a job to the endpoint of that name or id; return the endpoint's id and the job.

    `wait` and `sync` end with the job; `stream` hands every chunk to `on_chunk` and ends with the job; `detach` returns
    the job as it was queued. The job is noted in the ledger, whatever becomes of it.
    """
    with stage("run", tell) as under_way:
        under_way.summary = "no result"
        endpoint = find_endpoint(name, doors.cloud)
        note = _Noted(endpoint.id, endpoint.spec.name, ledger)
        if way == "detach":
            result = doors.jobs.submit(endpoint.id, request)
            note(result)
        elif way == "stream":
            result = _stream(doors.jobs, endpoint.id, request, timeout_s, tell, on_chunk, note)
        else:
            result = run(
                doors.jobs, endpoint.id, request, timeout_s=timeout_s, is_sync=way == "sync", tell=tell, on_seen=note
            )
        under_way.summary = _summary(result)
    return endpoint.id, result


@dataclass(slots=True)
class _Noted:
    """Notes one job in the ledger: when it was submitted, and whenever its state changes."""

    endpoint_id: str
    name: str
    ledger: Ledger
    state: str = ""

    def __call__(self, job: JobResult) -> None:
        if not self.state:
            self.ledger.add(self.endpoint_id, self.name, job)
        elif job.state != self.state:
            self.ledger.update(self.endpoint_id, job)
        self.state = job.state


def _stream(
    jobs: Jobs,
    endpoint_id: str,
    request: JobRequest,
    timeout_s: float,
    tell: Tell,
    on_chunk: Callable[[object], None],
    note: _Noted,
) -> JobResult:
    """Hand out chunks as they come; how the job ended is asked afterwards, since a stream doesn't say."""
    job = jobs.submit(endpoint_id, request)
    note(job)
    tell(Progress("step", "job", f"job {job.id}", "started"))
    try:
        for chunk in jobs.stream(endpoint_id, job.id, timeout_s):
            on_chunk(chunk)
        return finished(jobs.wait(endpoint_id, job.id, timeout_s, note), endpoint_id)
    except KeyboardInterrupt:
        note(jobs.cancel(endpoint_id, job.id))
        raise


def _summary(job: JobResult) -> str:
    if not job.is_final:
        return f"job {job.id} is queued"
    waited = f"waited {job.delay_ms / 1000:.1f} s, " if job.delay_ms is not None else ""
    ran = f"ran {job.execution_ms / 1000:.1f} s" if job.execution_ms is not None else "done"
    return f"{waited}{ran} on {job.worker_id or 'a worker'}"


# --- jobs that were submitted before ---------------------------------------------------------------------------------
READERS = 8
GRACE_S = 150.0  # RunPod may not know a job yet right after it took it (recorded by a client, read 2026-11-23)
ASKED_AT_ONCE = 50  # open jobs that one look asks RunPod about: status calls are limited to 2,000 in 10 s


def reconcile(doors: AccountDoors, ledger: Ledger, endpoint_id: str, *, limit: int = 20) -> tuple[Entry, ...]:
    """Ask RunPod about the ledger's open jobs of an endpoint, note what it says, and return its newest jobs.

    A job that RunPod no longer knows is noted as EXPIRED, unless it may not know it yet. Raises what the port raises.
    """
    entries = ledger.entries(endpoint_id=endpoint_id, limit=max(limit, ASKED_AT_ONCE))
    waiting = [entry for entry in entries if entry.is_open][:ASKED_AT_ONCE]
    with ThreadPoolExecutor(READERS) as pool:
        answers = pool.map(lambda entry: doors.jobs.status(endpoint_id, entry.id), waiting)
        for entry, job in zip(waiting, answers, strict=True):
            if job.state != "EXPIRED" or time.time() - entry.submitted_at > GRACE_S:
                ledger.update(endpoint_id, job)
    return ledger.entries(endpoint_id=endpoint_id, limit=limit)


def follow(
    doors: AccountDoors, ledger: Ledger, endpoint: Endpoint, job_id: str, *, timeout_s: float, tell: Tell
) -> JobResult:
    """Watch a job to its end, which is noted. Raises as `run` does; Ctrl-C leaves the job running."""
    note = _Noted(endpoint.id, endpoint.spec.name, ledger)
    watch = watching(doors.jobs, endpoint.id, tell, note)
    return finished(doors.jobs.wait(endpoint.id, job_id, timeout_s, watch), endpoint.id)


def again(doors: AccountDoors, ledger: Ledger, endpoint_id: str, job_id: str) -> JobResult:
    """Queue a job again that failed or timed out; the ledger has it open again."""
    job = doors.jobs.retry(endpoint_id, job_id)
    ledger.reopen(endpoint_id, job_id)
    return job


def empty(doors: AccountDoors, ledger: Ledger, endpoint_id: str) -> int:
    """Drop every job that waits, and return how many. Those of the ledger that are gone afterwards were among them."""
    waiting = [entry for entry in reconcile(doors, ledger, endpoint_id, limit=ASKED_AT_ONCE) if entry.is_open]
    removed = doors.jobs.purge(endpoint_id)
    for entry in waiting:
        job = doors.jobs.status(endpoint_id, entry.id)
        ledger.update(endpoint_id, replace(job, state="CANCELLED") if job.state == "EXPIRED" else job)
    return removed


def find(doors: AccountDoors, name: str) -> Endpoint:
    """Return the endpoint of that name or id. Raises EndpointNotFound, AmbiguousName."""
    return find_endpoint(name, doors.cloud)


def look(doors: AccountDoors, ledger: Ledger, endpoint_id: str, job_id: str) -> JobResult:
    """Return a job as RunPod has it now, and note it."""
    job = doors.jobs.status(endpoint_id, job_id)
    if job.state != "EXPIRED":
        ledger.update(endpoint_id, job)
    return job
