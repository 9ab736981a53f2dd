"""A result is lost and its job stays IN_PROGRESS, or a job fails with `output_too_large`: more than RunPod takes.

Cause: RunPod takes 10 MB per job and result (20 MB with runsync); it refuses a larger result with 400, which the SDK
drops (measured with runpod 1.12.0, 2026-11-23), so the job waits until it is timed out.
Command: a bucket (BUCKET_ENDPOINT_URL and its secrets) or a volume (`disk.volume: 10`) for files, then
`factory provision RECIPE`; `factory run --sync RECIPE` for up to 20 MB.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from factory.diagnosis import mends
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding, Mend
from factory.wording import size_text

RULE = "payload_too_large"
LIMIT_BYTES = 10_000_000  # of /run, docs.runpod.io, read 2026-11-23
# The worker's own code, and what the SDK logs when RunPod refuses a result.
_REFUSED = re.compile(r"Failed to return job results.*\b(?:400|413)\b|\boutput_too_large\b")


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find results that were refused, in logs and in the errors of jobs."""
    if seen := next(_results(evidence), None):
        yield Finding(
            RULE,
            "error",
            seen[:200],
            f"the result is larger than the {size_text(LIMIT_BYTES)} that RunPod takes, so it is lost",
            _for_results(evidence),
            "likely",
        )


def _results(evidence: Evidence) -> Iterator[str]:
    for worker, lines in evidence.logs.items():
        for line in reversed(lines):
            if line.source == "container" and _REFUSED.search(line.line):
                yield f"worker {worker}: {line.line}"
    for job in evidence.jobs:
        if job.error and _REFUSED.search(job.error):
            yield f"job {job.id}: {job.error}"


def _for_results(evidence: Evidence) -> Mend:
    """With a volume the worker lays files there; without one it must get one, or a bucket."""
    if evidence.volumes:
        return Mend("return large parts as files or bytes, which the worker lays on the volume, or return less")
    return mends.by_recipe(
        evidence,
        "provision",
        "give the worker a bucket (BUCKET_ENDPOINT_URL), or return less",
        edit=mends.edit(evidence, "disk.volume", "10"),
    )
