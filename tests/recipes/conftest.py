"""The shipped recipes, and the Hub that lists their repositories (sizes are real where the fixture says so)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from factory.clients.huggingface import HuggingFaceHub
from factory.emulator.hub import create_hub
from factory.emulator.serve import running
from factory.ports import ModelHub

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def hub() -> Iterator[ModelHub]:
    """The real client against the emulated Hub."""
    with running(create_hub(ROOT / "tests/fixtures/hub")) as url:
        yield HuggingFaceHub(url, "hf_let_in_to_flux")
