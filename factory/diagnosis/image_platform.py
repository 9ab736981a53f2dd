"""The image is not for linux/amd64: `exec format error` in the log, or no manifest for the platform.

Cause: RunPod's hosts run linux/amd64 only; a build on an ARM machine without `--platform` makes linux/arm64.
Command: `factory release RECIPE`, which builds for linux/amd64 anywhere; with `--force` where the recipe's own image in
the registry is the wrong one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from factory.diagnosis import mends
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding

PLATFORM = "linux/amd64"
_LINE = re.compile(r"exec format error|no matching manifest for linux/amd64", re.IGNORECASE)


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find an image of another platform, by its manifest or by the words of who tried to start it."""
    image = evidence.image
    if image and image.is_pushed and image.platform != PLATFORM:
        seen = f"{image.reference} is for {image.platform}"
    elif line := _line(evidence):
        seen = line
    else:
        return
    yield Finding(
        "image_platform",
        "error",
        seen,
        f"RunPod runs {PLATFORM} only, so no worker can start this image",
        mends.by_recipe(evidence, _verb(evidence), f"build the image for {PLATFORM} and push it again"),
        "certain",
    )


def _verb(evidence: Evidence) -> str:
    """The recipe's image is built again only when it is asked for, once its tag is in the registry."""
    is_good = evidence.expected is not None and evidence.expected.platform == PLATFORM
    return "release" if is_good and evidence.expected != evidence.image else "release --force"


def _line(evidence: Evidence) -> str | None:
    """Return the newest line that says so."""
    lines = ((worker, line.line) for worker, found in evidence.logs.items() for line in reversed(found))
    return next((f"worker {worker}: {line[:160]}" for worker, line in lines if _LINE.search(line)), None)
