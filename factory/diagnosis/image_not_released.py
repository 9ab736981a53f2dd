"""The endpoint runs another image than the one that the recipe means.

Cause: the recipe or its code was changed since, or the image was pushed and the endpoint never got it; the recipe's
image has its content as its tag, and the endpoint names what it runs by digest.
Command: `factory release RECIPE`.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.diagnosis import mends
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding, Severity
from factory.provisioning.observed import ImageState


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find an endpoint whose digest isn't the recipe's; a recipe that isn't built yet is only noted."""
    runs, expected = evidence.image, evidence.expected
    if runs is None or expected is None or runs.problem or expected.problem or not runs.is_pushed:
        return
    if _identity(runs) == _identity(expected):
        return
    severity: Severity = "warning" if expected.is_pushed else "note"
    missing = "" if expected.is_pushed else ", which isn't built yet"
    yield Finding(
        "image_not_released",
        severity,
        f"the endpoint runs {runs.reference}, the recipe means {expected.reference}{missing}",
        "what was changed in the recipe or its code has not reached the workers",
        mends.by_recipe(evidence, "release", ""),
        "certain",
        {"runs": runs.reference, "expected": expected.reference},
    )


def _identity(image: ImageState) -> str:
    """Return the digest, or the whole reference where there is none."""
    return image.reference.partition("@")[2] or image.reference
