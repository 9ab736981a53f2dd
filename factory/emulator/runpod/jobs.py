"""What clients, workers and the fleet may do with jobs. The states themselves are in job_states.py."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from factory.emulator.runpod import job_rules as rules
from factory.emulator.runpod.entities import Job, Worker
from factory.emulator.runpod.job_line import Taker
from factory.emulator.runpod.job_states import JobStates
from factory.emulator.runpod.refusals import Refused
from factory.emulator.runpod.world import World


class Jobs(JobStates):
    """Every job from its submission to the end of its retention, all in one event loop."""

    def __init__(self, world: World) -> None:
        """Take up what the world's store has."""
        super().__init__(world)
        self.restore()

    # --- what clients do -----------------------------------------------------------------------------------------
    def submit(self, endpoint_id: str, payload: Any, *, is_sync: bool) -> Job:
        """Queue a job. Refused (400) when the body can't be one; the endpoint's existence is the caller's to check."""
        now = self.clock.now()
        job = Job(rules.new_id(is_sync=is_sync), endpoint_id, rules.checked(payload), is_sync, now, now)
        line = self._line(endpoint_id)
        line.add(job)
        self._save(job)
        self._deadlines.add(now + rules.ttl_s(job), job)
        self._serve(line)
        return job

    def of(self, endpoint_id: str) -> list[Job]:
        """Return all jobs of an endpoint, newest first."""
        line = self._lines.get(endpoint_id)
        return list(reversed(line.jobs.values())) if line is not None else []

    async def wait_end(self, job: Job, wait_s: float) -> bool:
        """Wait until a job has ended or is forgotten, at most `wait_s`; say whether it has."""
        if not job.is_final:
            event = self._ends.setdefault(job.id, asyncio.Event())
            await self.clock.wait(event, wait_s)
        return job.is_final

    def cancel(self, endpoint_id: str, job_id: str) -> Job:
        """End a job that hasn't ended; its worker is told. An ended one stays as it is. Refused (404)."""
        line, job = self._known(endpoint_id, job_id)
        if not job.is_final:
            if job.status == "IN_PROGRESS":
                self.stops.tell(job)
            self._end(line, job, "CANCELLED")
        return job

    def retry(self, endpoint_id: str, job_id: str) -> Job:
        """Queue a FAILED or TIMED_OUT job again: same id and input, its output removed. Refused (400, 404)."""
        line, job = self._known(endpoint_id, job_id)
        if job.status not in ("FAILED", "TIMED_OUT"):
            raise Refused(400, f"only a FAILED or TIMED_OUT job can be retried; this one is {job.status}")
        self._queue_again(line, job, is_retry=False)
        return job

    def purge(self, endpoint_id: str) -> int:
        """Forget all queued jobs, and say how many they were."""
        line = self._line(endpoint_id)
        waiting = list(line.waiting())
        for job in waiting:
            self._forget(line, job)
        return len(waiting)

    def take_chunks(self, job: Job) -> list[Any]:
        """Return the chunks of a stream that nobody has fetched; they are fetched now."""
        chunks, job.stream = job.stream, []
        return chunks

    def counts(self, endpoint_id: str) -> dict[str, int]:
        """Return /health's `jobs`: since the emulator's start, ended ones included (TIMED_OUT counts as failed)."""
        line = self._line(endpoint_id)
        return {
            "completed": line.completed,
            "failed": line.failed,
            "inProgress": sum(map(len, line.running.values())),
            "inQueue": len(line),
            "retried": line.retried,
        }

    # --- what the fleet asks -------------------------------------------------------------------------------------
    def queued(self, endpoint_id: str) -> int:
        """Return how many jobs wait for a worker."""
        return len(self._line(endpoint_id))

    def oldest_wait_s(self, endpoint_id: str) -> float | None:
        """Return how long the job that waits longest has waited; None when none waits."""
        oldest = self._line(endpoint_id).oldest()
        return None if oldest is None else self.clock.now() - oldest

    def in_progress(self, worker_id: str, endpoint_id: str | None = None) -> list[str]:
        """Return the ids of the jobs that a worker has; found at once when its endpoint is named."""
        if endpoint_id is not None:
            line = self._lines.get(endpoint_id)
            return [] if line is None else list(line.running.get(worker_id, ()))  # an empty line is false
        return [job_id for line in self._lines.values() for job_id in line.running.get(worker_id, ())]

    def changed(self, endpoint_id: str) -> asyncio.Event:
        """Return the event that is set whenever an endpoint's queue or running jobs change; clear it to wait anew."""
        return self._line(endpoint_id).changed

    def worker_lost(self, worker_id: str) -> None:
        """Queue the jobs of a worker that is gone again; those that lost one before fail."""
        for line in self._lines.values():
            line.leave_all(worker_id)
            for job in list(line.running.get(worker_id, {}).values()):
                self._lose(line, job)
        self.stops.forget(worker_id)

    # --- what workers do -----------------------------------------------------------------------------------------
    def ask(self, worker: Worker, count: int = 1) -> Taker:
        """Let a worker wait for up to `count` jobs: what is there now is given to it. End it with `close`."""
        line = self._line(worker.endpoint_id)
        taker = Taker(worker, count)
        line.enter(taker)
        self._serve(line)
        return taker

    def close(self, taker: Taker, *, is_gone: bool = False) -> list[Job]:
        """End a worker's wait, and return the jobs that it gets. One that is gone gets none: they are put back."""
        line = self._line(taker.worker.endpoint_id)
        line.leave(taker)
        # What was cancelled, or lost with its worker, before it was fetched is no longer its own.
        mine = line.running.get(taker.worker.id, {})
        taker.jobs = [job for job in taker.jobs if job.id in mine]
        if is_gone:
            for job in reversed(taker.jobs):
                self._put_back(line, job)
            return []
        while taker.jobs and len(taker.jobs) < taker.count and (more := line.pop()):
            self._give(line, more, taker)
        return taker.jobs

    async def take(self, worker: Worker, count: int = 1, wait_s: float = rules.POLL_S) -> list[Job]:
        """Return up to `count` jobs for a worker, waiting up to `wait_s` for the first; [] when there is none."""
        taker = self.ask(worker, count)
        try:
            await self.clock.wait(taker.event, wait_s)
        except asyncio.CancelledError:
            self.close(taker, is_gone=True)
            raise
        return self.close(taker)

    def finish(
        self, endpoint_id: str, worker_id: str, job_id: str, result: Mapping[str, Any], *, size_bytes: int = 0
    ) -> Job:
        """End a job with what its worker answered: FAILED when there is an `error`.

        Refused: 404 for an unknown job, 400 for one that has ended or is another's, or a result that is too long
        (the job stays IN_PROGRESS until its time is over, as at RunPod).
        """
        line, job = self._mine(endpoint_id, worker_id, job_id)
        if size_bytes > rules.result_bytes(job):
            raise Refused(400, f"the result has {size_bytes} bytes; at most {rules.result_bytes(job)} are allowed")
        job.has_output = "output" in result
        job.output = result.get("output")
        job.error = result.get("error") or None
        self._end(line, job, "FAILED" if job.error is not None else "COMPLETED")
        return job

    def progress(self, endpoint_id: str, worker_id: str, job_id: str, output: Any) -> None:
        """Keep a running job's latest progress as its output; what comes late or from another is ignored."""
        job = self.get(endpoint_id, job_id)
        if job is not None and job.status == "IN_PROGRESS" and job.worker_id == worker_id:
            job.has_output, job.output = True, output

    def add_chunk(self, endpoint_id: str, worker_id: str, job_id: str, chunk: Any, *, size_bytes: int = 0) -> None:
        """Add a chunk to a running job's stream. Refused (400, 404) as with `finish`."""
        _, job = self._mine(endpoint_id, worker_id, job_id)
        if size_bytes > rules.CHUNK_BYTES:
            raise Refused(400, f"the chunk has {size_bytes} bytes; at most {rules.CHUNK_BYTES} are allowed")
        job.is_streaming = True
        job.stream.append(chunk)

    def heard(self, endpoint_id: str, worker_id: str, job_ids: Collection[str]) -> None:
        """Note what a worker says that it has: a job of its that it hasn't named for a while is lost."""
        now = self.clock.now()
        line = self._line(endpoint_id)
        for job in list(line.running.get(worker_id, {}).values()):
            if job.id in job_ids:
                self._sightings.name(job, now)
            elif self._sightings.is_missed(job, now):
                self._lose(line, job)
