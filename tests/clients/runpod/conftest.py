"""What the client tests share: an emulated RunPod for a file, and an empty account for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from runpod_box import Emulated, emulated


@pytest.fixture(scope="module")
def served() -> Iterator[Emulated]:
    """RunPod, emulated, once for all tests of a file; a file that needs it otherwise has its own."""
    with emulated() as box:
        yield box


@pytest.fixture
def runpod(served: Emulated) -> Emulated:
    """An empty account, without faults and without calls so far."""
    served.empty()
    return served
