"""run: submit a job to an endpoint, wait for its end, and say meanwhile why it waits."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from factory.account import Endpoint, Health, JobRequest, JobResult
from factory.errors import AmbiguousName, EndpointNotFound, FactoryError, JobCancelled, JobFailed, JobTimedOut
from factory.ports import Cloud, Jobs
from factory.records import Progress, Tell, tell_nobody
from factory.wording import count_text, error_sentence, seconds_text

SYNC_WAIT_S = 90.0  # Cloudflare cuts an idle connection at about 100 s (docs.runpod.io, read 2026-11-23)
LOOK_EVERY_S = 2.0
PATIENCE_S = 3.0  # a warm worker takes a job within 0.2 s: after this the wait has a reason worth asking for


def run(
    jobs: Jobs,
    endpoint_id: str,
    request: JobRequest,
    *,
    timeout_s: float,
    is_sync: bool = False,
    tell: Tell = tell_nobody,
    on_seen: Callable[[JobResult], None] = lambda _job: None,
    sick_s: float | None = None,
) -> JobResult:
    """Run one job to its end and return it COMPLETED. `on_seen` gets the job as it is each time that RunPod tells.

    With `sick_s` it is given up (JobTimedOut) when for so many seconds every worker was unhealthy and none came up.
    On Ctrl-C the job is cancelled, so that nothing runs on unseen. Raises JobFailed, JobTimedOut, JobCancelled, and
    what the port raises.
    """
    watch = _Watch(jobs, endpoint_id, tell, on_seen, sick_s)
    started = time.monotonic()
    job = jobs.run_sync(endpoint_id, request, min(SYNC_WAIT_S, timeout_s)) if is_sync else None
    if job is None:
        job = jobs.submit(endpoint_id, request)
    try:
        on_seen(job)
        tell(Progress("step", "job", f"job {job.id}", "started"))
        if not job.is_final:
            left_s = max(0.0, timeout_s - (time.monotonic() - started))
            job = jobs.wait(endpoint_id, job.id, left_s, watch)
    except JobTimedOut as error:
        if watch.last and watch.last not in error.what:
            error.what = f"{error.what}; last seen {watch.last}"
        raise
    except KeyboardInterrupt:
        tell(Progress("note", "job", _cancelled(jobs, endpoint_id, job.id, on_seen)))
        raise
    return finished(job, endpoint_id)


def finished(job: JobResult, endpoint_id: str) -> JobResult:
    """Return a job that COMPLETED; raise what its end means otherwise."""
    if job.state == "COMPLETED":
        return job
    where = f"job {job.id} at endpoint {endpoint_id}"
    details: dict[str, object] = {"job_id": job.id, "state": job.state, "worker_id": job.worker_id}
    details |= {"error": job.error, "output": job.output}
    took = f" after {seconds_text(job.execution_ms / 1000)}" if job.execution_ms else ""
    if job.state == "FAILED":
        why = error_sentence(job.error)
        raise JobFailed(f"the job failed{took}: {why}", where=where, fix=_fix(job), details=details)
    if job.state == "TIMED_OUT":
        raise JobTimedOut(
            f"RunPod ended the job{took}: its execution or its life took too long",
            where=where,
            fix="raise endpoint.execution_timeout_s in the recipe, or ask for less in one job",
            details=details,
        )
    what = "was cancelled" if job.state == "CANCELLED" else "is no longer known to RunPod: it expired or was purged"
    raise JobCancelled(f"the job {what}", where=where, fix="submit it again", details=details)


def _cancelled(jobs: Jobs, endpoint_id: str, job_id: str, on_seen: Callable[[JobResult], None]) -> str:
    try:
        on_seen(jobs.cancel(endpoint_id, job_id))
    except FactoryError as error:
        return f"job {job_id} could not be cancelled and may run on ({error.what})"
    return f"job {job_id} cancelled"


def watching(
    jobs: Jobs, endpoint_id: str, tell: Tell, on_seen: Callable[[JobResult], None]
) -> Callable[[JobResult], None]:
    """Return what tells of a job, each time that it is seen, how it waits and works."""
    return _Watch(jobs, endpoint_id, tell, on_seen, None)


@dataclass(slots=True)
class _Watch:
    """Turns what is seen of a job into the one line that the display shows."""

    jobs: Jobs
    endpoint_id: str
    tell: Tell
    on_seen: Callable[[JobResult], None]
    sick_s: float | None
    last: str = ""
    started: float = field(default_factory=time.monotonic)
    _looked: float = 0.0
    _workers: str = ""
    _sick_since: float | None = None

    def __call__(self, job: JobResult) -> None:
        self.on_seen(job)
        if job.state == "IN_QUEUE":
            text = f"in queue{self._why()}"
        elif job.state == "IN_PROGRESS":
            shown = f": {_short(job.output)}" if job.output is not None else ""
            text = f"running on {job.worker_id or 'a worker'}{shown}"
        else:
            text = job.state.lower().replace("_", " ")
        if text != self.last:
            self.last = text
            self.tell(Progress("log", "job", text))

    def _why(self) -> str:
        now = time.monotonic()
        if now - self.started < PATIENCE_S:
            return ""
        if now - self._looked >= LOOK_EVERY_S:
            self._looked = now
            try:
                health = self.jobs.health(self.endpoint_id)
            except FactoryError as error:
                self._workers = f"workers unknown ({error.what})"
            else:
                self._workers = waiting_for(health)
                self._give_up_if_sick(health, now)
        return f": {self._workers}"

    def _give_up_if_sick(self, health: Health, now: float) -> None:
        others = sum(count for state, count in health.workers.items() if state not in ("unhealthy", "throttled"))
        if others or not health.workers.get("unhealthy"):
            self._sick_since = None
        elif self._sick_since is None:
            self._sick_since = now
        elif self.sick_s is not None and now - self._sick_since >= self.sick_s:
            raise JobTimedOut(
                f"no worker comes up: {self._workers}",
                where=f"endpoint {self.endpoint_id}",
                fix="read the worker's log: its last lines say why it ended",
            )


def waiting_for(health: Health) -> str:
    """Say what a queued job waits for, from the workers' states: in words that name the cause."""
    meaning = (
        ("unhealthy", "unhealthy: it crashed or its start-up took too long"),
        ("throttled", "throttled: no free GPU of these pools there"),
        ("initializing", "initializing: pulling the image or loading the model"),
        ("running", "running"),
        ("idle", "idle"),
        ("ready", "ready"),
    )
    parts = [f"{n} {text}" for state, text in meaning if (n := health.workers.get(state, 0))]
    if not parts:
        return "no worker yet: none has a GPU so far"
    ahead = health.jobs.get("inQueue", 0) - 1
    return "; ".join([*parts, *([f"{count_text(ahead, 'job')} beside this one"] if ahead > 0 else [])])


# --- the reason of a failure ---------------------------------------------------------------------------------------
def _fix(job: JobResult) -> str:
    if re.search(r"job timed out after \d+ retr", job.error or ""):
        return "its worker died or never answered: look at the worker's log and its exit code"
    return "mend the input or the handler, and submit it again"


def _short(output: object) -> str:
    text = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
    return text if len(text) <= 120 else f"{text[:119]}…"


# --- where it goes ---------------------------------------------------------------------------------------------------
def find_endpoint(name: str, cloud: Cloud) -> Endpoint:
    """Return the account's endpoint of that name or id. Raises EndpointNotFound, AmbiguousName."""
    return choose_endpoint(name, cloud.endpoints())


def choose_endpoint(name: str, endpoints: Sequence[Endpoint]) -> Endpoint:
    """Return the endpoint of that name or id. Raises EndpointNotFound, AmbiguousName."""
    found = [endpoint for endpoint in endpoints if name in (endpoint.spec.name, endpoint.id)]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(endpoint.id for endpoint in found)
        raise AmbiguousName(
            f"{len(found)} endpoints have the name {name} ({ids})",
            where="RunPod account",
            fix="name one by its id, or remove the others",
        )
    names = ", ".join(sorted(endpoint.spec.name for endpoint in endpoints))
    known = f"there are {names}" if names else "the account has none"
    raise EndpointNotFound(
        f"no endpoint {name} ({known})",
        where="RunPod account",
        fix="run `factory release` with the recipe first",
    )
