"""Fixtures of the runtime's tests: a log to look into, and a recipe's folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from worker_app import SeenLog

from worker_runtime import contract, settings

settings.limit_threads()  # before any test imports numpy, as the worker does it


@pytest.fixture
def log() -> SeenLog:
    """A log that the test can read."""
    return SeenLog()


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The folder that is /app in an image."""
    return tmp_path / "app"


@pytest.fixture(autouse=True)
def _forget_handler_files() -> Iterator[None]:
    """Let no handler's file of one test stay imported for the next."""
    path = list(sys.path)
    yield
    sys.modules.pop(contract.FILE_MODULE, None)
    sys.path[:] = path
