"""What the tests of the emulated hub share: its address while it runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.applications import Starlette

from factory.emulator.serve import running


@pytest.fixture
def url(app: Starlette) -> Iterator[str]:
    """The address of the test file's own `app`."""
    with running(app) as address:
        yield address
