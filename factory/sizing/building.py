"""How much disk a Docker engine needs to build a recipe's environment: pure arithmetic over the dated table.

While it builds, the engine holds the base's layers as they came and unpacked, what the packages unpack to, and
BuildKit's copies of what is written; a push compresses as it sends. Weights that go into an image need no disk: they go
from the Hub to the registry (docs/baking.md). Where the environment is in the registry already nothing is built.
"""

from __future__ import annotations

import math

from factory.recipe.model import Recipe
from factory.records import GB
from factory.sizing.image import UNCERTAINTY_PERCENT, estimate

SPARE_GB = 1  # context, BuildKit's metadata, package lists, what a report writes
WITHOUT_ENGINE_GB = 1


def build_disk_gb(recipe: Recipe) -> int:
    """Return the GB that must be free on the engine's disk, rounded up, the estimate's uncertainty included."""
    image = estimate(recipe).image
    held_bytes = image.compressed_bytes + image.unpacked_bytes
    return math.ceil(held_bytes * (1 + UNCERTAINTY_PERCENT / 100) / GB) + SPARE_GB
