"""The job API's JSON ↔ the nouns of `factory/account.py` (docs.runpod.io, SDK 1.12.0, recorded answers; 2026-11-23).

The API has no published schema and its answers drift, so reading takes what is there: a status that we don't know is a
job under way, an error of any shape becomes text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from factory.account import FINAL_STATES, Health, JobRequest, JobResult, JobState
from factory.errors import JobRefused

Json = Mapping[str, Any]

RUN_LIMIT_BYTES = 10_000_000  # docs.runpod.io, "Send requests", read 2026-11-23; sync jobs 20 MB
SYNC_LIMIT_BYTES = 20_000_000
EXECUTION_S = (5, 7 * 86_400)  # what `policy.executionTimeout` may be, in seconds (same source)
TTL_S = (10, 7 * 86_400)
_OPEN_STATES: tuple[JobState, ...] = ("IN_QUEUE", "IN_PROGRESS")


def write_job(job: JobRequest, limit_bytes: int, where: str) -> bytes:
    """Return the body of `run` or `runsync`. Raises JobRefused when RunPod would lose the job or refuse it."""
    if not job.input:
        raise JobRefused(
            "the input is empty: RunPod drops an empty `input`, and the job fails some 40 s later without a reason",
            where=where,
            fix='send at least one value, such as {"ping": 1}',
        )
    _check_range(job.execution_timeout_s, EXECUTION_S, "execution timeout", where)
    _check_range(job.ttl_s, TTL_S, "time to live", where)
    policy = {
        "executionTimeout": job.execution_timeout_s and job.execution_timeout_s * 1000,
        "ttl": job.ttl_s and job.ttl_s * 1000,
        "lowPriority": job.is_low_priority or None,
    }
    stated = {name: value for name, value in policy.items() if value is not None}
    body: dict[str, Any] = {"input": dict(job.input)}
    body |= {"policy": stated} if stated else {}
    body |= {"webhook": job.webhook} if job.webhook else {}
    try:
        content = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise JobRefused(f"the input is no JSON ({error})", where=where, fix="use numbers, texts and lists") from error
    if len(content) > limit_bytes:
        raise JobRefused(
            f"the job has {len(content):,} bytes; RunPod takes at most {limit_bytes:,}",
            where=where,
            fix="put the data where the worker can fetch it, and send the link",
        )
    return content


def read_job(body: Json, job_id: str = "") -> JobResult:
    """Return a job as an answer shows it; `job_id` where the answer doesn't name it."""
    state = _state(body.get("status"))
    output = body.get("output")
    error = body.get("error")
    if error is None and state == "FAILED" and isinstance(output, Mapping):
        error = output.get("error")  # workers of some SDK versions put it there
    return JobResult(
        id=str(body.get("id") or job_id),
        state=state,
        output=output,
        error=None if error is None else error_text(error),
        delay_ms=_number(body.get("delayTime")),
        execution_ms=_number(body.get("executionTime")),
        worker_id=str(body["workerId"]) if body.get("workerId") else None,
        retries=_number(body.get("retries")) or 0,
    )


def error_text(error: object) -> str:
    """Return an error as text: some workers send objects."""
    return error if isinstance(error, str) else json.dumps(error, ensure_ascii=False, default=str)


def is_missing(body: Json) -> bool:
    """Does an answer of HTTP 200 say that there is no such job? (its `status` is the number then, 2026)"""
    return body.get("status") in (404, "404")


def read_chunks(body: object) -> tuple[list[Any], JobState | None]:
    """Return the chunks of a `stream` answer and the job's state; None where the answer is a bare list of chunks.

    RunPod's SDK reads `{"status", "stream": [{"output"}]}`, its documentation prints `[{"metrics", "output"}]`.
    """
    rows = body.get("stream") if isinstance(body, Mapping) else body
    state = _state(body.get("status")) if isinstance(body, Mapping) else None
    return list(_outputs(rows)), state


def read_health(body: Json) -> Health:
    """Return an endpoint's counts; what isn't a number is left out."""
    return Health(jobs=_counts(body.get("jobs")), workers=_counts(body.get("workers")))


def read_requests(body: object) -> tuple[JobResult, ...]:
    """Return the jobs of a `requests` answer: a list, or an object that holds one (its shape is undocumented)."""
    rows: object = next((v for v in body.values() if isinstance(v, list)), []) if isinstance(body, Mapping) else body
    jobs = rows if isinstance(rows, list) else []
    return tuple(read_job(row) for row in jobs if isinstance(row, Mapping) and row.get("id"))


def _outputs(rows: object) -> Iterator[Any]:
    for row in rows if isinstance(rows, list) else ():
        yield row["output"] if isinstance(row, Mapping) and "output" in row else row


def _state(word: object) -> JobState:
    known: dict[str, JobState] = {state: state for state in (*_OPEN_STATES, *FINAL_STATES)}
    return known.get(str(word), "IN_PROGRESS")


def _number(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and value == value else None


def _counts(group: object) -> dict[str, int]:
    pairs = group.items() if isinstance(group, Mapping) else ()
    return {str(name): count for name, value in pairs if (count := _number(value)) is not None}


def _check_range(seconds: int | None, allowed: tuple[int, int], name: str, where: str) -> None:
    low, high = allowed
    if seconds is not None and not low <= seconds <= high:
        raise JobRefused(
            f"the job's {name} is {seconds} s; RunPod takes {low} to {high:,} s",
            where=where,
            fix="change it, or omit it",
        )
