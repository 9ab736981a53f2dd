"""disk_full: the words of a full disk in logs and failures."""

from __future__ import annotations

from dataclasses import replace

import pytest
from evidences import HOLDS, evidence, log, told

from factory.diagnosis import disk_full
from factory.diagnosis.evidence import Evidence, Failure

FULL = "OSError: [Errno 28] No space left on device: '/runpod-volume/huggingface/x'"
LEFT = Failure("2026-11-25T02:00:00Z", "w-9", "no_space", "needs 10.0 GB, 2.0 GB are free", "grow the volume")
GROW = [("error", "certain", "factory volumes grow demo 50", "")]

CASES = [
    ("nothing said", evidence(logs={"w-1": log("loading", "ready")}), []),
    ("the volume, by its path", evidence(logs={"w-1": log(FULL)}), GROW),
    ("no path: the volume", evidence(logs={"w-1": log("Error: No space left on device (os error 28)")}), GROW),
    ("a quota", evidence(logs={"w-1": log("write: Disk quota exceeded")}), GROW),
    (
        "the worker's own code",
        evidence(logs={"w-1": log('{"code": "no_space", "sentence": "the volume ran full"}')}),
        GROW,
    ),
    ("a failure left on the volume", evidence(failures=(LEFT,)), GROW),
    ("another failure", evidence(failures=(replace(LEFT, code="hub_denied"),)), []),
    (
        "the container disk, by its path",
        evidence(logs={"w-1": log("No space left on device: '/tmp/video.mp4'")}),
        [("error", "likely", "factory provision recipes/demo.yaml", "disk.container: 38")],
    ),
    (
        "the container disk, without a volume",
        evidence({"models": []}, spec={"volume_ids": ()}, logs={"w-1": log("No space left on device")}),
        [("error", "likely", "factory provision recipes/demo.yaml", "disk.container: 38")],
    ),
    (
        "too small from the start is another rule's",
        replace(evidence(logs={"w-1": log(FULL)}), volumes=(replace(HOLDS, size_gb=9),)),
        [],
    ),
    (
        "the platform's own lines say nothing",
        evidence(logs={"w-1": log("No space left on device", source="system")}),
        [],
    ),
]


@pytest.mark.parametrize(("found", "expected"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_a_full_disk_is_found_by_its_words(found: Evidence, expected: list[tuple[str, str, str, str]]) -> None:
    """The volume grows, or the container disk where it is that one."""
    assert told(disk_full.find(found)) == expected
