"""Workers stay in `initializing`, and their log repeats `image pull: … pending`.

Cause: the pull fails and is tried again (worker-comfyui issue 201, read 2026-11-23): the registry refuses, limits or
doesn't have the image. One large image takes minutes by itself (16.3 GB took 165 s, told by a user, 2026).
Command: `factory release RECIPE`, which pushes what is missing and proves every byte in the registry.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from factory.account import LogLine
from factory.diagnosis import mends
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding
from factory.wording import count_text

RULE = "image_pull_pending"
_PENDING = re.compile(r"image pull: .*pending", re.IGNORECASE)
_FAILED = re.compile(r"error pulling image|failed to pull|pull access denied|toomanyrequests", re.IGNORECASE)
_DONE = re.compile(r"image pull: .*complete|start container|started container", re.IGNORECASE)


class Pull(NamedTuple):
    """What a worker's log says of its pull: how often it was begun, the last error, and the last line."""

    tries: int
    error: str
    last: str


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find workers whose pull was begun at least twice, or failed, and that have started nothing since."""
    waiting = {worker.id for worker in evidence.workers if worker.status in ("INITIALIZING", "UNHEALTHY")}
    pulls = {worker: pull for worker in sorted(waiting) if (pull := _pull(evidence.logs.get(worker, ())))}
    stuck = {worker: pull for worker, pull in pulls.items() if pull.tries > 1 or pull.error}
    if not stuck:
        return
    worker, worst = max(stuck.items(), key=lambda item: (bool(item[1].error), item[1].tries))
    yield Finding(
        RULE,
        "error",
        f"{count_text(len(stuck), 'worker')} can't pull the image: {worker} tried {count_text(worst.tries, 'time')}, "
        f"last line: {(worst.error or worst.last)[:160]}",
        "the registry doesn't give RunPod the image, so the workers never start",
        mends.by_recipe(evidence, "release", "check by hand that the endpoint's image can be pulled"),
        "certain" if worst.error else "likely",
        {"workers": sorted(stuck)},
    )


def _pull(lines: Sequence[LogLine]) -> Pull | None:
    """Return the pull under way; None when there is none, or it has ended well."""
    tries, error, last = 0, "", ""
    for line in lines:
        if line.source == "container" or _DONE.search(line.line):
            tries, error, last = 0, "", ""
        elif _PENDING.search(line.line):
            tries, last = tries + 1, line.line
        elif _FAILED.search(line.line):
            error = line.line
    return Pull(tries, error, last) if tries or error else None
