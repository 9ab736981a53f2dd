"""Every job fails at once with the same error: the worker runs, and could not load its model or handler.

Cause: factory's runtime joins the queue all the same, so that each job says why instead of waiting for ever; it leaves
the reason in its log and on the volume (docs/worker.md).
Command: `factory rollback RECIPE` where an earlier release answered; else what the failure itself says to do, and
`factory release RECIPE`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from factory.diagnosis import crash_mends
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding
from factory.diagnosis.worker_ends import event
from factory.recipe.tokens import redacted

RULE = "start_failed"


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find workers whose log ends a start with `failed`, and has no `ready` after it."""
    for worker in evidence.workers:
        last: Mapping[str, object] = {}
        for found in map(event, evidence.logs.get(worker.id, ())):
            if found.get("event") == "failed":
                last = found
            elif found.get("phase") == "ready":
                last = {}
        if not last:
            continue
        sentence, fix = redacted(str(last.get("sentence", ""))), redacted(str(last.get("fix", "")))
        yield Finding(
            RULE,
            "error",
            f"worker {worker.id} failed in its start-up ({last.get('phase', 'start')}): {last.get('code')}: {sentence}",
            "the worker could not load its model or handler, so it fails every job with this error",
            crash_mends.mend(evidence, fix or "mend what it names"),
            "certain",
            {"worker": worker.id, "code": last.get("code"), "phase": last.get("phase")},
        )
