"""Jobs wait while workers flip between running and idle, or are unhealthy, and none completes or fails: a crash loop.

Cause: the container ends before it takes a job, and RunPod starts it again, for up to 7 days and at your cost. Four of
five reports of "no capacity" were this (github.com/runpod/runpod-mcp, pull request 62, read 2026-11-23).
Command: `factory provision RECIPE` where the endpoint isn't as the recipe says; `factory rollback RECIPE` where an
earlier release answered; else mend what the last line names, and `factory release RECIPE`.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.account import CloudWorker
from factory.diagnosis import crash_mends
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding
from factory.diagnosis.worker_ends import Ends, ends_of
from factory.wording import count_text, seconds_text

RULE = "crash_loop"
CAUSE = "this is no want of capacity: the container ends before it takes a job, and RunPod starts it again"
FLIPS = 2  # changes of state without a job being taken


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find containers that ended more than once with nothing done, or workers whose state flips while jobs wait."""
    looping = [e for e in ends_of(evidence) if len(e.codes) > 1 and crash_mends.is_down(evidence, e)]
    if looping:
        yield _from_logs(evidence, looping)
    elif flipping := _flipping(evidence):
        most = f"{max(flipping.values())} times in {_window(evidence)}"
        yield Finding(
            RULE,
            "error",
            f"{count_text(len(flipping), 'worker')} changed state {most}; {_jobs(evidence)}",
            CAUSE,
            crash_mends.mend(evidence, "see `factory logs` for what it says last, and mend that"),
            "likely",
            {"flips": flipping},
        )


def _from_logs(evidence: Evidence, looping: list[Ends]) -> Finding:
    ends = sum(len(one.codes) for one in looping)
    codes = sorted({code for one in looping for code in one.codes})
    spans = [one.span_s for one in looping if one.span_s]
    within = f" within {seconds_text(max(spans))}" if spans else ""
    what = f"exit code{'s' if len(codes) > 1 else ''} {', '.join(map(str, codes))}"
    last = next((one.last_line for one in looping if one.last_line), "")
    said = f"; last line: {last}" if last else ""
    return Finding(
        RULE,
        "error",
        f"{count_text(len(looping), 'worker')} ended {ends} times{within}, {what}; {_jobs(evidence)}{said}",
        CAUSE,
        crash_mends.mend(evidence, "mend what the last line names"),
        "certain",
        {"workers": [one.worker for one in looping], "exit_codes": codes, "ends": ends},
    )


def _jobs(evidence: Evidence) -> str:
    """Say what became of the jobs while we looked."""
    if not evidence.health or not evidence.samples[0].health:
        return "jobs unknown"
    before, now = evidence.samples[0].health.jobs, evidence.health.jobs
    done = [f"{now.get(kind, 0) - before.get(kind, 0)} {kind}" for kind in ("completed", "failed")]
    waiting = [job.age_s for job in evidence.jobs if (job.state_now or job.state_before) == "IN_QUEUE"]
    oldest = f", the oldest for {seconds_text(max(waiting))}" if waiting else ""
    return f"{count_text(evidence.queued, 'job')} waiting{oldest}, {', '.join(done)} meanwhile"


# --- without a log ---------------------------------------------------------------------------------------------------
def _flipping(evidence: Evidence) -> dict[str, int]:
    """Return worker → changes of state or new starts over the samples, while jobs waited and none was touched."""
    healths = [sample.health for sample in evidence.samples if sample.health]
    if len(healths) < FLIPS + 1 or not all(health.jobs.get("inQueue") for health in healths):
        return {}
    touched = {tuple(health.jobs.get(kind, 0) for kind in ("completed", "failed")) for health in healths}
    if len(touched) > 1 or any(health.jobs.get("inProgress") for health in healths):
        return {}
    looks: dict[str, list[CloudWorker]] = {}
    for sample in evidence.samples:
        for worker in sample.workers:
            looks.setdefault(worker.id, []).append(worker)
    flips = {worker: sum(map(_has_flipped, seen, seen[1:])) for worker, seen in looks.items()}
    return {worker: count for worker, count in flips.items() if count >= FLIPS}


def _has_flipped(before: CloudWorker, after: CloudWorker) -> bool:
    """Is it in another state, or younger than it was? To begin with a job waiting, it may only come up once."""
    is_younger = before.uptime_s is not None and after.uptime_s is not None and after.uptime_s < before.uptime_s
    return is_younger or before.status != after.status


def _window(evidence: Evidence) -> str:
    return seconds_text(evidence.samples[-1].at_s)
