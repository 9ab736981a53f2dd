"""The network volume is smaller than the models that must lie on it.

Cause: the true bytes on the Hub (equal files once, all recipes that share the volume) exceed the volume's size; pages
of models name fewer (Wan2.1-T2V-14B is told to be 26 GB and is 69, measured 2026-11-23), and workers end with
`no_space`.
Command: `factory volumes grow NAME SIZE`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from factory.diagnosis import mends
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding
from factory.records import GB
from factory.sizing.disks import HEADROOM_LEAST_BYTES, HEADROOM_SHARE, VOLUME_LEAST_GB, VOLUME_MOST_GB
from factory.wording import size_text

RULE = "volume_too_small"


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find volumes of the endpoint that can't hold its models."""
    needed = needed_bytes(evidence)
    for volume in evidence.volumes:
        if needed <= volume.size_gb * GB:
            continue
        names = ", ".join(state.repo for state in evidence.models if state.files) or "its models"
        yield Finding(
            RULE,
            "error",
            f"volume {volume.name} has {volume.size_gb} GB, and {names} take {size_text(needed)}",
            f"the weights don't fit: {size_text(needed - volume.size_gb * GB)} are missing",
            replace(mends.grow(evidence, volume.id, advised_gb(needed)), edit=_edit(evidence, needed)),
            "certain",
            {"volume": volume.id, "size_gb": volume.size_gb, "needed_bytes": needed},
        )


def needed_bytes(evidence: Evidence) -> int:
    """Return what all recipes of the volume bring, else what this one's models do; 0 when neither is known."""
    if evidence.disks and evidence.disks.volume:
        return evidence.disks.volume.floor_bytes
    on_it = [state.files for state in evidence.models if state.files and state.files.placement == "volume"]
    return sum(files.unique_bytes for files in on_it)


def advised_gb(needed: int) -> int:
    """Return the size to grow to: a tenth on top, at least 5 GB, as `factory size` adds it."""
    with_headroom = needed + max(-(-needed // HEADROOM_SHARE), HEADROOM_LEAST_BYTES)
    return min(VOLUME_MOST_GB, max(VOLUME_LEAST_GB, -(-with_headroom // GB)))


def _edit(evidence: Evidence, needed: int) -> str:
    """A recipe that says the small size itself can't be planned until it says another."""
    said = evidence.recipe.recipe.disk.volume if evidence.recipe else "auto"
    return mends.edit(evidence, "disk.volume", "auto") if said != "auto" and said * GB < needed else ""
