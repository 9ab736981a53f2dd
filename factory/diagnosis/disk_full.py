"""A worker found its disk full: `No space left on device`, or the failure `no_space`.

Cause: the network volume (or the container disk, without one) has no byte left: other files lie there, or more was
written than was planned for. Programs that meet it may just crash (139).
Command: `factory volumes grow NAME SIZE`; without a volume a larger `disk.container`, then `factory provision RECIPE`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from factory.diagnosis import mends
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding, Mend
from factory.diagnosis.volume_too_small import advised_gb, needed_bytes
from factory.records import GB
from factory.sizing.disks import VOLUME_MOST_GB

RULE = "disk_full"
# The C library's words for ENOSPC and EDQUOT, and the worker's own code (docs/worker.md).
_FULL = re.compile(r"no space left on device|disk quota exceeded|\bno_space\b", re.IGNORECASE)
_ON_VOLUME = re.compile(r"/runpod-volume|\bvolume\b")
_GROWTH = 1.25
_SHOWN = 160  # characters of a line


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find the newest word of a full disk, in the failures on the volume and in the logs."""
    seen = _seen(evidence)
    if seen is None or evidence.endpoint is None:
        return
    who, text = seen
    volume = evidence.volumes[0] if evidence.volumes else None
    if volume and (needed_bytes(evidence) > volume.size_gb * GB):
        return  # too small from the start: volume_too_small says by how much
    is_on_volume = volume is not None and (_ON_VOLUME.search(text) is not None or not _names_place(text))
    place = f"volume {volume.name} ({volume.size_gb} GB)" if volume and is_on_volume else "the container disk"
    yield Finding(
        RULE,
        "error",
        f"worker {who}: {text[:_SHOWN]}",
        f"{place} is full",
        _larger_volume(evidence) if is_on_volume else _larger_disk(evidence),
        "certain" if is_on_volume else "likely",
        {"worker": who},
    )


def _seen(evidence: Evidence) -> tuple[str, str] | None:
    """Return the worker and what it said: a line of a log now, else a failure that was left behind."""
    for worker, lines in evidence.logs.items():
        for line in reversed(lines):
            if line.source == "container" and _FULL.search(line.line):
                return worker, line.line
    for failure in reversed(evidence.failures):
        if failure.code == "no_space":
            return failure.worker, f"{failure.sentence} (at {failure.at})"
    return None


def _names_place(text: str) -> bool:
    return re.search(r"['\"\s](/[\w.-]+)+", text) is not None


def _larger_volume(evidence: Evidence) -> Mend:
    volume = evidence.volumes[0]
    size_gb = max(advised_gb(needed_bytes(evidence)), round(volume.size_gb * _GROWTH), volume.size_gb + 5)
    return mends.grow(evidence, volume.id, min(VOLUME_MOST_GB, size_gb))


def _larger_disk(evidence: Evidence) -> Mend:
    assert evidence.endpoint is not None
    size_gb = max(round(evidence.endpoint.spec.container_disk_gb * 1.5), evidence.endpoint.spec.container_disk_gb + 5)
    return mends.by_recipe(
        evidence,
        "provision",
        f"give the endpoint {size_gb} GB of container disk in RunPod's console",
        edit=mends.edit(evidence, "disk.container", str(size_gb)),
    )
