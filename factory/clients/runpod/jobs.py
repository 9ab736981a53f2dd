"""RunPod's job API (`https://api.runpod.ai/v2/{endpoint}/…`): fills `ports.Jobs` (docs.runpod.io, read 2026-11-23)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from factory.account import Health, JobRequest, JobResult, JobState
from factory.clients.runpod.errors import UNSENT
from factory.clients.runpod.job_http import JobHttp, as_json, as_object
from factory.clients.runpod.job_patience import Patience, Unknown
from factory.clients.runpod.job_wire import (
    RUN_LIMIT_BYTES,
    SYNC_LIMIT_BYTES,
    is_missing,
    read_chunks,
    read_health,
    read_job,
    read_requests,
    write_job,
)
from factory.clients.runpod.transport import ONCE, SAFE, RunPodClient
from factory.errors import JobCancelled, JobTimedOut, RunError
from factory.wording import seconds_text

SYNC_MARGIN_S = 15.0  # beyond the wait that we ask for: the way there and back
STREAM_PAUSE_S = 1.0  # the longest between two calls for chunks


class JobClient:
    """Implements `ports.Jobs`. `client` is at RUNPOD_ENDPOINT_BASE_URL. Thread-safe: it keeps nothing."""

    def __init__(
        self,
        client: RunPodClient,
        *,
        patience: Patience | None = None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._http = JobHttp(client)
        self._patience = patience or Patience()
        self._now = now
        self._sleep = sleep

    # --- submit ----------------------------------------------------------------------------------------------------
    def submit(self, endpoint_id: str, job: JobRequest) -> JobResult:
        """Queue a job. It is sent again only when RunPod certainly did not get it.

        Raises JobRefused, EndpointNotFound, and RunError when nobody knows whether it was queued.
        """
        where = f"endpoint {endpoint_id}"
        content = write_job(job, RUN_LIMIT_BYTES, where)
        return read_job(self._http.submit(f"/{endpoint_id}/run", content, where))

    def run_sync(self, endpoint_id: str, job: JobRequest, wait_s: float) -> JobResult:
        """Queue a job and wait for its end in the same call, at most `wait_s` (1 to 300 s; RunPod's default is 90).

        Cloudflare cuts a silent connection after some 100 s (HTTP 524). Raises as `submit` does.
        """
        where = f"endpoint {endpoint_id}"
        content = write_job(job, SYNC_LIMIT_BYTES, where)
        wait_s = min(max(wait_s, 1.0), 300.0)
        path = f"/{endpoint_id}/runsync?wait={round(wait_s * 1000)}"
        return read_job(self._http.submit(path, content, where, timeout_s=wait_s + SYNC_MARGIN_S))

    # --- follow ----------------------------------------------------------------------------------------------------
    def status(self, endpoint_id: str, job_id: str) -> JobResult:
        """Return a job as it is; EXPIRED when RunPod doesn't know it, at once. Raises EndpointNotFound."""
        return self._find(endpoint_id, job_id) or self._expired(endpoint_id, job_id)

    def wait(self, endpoint_id: str, job_id: str, timeout_s: float, watch: Callable[[JobResult], None]) -> JobResult:
        """Ask with back-off until the job has ended; `watch` gets every answer. Raises JobTimedOut.

        A job that RunPod doesn't know becomes EXPIRED when `Patience` is over; after an answer that makes no sense, or
        HTTP 500, the job is asked for again a few times: it may have run for an hour, and goes on whatever we hear.
        """
        deadline = self._now() + timeout_s
        unknown = self._unknown(endpoint_id)
        pause_s, broken = self._patience.first_s, 0
        while True:
            try:
                job = self._look(endpoint_id, job_id, unknown)
                broken = 0
            except RunError as error:
                broken += 1
                if not _may_pass(error) or broken >= self._patience.broken_answers:
                    raise
                job = None
            if job is not None:
                watch(job)
                if job.is_final:
                    return job
            self._pause(pause_s, deadline, endpoint_id, job_id, timeout_s)
            pause_s = min(pause_s * 1.5, self._patience.longest_s)

    def stream(self, endpoint_id: str, job_id: str, timeout_s: float) -> Iterator[object]:
        """Yield a job's chunks as they come; ends when the job does. Raises JobTimedOut.

        RunPod forgets the chunks that it hands out, so this call isn't sent again: when an answer is lost, so are its
        chunks, and RunError says so.
        """
        deadline = self._now() + timeout_s
        unknown = self._unknown(endpoint_id)
        pause_s, is_ended = self._patience.first_s, False
        while True:
            chunks, state = self._chunks(endpoint_id, job_id)
            yield from chunks
            if is_ended and not chunks:
                return
            if not chunks:
                job = self._look(endpoint_id, job_id, unknown) if state is None else JobResult(job_id, state)
                # One more look: the last chunks may have come between the two calls.
                is_ended = job is not None and job.is_final
            if not is_ended:
                pause_s = self._patience.first_s if chunks else min(pause_s * 1.5, STREAM_PAUSE_S)
                self._pause(pause_s, deadline, endpoint_id, job_id, timeout_s)

    def _look(self, endpoint_id: str, job_id: str, unknown: Unknown) -> JobResult | None:
        """Return a job as it is, EXPIRED when RunPod has not known it for long enough; None until then."""
        job = self._find(endpoint_id, job_id)
        if job is not None:
            unknown.seen()
        elif unknown.is_over():
            return JobResult(job_id, "EXPIRED")
        return job

    def _find(self, endpoint_id: str, job_id: str) -> JobResult | None:
        """Return a job; None when RunPod doesn't know it, or not yet, or doesn't know the endpoint."""
        where = f"job {job_id}"
        answer = self._http.ask("GET", f"/{endpoint_id}/status/{job_id}", where)
        body = {"status": 404} if answer is None else as_object(answer, where)
        return None if is_missing(body) else read_job(body, job_id)

    def _chunks(self, endpoint_id: str, job_id: str) -> tuple[list[Any], JobState | None]:
        where = f"job {job_id}"
        try:
            answer = self._http.ask("GET", f"/{endpoint_id}/stream/{job_id}", where, marks=ONCE)
            return read_chunks([] if answer is None else as_json(answer, where))
        except RunError as error:
            code, status = error.details.get("code"), error.details.get("status")
            if code in UNSENT or (isinstance(status, int) and 400 <= status < 500):
                raise
            raise RunError(
                f"chunks may be lost: {error.what}",
                where=where,
                fix="the job goes on; a handler that aggregates its stream has the whole in the job's output",
                details=error.details,
            ) from error

    def _expired(self, endpoint_id: str, job_id: str) -> JobResult:
        """Return an unknown job as expired, once it is sure that its endpoint is there."""
        self.health(endpoint_id)
        return JobResult(job_id, "EXPIRED")

    def _unknown(self, endpoint_id: str) -> Unknown:
        return Unknown(lambda: self.health(endpoint_id), self._patience, self._now)

    def _pause(self, pause_s: float, deadline: float, endpoint_id: str, job_id: str, timeout_s: float) -> None:
        left_s = deadline - self._now()
        if left_s <= 0:
            raise JobTimedOut(
                f"the job has not ended within {seconds_text(timeout_s)}",
                where=f"job {job_id} at endpoint {endpoint_id}",
                fix="it goes on at RunPod: wait longer, or cancel it",
                details={"job_id": job_id, "endpoint_id": endpoint_id, "timeout_s": timeout_s},
            )
        self._sleep(min(pause_s, left_s))

    # --- change ----------------------------------------------------------------------------------------------------
    def cancel(self, endpoint_id: str, job_id: str) -> JobResult:
        """Cancel a job; one that RunPod no longer knows comes back EXPIRED."""
        where = f"job {job_id}"
        answer = self._http.ask("POST", f"/{endpoint_id}/cancel/{job_id}", where, marks=SAFE)
        if answer is None:
            return self._expired(endpoint_id, job_id)
        return read_job(as_object(answer, where), job_id)

    def retry(self, endpoint_id: str, job_id: str) -> JobResult:
        """Queue a failed job again; RunPod keeps its id and drops its output. JobCancelled when it is unknown."""
        where = f"job {job_id}"
        answer = self._http.ask("POST", f"/{endpoint_id}/retry/{job_id}", where)
        if answer is None:
            self.health(endpoint_id)
            raise JobCancelled("RunPod no longer knows the job: it expired or was purged", where=where, fix=AGAIN)
        return read_job(as_object(answer, where), job_id)

    def purge(self, endpoint_id: str) -> int:
        """Drop every job that waits; returns how many. Sent once: another would drop what came in between."""
        where = f"endpoint {endpoint_id}"
        removed = as_object(self._http.of_endpoint("POST", f"/{endpoint_id}/purge-queue", where), where).get("removed")
        return removed if isinstance(removed, int) else 0

    # --- the endpoint ----------------------------------------------------------------------------------------------
    def health(self, endpoint_id: str) -> Health:
        """Return the endpoint's counts. Raises EndpointNotFound."""
        where = f"endpoint {endpoint_id}"
        return read_health(as_object(self._http.of_endpoint("GET", f"/{endpoint_id}/health", where), where))

    def requests(self, endpoint_id: str) -> tuple[JobResult, ...]:
        """Return the jobs that RunPod remembers (at most 10 such calls in 10 s)."""
        where = f"endpoint {endpoint_id}"
        return read_requests(as_json(self._http.of_endpoint("GET", f"/{endpoint_id}/requests", where), where))


def _may_pass(error: RunError) -> bool:
    """May the next answer be a right one? What the transport sends again by itself has had its time."""
    return error.details.get("code") == "no_sense" or error.details.get("status") == 500


AGAIN = "submit it again"
