"""A live endpoint and its jobs: what `factory run` does between what was typed and what is printed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from factory.account import JobRequest, JobResult
from factory.ledger import Ledger
from factory.ports import Cloud, Jobs
from factory.records import Progress, Tell
from factory.stages.run import find_endpoint, finished, run

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
    tell(Progress("stage", "run", "", "started"))
    try:
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
    except BaseException:
        tell(Progress("stage", "run", "no result", "failed"))
        raise
    tell(Progress("stage", "run", _summary(result), "done"))
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
