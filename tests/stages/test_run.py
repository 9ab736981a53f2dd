"""run: a job from its submission to an end that says what it means."""

from __future__ import annotations

import json

import pytest
from fake_jobs import FakeJobs, completed

from factory.account import Health, JobRequest, JobResult
from factory.errors import JobCancelled, JobFailed, JobTimedOut
from factory.records import Progress
from factory.stages import run as stage
from factory.stages.run import run, waiting_for

REQUEST = JobRequest({"prompt": "cats"})
RESULT = JobResult("", "COMPLETED", output="late")


def ending(state: JobResult) -> FakeJobs:
    """Return jobs that all end like this."""
    return FakeJobs(lambda _request: [JobResult("", "IN_QUEUE"), state])


def test_a_job_is_submitted_once_and_its_output_returned() -> None:
    """The result is the completed job; what happened meanwhile was told."""
    told: list[Progress] = []
    jobs = FakeJobs(
        lambda _request: [
            JobResult("", "IN_QUEUE"),
            JobResult("", "IN_PROGRESS", output={"step": 3}, worker_id="w7"),
            JobResult("", "COMPLETED", output=[1, 2], worker_id="w7"),
        ]
    )
    result = run(jobs, "ep", REQUEST, timeout_s=9, tell=told.append)
    assert result.output == [1, 2] and jobs.requests_made == [("ep", REQUEST)]
    assert [p.text for p in told] == ["job job-1", "in queue", 'running on w7: {"step": 3}', "completed"]


def test_a_sync_job_needs_no_second_call() -> None:
    """`run_sync` gives the end itself."""
    jobs = FakeJobs(completed("done"))
    assert run(jobs, "ep", REQUEST, timeout_s=9, is_sync=True).output == "done"


SDK_ERROR = json.dumps({"error_type": "<class 'ValueError'>", "error_message": "no prompt", "error_traceback": "…"})


@pytest.mark.parametrize(
    ("state", "kind", "sentence", "fix"),
    [
        (
            JobResult("", "FAILED", error="input_invalid: no prompt; send one", execution_ms=1200),
            JobFailed,
            "the job failed after 1.2 s: input_invalid: no prompt; send one",
            "mend the input or the handler",
        ),
        (JobResult("", "FAILED", error=SDK_ERROR), JobFailed, "the job failed: ValueError: no prompt", "mend"),
        (JobResult("", "FAILED"), JobFailed, "no reason given", "mend"),
        (JobResult("", "FAILED", error="job timed out after 1 retries"), JobFailed, "after 1 retries", "worker died"),
        (JobResult("", "TIMED_OUT", execution_ms=600_000), JobTimedOut, "after 10 min 0 s", "execution_timeout_s"),
        (JobResult("", "CANCELLED"), JobCancelled, "was cancelled", "submit it again"),
        (JobResult("", "EXPIRED"), JobCancelled, "no longer known to RunPod", "submit it again"),
    ],
)
def test_each_end_is_one_sentence(state: JobResult, kind: type[Exception], sentence: str, fix: str) -> None:
    """An end that is no result says why, and what to do."""
    with pytest.raises(kind) as caught:
        run(ending(state), "ep", REQUEST, timeout_s=9)
    assert sentence in str(caught.value) and fix in str(caught.value)
    assert "job job-1 at endpoint ep" in str(caught.value)


def test_a_job_that_never_ends_says_what_was_seen_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time-out names the cause of the wait, read from the workers' states."""
    monkeypatch.setattr(stage, "PATIENCE_S", -1.0)
    jobs = FakeJobs(lambda _request: [JobResult("", "IN_QUEUE")] * 2, workers={"throttled": 2})
    with pytest.raises(JobTimedOut, match="last seen in queue: 2 throttled: no free GPU"):
        run(jobs, "ep", REQUEST, timeout_s=9)


def test_a_job_is_given_up_when_no_worker_comes_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits an hour for workers that only crash; one that is still starting is waited for."""
    monkeypatch.setattr(stage, "PATIENCE_S", -1.0)
    monkeypatch.setattr(stage, "LOOK_EVERY_S", 0.0)
    waiting = [JobResult("", "IN_QUEUE")] * 3
    sick = FakeJobs(lambda _request: waiting, workers={"unhealthy": 2})
    with pytest.raises(JobTimedOut, match="no worker comes up: 2 unhealthy"):
        run(sick, "ep", REQUEST, timeout_s=9, sick_s=0.0)
    starting = FakeJobs(lambda _request: [*waiting, RESULT], workers={"unhealthy": 1, "initializing": 1})
    assert run(starting, "ep", REQUEST, timeout_s=9, sick_s=0.0).output == "late"


def test_ctrl_c_cancels_the_job() -> None:
    """What nobody waits for must not run on at somebody's cost."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    told: list[Progress] = []
    jobs = FakeJobs(on_look=interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(jobs, "ep", REQUEST, timeout_s=9, tell=told.append)
    assert jobs.cancelled == ["job-1"] and told[-1].text == "job job-1 cancelled"


@pytest.mark.parametrize(
    ("workers", "text"),
    [
        ({}, "no worker yet"),
        ({"idle": 0, "initializing": 1}, "1 initializing: pulling the image or loading the model"),
        ({"unhealthy": 1, "running": 2}, "1 unhealthy: it crashed or its start-up took too long; 2 running"),
    ],
)
def test_why_a_job_waits(workers: dict[str, int], text: str) -> None:
    """The workers' states in words."""
    assert text in waiting_for(Health({"inQueue": 1}, workers))


def test_other_jobs_in_the_queue_are_counted() -> None:
    """A long queue is a reason too."""
    assert waiting_for(Health({"inQueue": 4}, {"running": 1})) == "1 running; 3 jobs beside this one"
