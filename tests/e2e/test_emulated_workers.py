"""Workers as containers: the emulated RunPod starts pushed images, and what they do comes through its queue."""

from __future__ import annotations

import os
import shutil
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest
from emulator_process import emulator_process
from hand_made import SHELL, make_context, shell_files
from registries import running_registry
from runpod_box import KEY, Emulated, an_endpoint, emulated

from factory import recipe as recipes
from factory.clients.docker_engine import DockerEngine
from factory.emulator.runpod.clock import RealClock
from factory.emulator.runpod.disks import is_mounted
from factory.emulator.runpod.entities import Container, Endpoint
from factory.emulator.runpod.launch_docker import LABEL, DockerLauncher
from factory.emulator.runpod.troubles import DiskFull
from factory.records import BaseImage, BuildOptions
from factory.stages.build import build
from factory.stages.push import push
from factory.stages.render import render

pytestmark = pytest.mark.engine

HANDLER = '''"""A handler of the test's own: it tells its environment, and writes to the volume."""

import os


class Handler:
    def load(self, model_dir):
        pass

    def __call__(self, inputs):
        if "write" in inputs:
            with open("/runpod-volume/written", "wb") as file:
                file.write(b"1" * inputs["write"])
        return {name: os.environ.get(name) for name in inputs.get("names", [])}
'''


UNIQUE = uuid.uuid4().hex[:8]
"""Runs beside this one on the same engine remove their own images."""
WAITS = "/bin/sh -c \"trap 'exit 0' TERM; while :; do sleep 0.1; done\""
"""A command that runs until it is told to end."""


@pytest.fixture(scope="module")
def engine(engine_host: str) -> DockerEngine:
    """The shared engine."""
    return DockerEngine(engine_host)


@pytest.fixture(scope="module")
def client(engine_host: str) -> Iterator[docker.APIClient]:
    """docker-py itself, to see what containers there are."""
    found = docker.APIClient(base_url=engine_host, version="auto")
    yield found
    found.close()


@pytest.fixture(scope="module")
def worker_image(
    engine: DockerEngine, base_image: str, registry: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A pushed image of the worker runtime with the handler above, by digest."""
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "handler.py").write_text(HANDLER)
    (folder / "mine.yaml").write_text(
        "name: mine\nimage:\n  repository: test/emulated\nhandler: handler.py\ntests:\n  - input: {names: []}\n"
    )
    context = render(
        recipes.load(folder / "mine.yaml"), (), BaseImage(base_image), repository=f"{registry}/test/emulated-{UNIQUE}"
    )
    ca_file = os.environ.get("FACTORY_CA")
    options = BuildOptions(os.environ.get("FACTORY_NETWORK"), Path(ca_file) if ca_file else None)
    yield push(build(context, engine, options), engine).reference
    engine.remove(context.reference)


@pytest.fixture(scope="module")
def shell_image(engine: DockerEngine, registry: str) -> Iterator[str]:
    """A pushed image of 5 MB which only has a shell; its command ends with 7."""
    dockerfile = SHELL + 'CMD ["/bin/sh", "-c", "echo going down; exit 7"]\n'
    context = make_context(f"{registry}/test/emulated-shell-{UNIQUE}", dockerfile, shell_files())
    yield push(build(context, engine, BuildOptions()), engine).reference
    engine.remove(context.reference)


@pytest.fixture
def box(engine_host: str) -> Iterator[Emulated]:
    """A box in real time whose workers are containers."""
    with emulated(clock=RealClock(), launcher=DockerLauncher(engine_host)) as made:
        yield made


def make(box: Emulated, container: Container, **fields: object) -> Endpoint:
    """Make an endpoint."""
    return box.call(lambda inside: inside.world.create_endpoint(an_endpoint("mine", container=container, **fields)))


def run(box: Emulated, endpoint: Endpoint, job_input: Any) -> dict[str, Any]:
    """Run a job through the job API, as a client does, and return its end."""
    url = f"{box.jobs_url}/{endpoint.id}/runsync?wait=120000"
    answer = httpx.post(url, json={"input": job_input}, headers={"Authorization": f"Bearer {KEY}"}, timeout=150)
    found: dict[str, Any] = answer.json()
    return found


def until(condition: Callable[[], Any], what: str, limit_s: float = 60) -> Any:
    """Return the first true value of a condition."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {limit_s} s: {what}")


def containers_of(client: docker.APIClient, endpoint_id: str) -> list[dict[str, Any]]:
    """Return the endpoint's containers, ended ones too."""
    found: list[dict[str, Any]] = client.containers(all=True, filters={"label": f"{LABEL}.endpoint={endpoint_id}"})
    return found


def system_lines(box: Emulated, endpoint: Endpoint) -> list[str]:
    """Return what the platform says of the endpoint's workers."""
    return box.call(
        lambda inside: [
            row.line
            for worker in inside.fleet.workers(endpoint.id)
            for row in inside.fleet.log_lines(worker.id, "system", tail=1000)
        ]
    )


def test_from_the_queue_to_a_container_and_back(box: Emulated, client: docker.APIClient, worker_image: str) -> None:
    """A pushed image answers with its volume mounted, a full volume fails the write, and a new version takes over."""
    volume = box.call(lambda inside: inside.world.create_volume("weights", 10, "EU-RO-1"))
    endpoint = make(box, Container(worker_image, env={"GREETING": "hello"}), volume_ids=[volume.id], idle_timeout_s=600)

    first = run(box, endpoint, {"names": ["GREETING", "RUNPOD_VOLUME_ID"], "write": 1000})
    assert first["output"] == {"GREETING": "hello", "RUNPOD_VOLUME_ID": volume.id}, first
    (mount,) = containers_of(client, endpoint.id)[0]["Mounts"]
    folder = Path(mount["Source"])
    assert mount["Destination"] == "/runpod-volume" and (folder / "written").stat().st_size == 1000

    box.call(lambda inside: inside.troubles.add(DiskFull()))
    until(lambda: not is_mounted(folder) or shutil.disk_usage(folder).free == 0, "the volume is full")
    full = run(box, endpoint, {"write": 5_000_000})
    if is_mounted(folder):
        assert full["status"] == "FAILED" and "No space left on device" in full["error"]
    else:
        assert full["status"] == "COMPLETED"  # a plain folder has no size of its own
    box.call(lambda inside: inside.troubles.clear())

    changed = replace(endpoint, container=replace(endpoint.container, env={"GREETING": "good morning"}))
    box.call(lambda inside: inside.world.update_endpoint(endpoint.id, changed))
    second = run(box, endpoint, {"names": ["GREETING"]})
    assert second["output"] == {"GREETING": "good morning"}
    assert second["workerId"] != first["workerId"]
    workers = box.call(lambda inside: inside.fleet.workers(endpoint.id))
    assert [worker.version for worker in workers] == [2]
    assert box.call(lambda inside: inside.world.person.balance_usd) < 100

    box.call(lambda inside: inside.world.delete_endpoint(endpoint.id))
    until(lambda: not containers_of(client, endpoint.id), "no container is left")


def test_a_crash_loop_shows_its_exit_code(box: Emulated, client: docker.APIClient, shell_image: str) -> None:
    """The container ends with 7, and again; code, count and both logs tell it, and one container is there at a time."""
    endpoint = make(box, Container(shell_image), workers_min=1)
    worker = until(
        lambda: box.call(lambda b: next((w for w in b.fleet.workers(endpoint.id) if w.restarts >= 2), None)), "two ends"
    )
    assert worker.exit_code == 7
    lines = box.call(lambda inside: inside.fleet.log_lines(worker.id))
    assert [row.line for row in lines if row.source == "container"][:2] == ["going down", "going down"]
    assert "worker exited with exit code 7" in [row.line for row in lines if row.source == "system"]
    assert len(containers_of(client, endpoint.id)) <= 1


def test_a_command_that_is_not_in_the_image(box: Emulated, client: docker.APIClient, shell_image: str) -> None:
    """`args` take the place of the image's command; what can't be executed restarts, and leaves no container."""
    endpoint = make(box, Container(shell_image, args="/bin/python 'a b'"), workers_min=1)
    until(lambda: box.call(lambda b: [w.exit_code for w in b.fleet.workers(endpoint.id)]) == [127], "exit code 127")
    assert any("error starting container" in line and "/bin/python" in line for line in system_lines(box, endpoint))
    assert containers_of(client, endpoint.id) == []


def test_images_are_pulled_with_the_endpoints_login(
    box: Emulated, engine_host: str, client: docker.APIClient, shell_image: str, tmp_path: Path
) -> None:
    """From a private registry: without a login the pull is pending for ever, with it the container starts."""
    with running_registry(tmp_path / "registry", login=True) as private:
        image = f"{private.address}/test/closed:1"
        client.tag(shell_image, f"{private.address}/test/closed", "1")
        auth = {"username": "ada", "password": "secret"}
        assert not [m for m in client.push(image, auth_config=auth, stream=True, decode=True) if "error" in m]
        client.remove_image(image, force=True)

        endpoint = make(box, Container(image, args=WAITS), workers_min=1)
        until(lambda: f"image pull: {image}: pending" in system_lines(box, endpoint), "the pull is pending")
        until(lambda: any("error pulling image" in line for line in system_lines(box, endpoint)), "why")
        (worker,) = box.call(lambda inside: inside.fleet.workers(endpoint.id))
        assert (worker.status, worker.exit_code, worker.started_at) == ("INITIALIZING", None, None)

        login = box.call(lambda inside: inside.world.create_login("closed", "ada", "secret"))
        changed = replace(endpoint, container=replace(endpoint.container, login_id=login.id))
        box.call(lambda inside: inside.world.update_endpoint(endpoint.id, changed))
        until(lambda: [c["State"] for c in containers_of(client, endpoint.id)] == ["running"], "the container runs")
        assert not any("secret" in line for line in system_lines(box, endpoint))
        box.call(lambda inside: inside.world.delete_endpoint(endpoint.id))
        until(lambda: not containers_of(client, endpoint.id), "it is stopped and removed")
        client.remove_image(image, force=True)


def test_a_killed_emulators_containers_are_removed_by_the_next(
    client: docker.APIClient, shell_image: str, tmp_path: Path
) -> None:
    """SIGKILL leaves the container; the next emulator on this machine removes it, and starts one of its own."""
    options = ("--workers", "docker", "--state", tmp_path / "state")
    body = {
        "name": "mine",
        "type": "QUEUE",
        "image": shell_image,
        "args": WAITS,
        "disk": 5,
        "gpu": {"pools": ["ADA_24"]},
        "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4},
        "workers": {"min": 1, "max": 1},
    }
    with emulator_process(tmp_path / "first.log", *options) as first:
        answer = httpx.post(f"{first.url}/v2/serverless", json=body, headers={"Authorization": f"Bearer {KEY}"})
        assert answer.status_code == 201, answer.text
        endpoint_id = answer.json()["id"]
        (orphan,) = until(lambda: containers_of(client, endpoint_id), "a container")
        assert first.end(signal.SIGKILL) == -signal.SIGKILL
    assert [one["Id"] for one in containers_of(client, endpoint_id)] == [orphan["Id"]]
    with emulator_process(tmp_path / "second.log", *options) as second:
        until(lambda: orphan["Id"] not in [one["Id"] for one in containers_of(client, endpoint_id)], "it is removed")
        until(lambda: len(containers_of(client, endpoint_id)) == 1, "one of its own")
        assert second.end(signal.SIGTERM) in (0, -signal.SIGTERM)
    assert containers_of(client, endpoint_id) == []
