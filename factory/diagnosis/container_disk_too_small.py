"""The container disk is smaller than the unpacked image, or leaves less than the tenth that RunPod's SDK asks for.

Cause: a worker's own disk holds the image unpacked (while it is pulled compressed as well, measured 2026-11-23); and
the runpod SDK ends a worker at its start when less than 10 % of `/` is free (runpod 1.12.0, read 2026-11-23).
Command: `factory provision RECIPE`, after `disk.container: auto` where the recipe says a size.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.diagnosis import mends
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding
from factory.records import GB, ImageSize
from factory.wording import size_text

RULE = "container_disk_too_small"


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find a container disk below what the endpoint's image needs."""
    needed = _needed(evidence)
    if evidence.endpoint is None or needed is None:
        return
    size_gb = evidence.endpoint.spec.container_disk_gb
    needed_bytes, how, is_exact = needed
    if not size_gb or needed_bytes <= size_gb * GB:  # 0: RunPod doesn't say
        return
    is_explicit = evidence.recipe is not None and evidence.recipe.recipe.disk.container != "auto"
    advised_gb = -(-needed_bytes // GB)
    yield Finding(
        RULE,
        "error",
        f"the container disk has {size_gb} GB, and {how} need {size_text(needed_bytes)}",
        "the image can't be unpacked, or the SDK ends the worker because less than 10 % of its disk is free",
        mends.by_recipe(
            evidence,
            "provision",
            f"give the endpoint at least {advised_gb} GB of container disk in RunPod's console",
            edit=mends.edit(evidence, "disk.container", "auto") if is_explicit else "",
        ),
        "certain" if is_exact else "likely",
        {"size_gb": size_gb, "needed_bytes": needed_bytes},
    )


def _needed(evidence: Evidence) -> tuple[int, str, bool] | None:
    """Return bytes, of what they are the sum, and whether they are exact: with models and scratch where known."""
    size = evidence.image.size if evidence.image else None
    is_expected = bool(evidence.image and evidence.expected and evidence.image.reference == evidence.expected.reference)
    if evidence.disks and evidence.disks.container.is_exact and (is_expected or size is None):
        floor = evidence.disks.container.floor
        terms = " + ".join(f"{term.label} {size_text(term.size_bytes)}" for term in floor if term.size_bytes)
        return evidence.disks.container.floor_bytes, terms, True
    if size is None:
        return None
    how = f"{size_text(size.unpacked_bytes)} unpacked and {size_text(size.compressed_bytes)} compressed"
    return _of_image(size), how, size.is_exact


def _of_image(size: ImageSize) -> int:
    running = size.unpacked_bytes + -(-size.unpacked_bytes // 9)  # a ninth of what is used is a tenth of the disk
    return max(running, size.unpacked_bytes + size.compressed_bytes)
