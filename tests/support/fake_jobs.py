"""RunPod's job API in memory, typed against the port: each job goes through the states it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count

from factory.account import Health, JobRequest, JobResult
from factory.errors import JobTimedOut
from factory.ports import Jobs

Script = Callable[[JobRequest], list[JobResult]]


def completed(output: object = None) -> Script:
    """Return a script whose jobs are answered at once."""
    return lambda _request: [JobResult("", "COMPLETED", output=output, execution_ms=5, worker_id="w1")]


@dataclass
class FakeJobs:
    """Plays `script` for each job, one state per look; the last one stays, and a job that never ends times out."""

    script: Script = field(default_factory=completed)
    workers: Mapping[str, int] = field(default_factory=dict)
    requests_made: list[tuple[str, JobRequest]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    on_look: Callable[[], None] = lambda: None
    _states: dict[str, list[JobResult]] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=lambda: count(1))

    def submit(self, endpoint_id: str, job: JobRequest) -> JobResult:
        """Take a job."""
        job_id = f"job-{next(self._ids)}"
        self.requests_made.append((endpoint_id, job))
        self._states[job_id] = [_with_id(state, job_id) for state in self.script(job)]
        return JobResult(job_id, "IN_QUEUE")

    def run_sync(self, endpoint_id: str, job: JobRequest, wait_s: float) -> JobResult:
        """Take a job and return its last state."""
        return self._states[self.submit(endpoint_id, job).id][-1]

    def status(self, endpoint_id: str, job_id: str) -> JobResult:
        """Return the next state."""
        self.on_look()
        states = self._states[job_id]
        return states.pop(0) if len(states) > 1 else states[0]

    def wait(self, endpoint_id: str, job_id: str, timeout_s: float, watch: Callable[[JobResult], None]) -> JobResult:
        """Go through the states; the time is over when there are none left."""
        while True:
            before = len(self._states[job_id])
            state = self.status(endpoint_id, job_id)
            watch(state)
            if state.is_final:
                return state
            if before == 1:
                raise JobTimedOut(f"the job has not ended after {timeout_s:g} s", where=f"job {job_id}")

    def stream(self, endpoint_id: str, job_id: str, timeout_s: float) -> Iterator[object]:
        """Yield the outputs of the states."""
        yield from (state.output for state in self._states[job_id] if state.state == "IN_PROGRESS")

    def cancel(self, endpoint_id: str, job_id: str) -> JobResult:
        """Remember that it was cancelled."""
        self.cancelled.append(job_id)
        return JobResult(job_id, "CANCELLED")

    def retry(self, endpoint_id: str, job_id: str) -> JobResult:
        """Queue it again."""
        return JobResult(job_id, "IN_QUEUE")

    def purge(self, endpoint_id: str) -> int:
        """Nothing waits here."""
        return 0

    def health(self, endpoint_id: str) -> Health:
        """Return the workers that were set."""
        return Health({"inQueue": 1}, self.workers)

    def requests(self, endpoint_id: str) -> tuple[JobResult, ...]:
        """Return the last state of every job."""
        return tuple(states[-1] for states in self._states.values())


def _with_id(state: JobResult, job_id: str) -> JobResult:
    from dataclasses import replace

    return replace(state, id=job_id)


def _typed() -> Jobs:
    return FakeJobs()
