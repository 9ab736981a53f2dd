"""container_disk_too_small: the image unpacked, and a tenth kept free."""

from __future__ import annotations

from dataclasses import replace

import pytest
from evidences import IMAGE, evidence, told

from factory.diagnosis import container_disk_too_small
from factory.diagnosis.evidence import Evidence
from factory.provisioning.observed import ImageState
from factory.records import GB, ImageSize

PROVISION = "factory provision recipes/demo.yaml"
LARGE = ImageState(IMAGE, is_public=True, size=ImageSize(10 * GB, 24 * GB, is_exact=True))
GUESSED = replace(LARGE, size=ImageSize(10 * GB, 24 * GB, is_exact=False))
AS_PUSHED = ImageState("acme/demo@sha256:" + "d" * 64, is_public=True, size=LARGE.size)

CASES = [
    ("room enough", evidence(), []),
    (
        "below what image and scratch need",
        evidence(spec={"container_disk_gb": 9}),
        [("error", "certain", PROVISION, "")],
    ),
    ("just enough", evidence(spec={"container_disk_gb": 10}), []),
    ("RunPod doesn't say the size", evidence(spec={"container_disk_gb": 0}), []),
    (
        "the recipe's own size, which can't be planned",
        evidence({"disk": {"container": 25}}, image=LARGE),
        [("error", "certain", PROVISION, "disk.container: auto")],
    ),
    (
        "the image that runs is another than the recipe's",
        replace(evidence(), image=AS_PUSHED),
        [("error", "certain", PROVISION, "")],
    ),
    (
        "an estimate is only likely",
        replace(evidence(image=GUESSED), recipe=None, disks=None),
        [("error", "likely", "give the endpoint at least 34 GB of container disk in RunPod's console", "")],
    ),
    ("nothing is known of the image", replace(evidence(), image=None, disks=None), []),
]


@pytest.mark.parametrize(("found", "expected"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_a_disk_below_the_image_is_found(found: Evidence, expected: list[tuple[str, str, str, str]]) -> None:
    """The disk must hold the image with a tenth free, or unpacked and compressed at once."""
    assert told(container_disk_too_small.find(found)) == expected
