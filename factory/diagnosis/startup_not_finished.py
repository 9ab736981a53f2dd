"""A worker is `running` or `initializing`, and jobs stay IN_QUEUE: it is still in its start-up code.

Cause: RunPod shows a worker as running from the start of its container on, and a job is taken only when the model is
loaded. Weights come from the volume at 200 to 400 MB/s (docs.runpod.io, "Network volumes", read 2026-11-23), so 30 GB
take about two minutes; a new host pulls the image first.
Command: `factory diagnose RECIPE --watch 60`: wait, and look again.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from factory.account import CloudWorker, LogLine
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding, Mend
from factory.diagnosis.worker_ends import ends_of, events
from factory.wording import count_text, seconds_text, size_text

RULE = "startup_not_finished"
VOLUME_BYTES_PER_S = 200e6  # the lower end of what a network volume gives
FLOOR_S = 30.0  # a container's start, the imports and the SDK's own checks
SLOW = 2.0  # times what it should take


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find young workers that have not taken one of the jobs that wait."""
    starting = _starting(evidence)
    if not starting:
        return
    expected_s, how = _expected_s(evidence)
    ages = [worker.uptime_s for worker in starting if worker.uptime_s is not None]
    age = f", the oldest up for {seconds_text(max(ages))}" if ages else ""
    is_slow = bool(ages) and max(ages) > SLOW * expected_s
    cause = f"the worker is still in its start-up, which should take about {seconds_text(expected_s)} ({how})"
    yield Finding(
        RULE,
        "warning" if is_slow else "note",
        f"{count_text(len(starting), 'worker')} starting{age}; {count_text(evidence.queued, 'job')} waiting",
        f"{cause}; it takes longer than that" if is_slow else cause,
        Mend(f"factory diagnose {shlex.quote(evidence.argument)} --watch 60"),
        "likely",
        {"workers": [worker.id for worker in starting], "expected_s": round(expected_s, 1)},
    )


def _starting(evidence: Evidence) -> list[CloudWorker]:
    """Return the workers that start, where nobody else could take the jobs that wait."""
    if not evidence.health or not evidence.queued or evidence.health.jobs.get("inProgress", 0):
        return []
    if any(worker.status == "IDLE" for worker in evidence.workers):
        return []
    ended = {ends.worker for ends in ends_of(evidence)}
    young = [w for w in evidence.workers if w.status in ("INITIALIZING", "RUNNING") and w.id not in ended]
    return [worker for worker in young if not _is_pulling(evidence, worker.id)]


def _is_pulling(evidence: Evidence, worker: str) -> bool:
    """Is its image what it waits for? image_pull_pending says more of that."""
    lines = [line.line for line in evidence.logs.get(worker, ()) if line.source == "system"]
    return bool(lines) and ("pending" in lines[-1] or "error pulling" in lines[-1])


def _expected_s(evidence: Evidence) -> tuple[float, str]:
    """Return how long a start should take, and how we know: as one here took, else by the weights' bytes."""
    whole = [seconds for lines in evidence.logs.values() if (seconds := _phases_s(lines))]
    if whole:
        return max(FLOOR_S, max(whole)), "as long as another start here"
    files = [model.files for model in evidence.models if model.files]
    total = sum(model.unique_bytes for model in files)
    if not total:
        return FLOOR_S, "no model"
    seconds = FLOOR_S + total / VOLUME_BYTES_PER_S
    return seconds, f"{size_text(total)} of weights at {size_text(VOLUME_BYTES_PER_S)} a second"


def _phases_s(lines: Sequence[LogLine]) -> float | None:
    """Return the seconds that the runtime's phases took in a log, once it was ready."""
    found = [(e.get("phase"), e.get("seconds")) for e in events(lines, "phase")]
    if "ready" not in [name for name, _ in found]:
        return None
    return float(sum(took for _, took in found if isinstance(took, (int, float))))
