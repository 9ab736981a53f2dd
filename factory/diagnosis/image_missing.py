"""The endpoint's image isn't in its registry: jobs wait IN_QUEUE for ever.

Cause: the tag or digest was never pushed, was deleted, or is spelt otherwise; workers stay in `initializing` and the
pull is tried again and again, with no error that anybody sees.
Command: `factory release RECIPE`.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.diagnosis import mends
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding, Mend


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find an image that its registry, having been asked, doesn't have."""
    image = evidence.image
    if image and image.is_out_of_reach:
        yield Finding(
            "image_missing",
            "error",
            f"{image.reference} is on this machine's own registry",
            "RunPod can't reach that registry, so no worker starts",
            Mend("push to a registry on the internet (image.repository, FACTORY_REGISTRY), then release again"),
            "certain",
            {"image": image.reference},
        )
        return
    if image is None or image.is_pushed or image.problem or image.is_public is False:
        return
    yield Finding(
        "image_missing",
        "error",
        f"the registry has no {image.reference}",
        "no worker can pull the endpoint's image, so none starts",
        mends.by_recipe(evidence, "release", f"push {image.reference}, or give the endpoint an image that exists"),
        "certain",
        {"image": image.reference},
    )
