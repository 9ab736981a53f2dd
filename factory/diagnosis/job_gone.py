"""A job that was submitted here no longer exists at RunPod: its status answers 404, and no result will come.

Cause: the queue was purged, the job was cancelled elsewhere or outlived its `ttl` (24 hours), or its result was not
fetched within 30 minutes (docs.runpod.io, read 2026-11-23).
Command: `factory jobs list RECIPE`, which notes its end in the ledger; then `factory run RECIPE` sends one again.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from factory.diagnosis.evidence import Evidence, KnownJob
from factory.diagnosis.finding import Finding, Mend
from factory.wording import count_text, seconds_text

RULE = "job_gone"
_OPEN = ("IN_QUEUE", "IN_PROGRESS")
_GONE = ("EXPIRED", "CANCELLED")


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find jobs that the ledger has as open and RunPod has no more; not where the whole endpoint is unknown."""
    gone = [job for job in evidence.jobs if _is_gone(job)]
    if not gone or evidence.job_api_status == 404:
        return
    oldest = max(job.age_s for job in gone)
    yield Finding(
        RULE,
        "warning",
        f"{count_text(len(gone), 'job')} of the ledger no longer at RunPod ({', '.join(job.id for job in gone[:3])}), "
        f"submitted up to {seconds_text(oldest)} ago",
        "purged, cancelled elsewhere, or older than RunPod keeps a job and its result: no result will come",
        Mend(f"factory jobs list {shlex.quote(evidence.argument)}", is_safe=True),
        "certain",
        {"jobs": [job.id for job in gone]},
    )


def _is_gone(job: KnownJob) -> bool:
    return job.state_before in _OPEN and job.state_now in _GONE
