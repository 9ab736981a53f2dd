"""Jobs end as TIMED_OUT, or a test may take longer than the endpoint lets a job run.

Cause: RunPod ends a job after the endpoint's `executionTimeoutMs` (600 s unless said otherwise, docs.runpod.io, read
2026-11-23), also one that would have been done a minute later.
Command: an edit of `endpoint.execution_timeout_s`, then `factory provision RECIPE`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from factory.diagnosis import mends
from factory.diagnosis.evidence import Evidence, KnownJob
from factory.diagnosis.finding import Finding, Mend
from factory.wording import count_text, seconds_text

RULE = "execution_timeout"
MOST_S = 604_800  # 7 days: RunPod's limit


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find jobs of the ledger that were cut off, and tests that would be."""
    if evidence.endpoint is None or not evidence.endpoint.spec.execution_timeout_ms:
        return
    limit_s = evidence.endpoint.spec.execution_timeout_ms / 1000
    tests = evidence.recipe.recipe.tests if evidence.recipe else ()
    longest_s = max((test.timeout_s for test in tests), default=0)
    cut = _cut_off(evidence.jobs)
    if cut:
        yield Finding(
            RULE,
            "error",
            f"{count_text(len(cut), 'job')} ended as TIMED_OUT ({', '.join(job.id for job in cut[:3])}), and the "
            f"endpoint lets a job run {seconds_text(limit_s)}",
            "RunPod ends a job at the limit, done or not",
            _mend(evidence, max(longest_s, round(limit_s * 2))),
            "likely",
            {"jobs": [job.id for job in cut], "limit_s": limit_s},
        )
    elif longest_s > limit_s:
        yield Finding(
            RULE,
            "warning",
            f"a test of the recipe may take {seconds_text(longest_s)}, and the endpoint lets a job run "
            f"{seconds_text(limit_s)}",
            "RunPod ends a job at the limit, done or not",
            _mend(evidence, longest_s),
            "certain",
            {"limit_s": limit_s},
        )


def _cut_off(jobs: Sequence[KnownJob]) -> list[KnownJob]:
    """Return the newest jobs that timed out, up to one that was done: what has been mended since is not told."""
    cut = []
    for job in sorted(jobs, key=lambda job: -job.submitted_at):
        state = job.state_now or job.state_before
        if state == "COMPLETED":
            break
        if state == "TIMED_OUT":
            cut.append(job)
    return cut


def _mend(evidence: Evidence, wanted_s: int) -> Mend:
    wanted_s = min(MOST_S, wanted_s)
    said = evidence.recipe.recipe.endpoint.execution_timeout_s if evidence.recipe else 0
    return mends.by_recipe(
        evidence,
        "provision",
        f"set the endpoint's execution timeout to {wanted_s} s in RunPod's console",
        edit=mends.edit(evidence, "endpoint.execution_timeout_s", str(wanted_s)) if said < wanted_s else "",
    )
