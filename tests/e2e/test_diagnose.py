"""`factory diagnose` of containers that truly end: the code that the engine tells is the code that is explained."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hand_made import SHELL, make_context, shell_files
from runpod_box import KEY, Emulated, an_endpoint, emulated

from factory.clients.docker_engine import DockerEngine
from factory.emulator.runpod.clock import RealClock
from factory.emulator.runpod.entities import Container
from factory.emulator.runpod.launch_docker import DockerLauncher
from factory.records import BuildOptions
from factory.stages.build import build
from factory.stages.push import push

pytestmark = pytest.mark.engine
DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def shell_image(engine_host: str, registry: str) -> Iterator[str]:
    """A pushed image of 5 MB which only has a shell."""
    engine = DockerEngine(engine_host)
    context = make_context(f"{registry}/test/diagnosed-{uuid.uuid4().hex[:8]}", SHELL, shell_files())
    yield push(build(context, engine, BuildOptions()), engine).reference
    engine.remove(context.reference)


@pytest.fixture(scope="module")
def box(engine_host: str) -> Iterator[Emulated]:
    """A box in real time whose workers are containers."""
    with emulated(clock=RealClock(), launcher=DockerLauncher(engine_host)) as made:
        yield made


# A process of the container's own dies by the signal; its shell, which is PID 1 and can't, passes the code on.
@pytest.mark.parametrize(
    ("args", "says"),
    [
        ("/bin/sh -c \"echo loading; sh -c 'kill -9 $$'; exit $?\"", "exit code 137; last line: Killed"),
        ("/bin/sh -c \"sh -c 'kill -SEGV $$'; exit $?\"", "exit code 139"),
        ("/bin/sh /app/handler.sh", "exit code 2"),
        ("/opt/start", "exit code 127"),
    ],
)
def test_the_engines_exit_code_is_explained(
    args: str, says: str, box: Emulated, shell_image: str, tmp_path: Path
) -> None:
    """The top finding is the rule of exit codes, with the code that the container really ended with."""
    draft = an_endpoint("mine", container=Container(shell_image, args=args), workers_min=1, workers_max=1)
    endpoint = box.call(lambda inside: inside.world.create_endpoint(draft))
    try:
        end = time.monotonic() + DEADLINE_S
        while not any(box.call(lambda inside: [w.restarts > 1 for w in inside.fleet.workers(endpoint.id)])):
            assert time.monotonic() < end, "two ends"
            time.sleep(0.1)
        found = diagnosed(box, endpoint.id, tmp_path)
    finally:
        box.call(lambda inside: inside.world.delete_endpoint(endpoint.id))
    assert found["findings"][0]["rule"] == "exit_codes" and says in found["findings"][0]["seen"], found


def diagnosed(box: Emulated, endpoint_id: str, folder: Path) -> dict[str, list[dict[str, str]]]:
    """Run `factory diagnose ENDPOINT --json`."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("RUNPOD_", "HF_"))}
    env |= {"RUNPOD_API_KEY": KEY, "RUNPOD_API_BASE_URL": box.url, "RUNPOD_ENDPOINT_BASE_URL": box.jobs_url}
    done = subprocess.run(
        [sys.executable, "-m", "factory", "diagnose", endpoint_id, "--json"],
        capture_output=True,
        text=True,
        env=env | {"FACTORY_HOME": str(folder)},
        check=False,
        timeout=120,
    )
    assert done.returncode == 100, done.stderr
    found: dict[str, list[dict[str, str]]] = json.loads(done.stdout)
    return found
