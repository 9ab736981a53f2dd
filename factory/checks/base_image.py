"""The base image: pinned by a tag, for linux/amd64, with the Python that the recipe says."""

from __future__ import annotations

import re
from collections.abc import Iterator

from factory.checks.finding import Found
from factory.recipe import RecipeFile

_KEY = "image.base"
_OTHER_PLATFORM = re.compile(
    r"(?<![a-z0-9])(arm64(?:v8)?|aarch64|arm32v7|armv?7l?|s390x|ppc64le|riscv64|windows\w*)(?![a-z0-9])"
)
# The python3 package of each distribution release (their package indexes, read 2026-11-23).
_PYTHON_OF = {
    "ubuntu20.04": "3.8",
    "ubuntu22.04": "3.10",
    "ubuntu24.04": "3.12",
    "bullseye": "3.9",
    "bookworm": "3.11",
    "trixie": "3.13",
    "focal": "3.8",
    "jammy": "3.10",
    "noble": "3.12",
}


def base_tag(file: RecipeFile) -> Iterator[Found]:
    """Find a base that is another image tomorrow."""
    base = file.recipe.image.base
    if base is None or "@" in base:
        return
    tag = base.rpartition("/")[2].partition(":")[2]
    if tag in ("", "latest"):
        what = "the tag 'latest'" if tag else "no tag"
        yield Found(
            _KEY,
            f"{base} has {what}, so it is another image tomorrow",
            "name a version, e.g. 'python:3.11-slim-bookworm'",
        )


def base_platform(file: RecipeFile) -> Iterator[Found]:
    """Find a base that is named for another platform than RunPod's linux/amd64."""
    if found := _OTHER_PLATFORM.search((file.recipe.image.base or "").lower()):
        yield Found(_KEY, f"the base is for {found[1]}, and RunPod runs linux/amd64 only", "use the image's amd64 tag")


def base_python(file: RecipeFile) -> Iterator[Found]:
    """Find a base whose tag tells of another Python than the recipe's."""
    image = file.recipe.image
    found = _python_of(image.base or "")
    if found and found != image.python:
        yield Found(
            _KEY,
            f"the base has Python {found}, and image.python is {image.python}",
            f"write python: '{found}', or choose another base",
        )


def _python_of(base: str) -> str | None:
    name, _, tag = base.rpartition("/")[2].partition("@")[0].partition(":")
    if version := re.search(r"(?:^|[-_.])py(?:thon)?-?(3\.\d{1,2})(?!\d)", tag):
        return version[1]
    if name == "python":
        version = re.match(r"(3\.\d{1,2})(?!\d)", tag)
        return version[1] if version else None
    if name in ("cuda", "ubuntu", "debian"):
        system = f"ubuntu{tag[:5]}" if name == "ubuntu" and re.match(r"\d\d\.\d\d", tag) else tag
        return next((python for release, python in _PYTHON_OF.items() if release in system), None)
    return None


def python_version(file: RecipeFile) -> Iterator[Found]:
    """Find a Python that the RunPod SDK does not run on."""
    minor = int(file.recipe.image.python.partition(".")[2])
    if minor < 10:  # runpod 1.12.0 requires Python 3.10
        yield Found(
            "image.python", f"the RunPod SDK needs Python 3.10 or later, and this is 3.{minor}", "write python: '3.11'"
        )
