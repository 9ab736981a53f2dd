"""What the tests of the emulated RunPod share: one box whose time stands still, in-process or on a loopback port."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest
from fleet_stage import Stage
from runpod_box import KEY, Emulated, emulated
from starlette.testclient import TestClient

from factory.emulator.runpod.app import Runpod, create_runpod
from factory.emulator.runpod.box import Box
from factory.emulator.runpod.clock import StepClock


@pytest.fixture
def app() -> Runpod:
    """The whole application: a StepClock, no workers of its own, no hub."""
    return create_runpod(clock=StepClock())


@pytest.fixture
def box(app: Runpod) -> Box:
    """The box behind `app`."""
    made: Box = app.state.box
    return made


@pytest.fixture
def client(app: Runpod) -> Iterator[TestClient]:
    """A client of `app` in-process, with a key; the box runs meanwhile, and ends after."""
    with TestClient(app, headers={"Authorization": f"Bearer {KEY}"}) as made:
        yield made


@pytest.fixture
def served() -> Iterator[Emulated]:
    """A box of its own on a loopback port."""
    with emulated() as runpod:
        yield runpod


@pytest.fixture
def anyio_backend() -> str:
    """The emulator runs on asyncio."""
    return "asyncio"


@pytest.fixture
async def stage(anyio_backend: str) -> AsyncIterator[Stage]:
    """A box with puppets for workers, closed afterwards."""
    made = Stage()
    yield made
    await made.box.close()


@pytest.fixture(scope="session")
def ended_owner() -> str:
    """An emulator of this machine that is gone, as owners.py writes it."""
    code = "from factory import owners; print(owners.me(), end='')"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
