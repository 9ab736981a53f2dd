"""One worker does all the jobs while others idle: the image has a version of the runpod SDK that is known to be bad.

Cause: runpod 1.7.11 to 1.10.0 funnel jobs to one worker (fixed in 1.10.1, runpod-python pull request 517, read
2026-11-23).
Command: `factory release RECIPE`, which builds with the SDK that factory pins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from factory.diagnosis import mends
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding

RULE = "sdk_version"
FIRST_BAD, FIRST_GOOD = (1, 7, 11), (1, 10, 1)
# What the SDK prints at its start, and what it puts into the error of a job (runpod 1.12.0).
_SAID = re.compile(
    r"Starting Serverless Worker \|\s*Version (\d+\.\d+\.\d+)|\"runpod_version\\?\": \\?\"(\d+\.\d+\.\d+)"
)
_PINNED = re.compile(r"runpod(?:\[[^]]*\])?\s*==\s*(\d+\.\d+\.\d+)\s*")


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find a version that a worker, a job's error or the recipe's requirements tell of."""
    for where, version in _versions(evidence):
        if not FIRST_BAD <= _as_numbers(version) < FIRST_GOOD:
            continue
        pip = evidence.recipe.recipe.image.pip if evidence.recipe else ()
        kept = [item for item in pip if not _PINNED.fullmatch(item)]
        is_pinned = len(kept) < len(pip)
        yield Finding(
            RULE,
            "warning",
            f"{where} has runpod {version}",
            "runpod 1.7.11 to 1.10.0 give all jobs to one worker, so more workers are paid for and help nobody",
            mends.by_recipe(
                evidence,
                "release",
                "build the image with runpod 1.10.1 or later",
                edit=mends.edit(evidence, "image.pip", f"[{', '.join(kept)}]") if is_pinned else "",
            ),
            "certain",
            {"version": version},
        )
        return


def _versions(evidence: Evidence) -> Iterator[tuple[str, str]]:
    for worker, lines in evidence.logs.items():
        for line in reversed(lines):
            if said := _SAID.search(line.line):
                yield f"worker {worker}", said[1] or said[2]
                break
    for job in evidence.jobs:
        if said := _SAID.search(job.error or ""):
            yield f"the worker of job {job.id}", said[1] or said[2]
    for item in evidence.recipe.recipe.image.pip if evidence.recipe else ():
        if pinned := _PINNED.fullmatch(item):
            yield "the recipe's image.pip", pinned[1]


def _as_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
