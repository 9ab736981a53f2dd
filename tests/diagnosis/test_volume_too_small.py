"""volume_too_small: true bytes against the volume's size."""

from __future__ import annotations

from dataclasses import replace

import pytest
from evidences import HOLDS, account, evidence, model_state, told

from factory.diagnosis import volume_too_small
from factory.diagnosis.evidence import Evidence

SMALL = replace(HOLDS, size_gb=10)


def small(found: Evidence, size_gb: int = 10) -> Evidence:
    """Return the evidence with a smaller volume."""
    return replace(found, volumes=(replace(HOLDS, size_gb=size_gb),))


CASES = [
    ("room enough", evidence(), []),
    ("exactly as large", small(evidence()), []),
    ("too small", small(evidence(), 9), [("error", "certain", "factory volumes grow demo 15", "")]),
    (
        "not sized, because the recipe says the small size itself",
        replace(small(evidence({"disk": {"volume": 10}})), models=(model_state(69),)),
        [("error", "certain", "factory volumes grow demo 76", "disk.volume: auto")],
    ),
    (
        "two volumes of one name: by id",
        replace(small(evidence(), 9), account=account(evidence(), volumes=(HOLDS, replace(HOLDS, id="vol-2")))),
        [("error", "certain", "factory volumes grow vol-1 15", "")],
    ),
    ("no volume", evidence(spec={"volume_ids": ()}), []),
    ("the models are not known", replace(small(evidence()), models=(model_state(files=None),), disks=None), []),
    ("larger than RunPod sells", replace(small(evidence()), disks=None, models=(model_state(5000),)), None),
]


@pytest.mark.parametrize(("found", "expected"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_a_volume_below_the_true_bytes_is_found(
    found: Evidence, expected: list[tuple[str, str, str, str]] | None
) -> None:
    """A volume must hold what the models truly take; the command grows it to that and a tenth."""
    findings = list(volume_too_small.find(found))
    if expected is None:
        assert findings[0].mend.command == "factory volumes grow demo 4096"
    else:
        assert told(findings) == expected


def test_it_says_both_sizes_and_what_is_missing() -> None:
    """The numbers are in the words."""
    (finding,) = volume_too_small.find(small(evidence(), 9))
    assert finding.seen == "volume demo has 9 GB, and org/model take 10.0 GB"
    assert finding.cause == "the weights don't fit: 1.0 GB are missing"
