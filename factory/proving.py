"""The recipe's test jobs through a live endpoint: what `release` and `rollback` ask before they believe it."""

from __future__ import annotations

from factory.account import JobRequest
from factory.errors import FactoryError, JobCancelled, JobFailed, JobTimedOut
from factory.ports import Jobs
from factory.recipe.expect import problems
from factory.recipe.model import Test
from factory.records import JobAnswer, Progress, Tell
from factory.stages.run import run
from factory.wording import count_text, seconds_text

SICK_S = 90.0  # a worker that crashed at its start is started again several times meanwhile


def ask(jobs: Jobs, endpoint_id: str, test: Test, number: int, tell: Tell) -> JobAnswer:
    """Send one test job through the queue, and hold its answer against what the recipe expects.

    One that nobody answers in the test's time is cancelled and has a problem. Raises what the port raises beside.
    """
    name = test.name or str(number)
    ids: set[str] = set()
    try:
        result = run(
            jobs,
            endpoint_id,
            JobRequest(test.input),
            timeout_s=test.timeout_s,
            tell=tell,
            on_seen=lambda job: ids.add(job.id),
            sick_s=SICK_S,
        )
    except JobFailed as error:
        found = problems(test.expect, error.details.get("output"), str(error.details.get("error") or error.what))
        return JobAnswer(name, error.details.get("output"), 0.0, found)
    except (JobTimedOut, JobCancelled) as error:
        _drop(jobs, endpoint_id, ids)
        return JobAnswer(name, None, float(test.timeout_s), (error.what,))
    took_s = ((result.delay_ms or 0) + (result.execution_ms or 0)) / 1000
    found = problems(test.expect, result.output, None)
    text = "; ".join(found) or f"answered in {seconds_text(took_s)}"
    tell(Progress("step", f"job {name}", text, "failed" if found else "done"))
    return JobAnswer(name, result.output, took_s, found)


def problems_in(answers: list[JobAnswer]) -> tuple[str, tuple[str, ...]]:
    """Return what is wrong with test jobs: one sentence, and each problem; both empty when nothing is."""
    failed = [answer for answer in answers if answer.problems]
    found = tuple(f"{answer.name}: {problem}" for answer in failed for problem in answer.problems)
    if not failed:
        return "", ()
    return f"{len(failed)} of {count_text(len(answers), 'test job')} failed: {'; '.join(found)}", found


def _drop(jobs: Jobs, endpoint_id: str, job_ids: set[str]) -> None:
    """Cancel a test job that nobody waits for any more; that it can't be is no news beside why."""
    for job_id in job_ids:
        try:
            jobs.cancel(endpoint_id, job_id)
        except FactoryError:
            continue
