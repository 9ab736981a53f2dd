"""Every job fails at once with the same error: the worker runs, and could not load its model or handler.

Cause: factory's runtime joins the queue all the same, so that each job says why instead of waiting for ever; it leaves
the reason in its log and on the volume (docs/worker.md).
Command: `factory rollback RECIPE` where an earlier release answered; else what the failure itself says to do, and
`factory release RECIPE`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime

from factory.diagnosis import crash_mends
from factory.diagnosis.evidence import Evidence, KnownJob
from factory.diagnosis.finding import Finding
from factory.diagnosis.worker_ends import event
from factory.recipe.tokens import redacted
from factory.wording import error_sentence, seconds_text

RULE = "start_failed"
CAUSE = "the worker could not load its model or handler, so it fails every job with this error"
RECENT_S = 3600.0
CODES = frozenset(
    {
        *("settings", "recipe", "unfit", "start", "handler_missing", "handler_import", "options_invalid"),
        *("handler_load", "volume_missing", "storage_unwritable", "no_space", "weights_missing", "weights_corrupt"),
        *("weights_timeout", "hub_denied", "hub_not_found", "hub_unreachable", "hub_failed"),
    }
)
"""The runtime's codes for a start that failed (docs/worker.md, "Error codes")."""
_ERROR = re.compile(r"(?P<code>[a-z_]+): (?P<sentence>[^;]+)(?:; (?P<fix>.+))?", re.DOTALL)


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find workers whose log ends a start with `failed`, else a job that such a worker failed before it left."""
    logs = list(_from_logs(evidence))
    yield from logs or _from_jobs(evidence)


def _from_logs(evidence: Evidence) -> Iterator[Finding]:
    for worker in evidence.workers:
        last: Mapping[str, object] = {}
        for found in map(event, evidence.logs.get(worker.id, ())):
            if found.get("event") == "failed":
                last = found
            elif found.get("phase") == "ready":
                last = {}
        if last:
            said = f"worker {worker.id} failed in its start-up ({last.get('phase', 'start')})"
            words = [redacted(str(last.get(name, ""))) for name in ("code", "sentence", "fix")]
            yield _finding(evidence, said, *words)


def _from_jobs(evidence: Evidence) -> Iterator[Finding]:
    """Find the newest job that has ended, where a start's error is how it did, on what runs now."""
    ended = [job for job in evidence.jobs if (job.state_now or job.state_before) in ("COMPLETED", "FAILED")]
    newest = max(ended, key=lambda job: job.submitted_at, default=None)
    if newest is None or newest.age_s > RECENT_S or newest.submitted_at < _released_at(evidence):
        return
    found = _ERROR.match(error_sentence(_error(newest)))
    if found and found["code"] in CODES:
        said = f"job {newest.id} failed, sent {seconds_text(newest.age_s)} ago"
        yield _finding(evidence, said, found["code"], redacted(found["sentence"]), redacted(found["fix"] or ""))


def _error(job: KnownJob) -> str:
    return (job.error or "") if (job.state_now or job.state_before) == "FAILED" else ""


def _released_at(evidence: Evidence) -> float:
    """Return when what runs now was released (Unix seconds); 0 where RunPod doesn't say."""
    try:
        return datetime.fromisoformat(evidence.releases[0].created_at).timestamp()
    except (IndexError, ValueError):
        return 0.0


def _finding(evidence: Evidence, said: str, code: str, sentence: str, fix: str) -> Finding:
    mend = crash_mends.mend(evidence, fix or "mend what it names")
    return Finding(RULE, "error", f"{said}: {code}: {sentence}", CAUSE, mend, "certain", {"code": code})
