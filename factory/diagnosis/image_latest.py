"""Workers run an older image although a newer one was pushed under the same tag.

Cause: hosts keep an image by its tag, so `:latest` (also what no tag means) is served stale, and each host may run
another (docs.runpod.io, read 2026-11-23).
Command: `factory release RECIPE`, which names the image by its digest.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.diagnosis import mends
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find an endpoint whose image is `:latest`, written or not."""
    if evidence.endpoint is None:
        return
    image = evidence.endpoint.spec.image
    last = image.rpartition("/")[2]
    if not image or "@" in image or (":" in last and not last.endswith(":latest")):
        return
    yield Finding(
        "image_latest",
        "warning",
        f"the endpoint's image is {image}",
        "`latest` is not one image: hosts keep what they pulled once, so workers may run different ones",
        mends.by_recipe(evidence, "release", "name the image by a tag of its own, or by its digest"),
        "certain",
        {"image": image},
    )
