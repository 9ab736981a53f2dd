"""`factory emulator` with a real engine: its workers are containers, and none outlives it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import docker
import docker.models.containers
import httpx
import pytest
from emulator_process import EmulatorProcess, emulator_process

pytestmark = pytest.mark.engine

T = TypeVar("T")
KEY = {"Authorization": "Bearer emulator"}


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_container_outlives_its_emulator(
    tmp_path: Path, engine_host: str, base_image: str, signum: signal.Signals
) -> None:
    """Ctrl-C and SIGTERM stop the worker; what `kill -9` leaves, the next start on that machine removes."""
    engine = docker.DockerClient(base_url=engine_host)
    options = ("--workers", "docker", "--state", tmp_path / "state")
    with emulator_process(tmp_path / "log", *options) as running:
        endpoint = _sleeping_endpoint(running, base_image)
        (container,) = _until(lambda: _containers(engine, endpoint))
        assert container.status in ("created", "running")
        running.end(signum)
    if signum == signal.SIGKILL:
        assert _containers(engine, endpoint), "a killed emulator can't have cleaned up"
        with emulator_process(tmp_path / "log", "--workers", "docker", "--state", tmp_path / "other"):
            _until(lambda: not _containers(engine, endpoint))
    assert _containers(engine, endpoint) == []


def _sleeping_endpoint(running: EmulatorProcess, image: str) -> str:
    """Make an endpoint whose one worker only sleeps, and return its id."""
    body = {
        "name": "sleeper",
        "type": "QUEUE",
        "image": image,
        "args": """sh -c 'trap "exit 0" TERM; sleep 600 & wait'""",
        "gpu": {"pools": ["ADA_24"]},
        "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4},
        "workers": {"min": 1, "max": 1},
    }
    made = httpx.post(f"{running.url}/v2/serverless", json=body, headers=KEY, timeout=30)
    assert made.status_code == 201, made.text
    endpoint: str = made.json()["id"]
    return endpoint


def _containers(engine: docker.DockerClient, endpoint: str) -> list[docker.models.containers.Container]:
    return engine.containers.list(all=True, filters={"label": f"factory.emulator.endpoint={endpoint}"})


def _until(look: Callable[[], T]) -> T:
    """Look until there is something; AssertionError after a minute."""
    deadline = time.monotonic() + 60
    while not (seen := look()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.1)
    return seen
