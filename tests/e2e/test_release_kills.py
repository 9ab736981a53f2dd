"""SIGKILL in build, push and verify of `factory release`, with a real engine and registry; the account is emulated."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
from forked_cli import ForkedCli, Process, forked_cli
from hand_made import holdings
from runpod_box import KEY, Emulated, emulated

from factory.clients.docker_containers import LABEL
from factory.clients.docker_engine import DockerEngine
from factory.emulator.runpod.clock import RealClock
from factory.emulator.runpod.launch_inline import InlineLauncher

pytestmark = pytest.mark.engine

NAME = "killed-release"
HANDLER = """\
import time

class Handler:
    def load(self, model_dir):
        pass

    def __call__(self, inputs):
        time.sleep(inputs["wait"])
        return {"text": inputs["text"].upper()}
"""


@dataclass
class Machine:
    """The command on this machine's engine and registry, with a recipe in a folder of its own."""

    folder: Path
    cli: ForkedCli
    engine_host: str
    runpod: Emulated

    def start(self, *words: str) -> Process:
        """Start `factory release` on the recipe."""
        env = {**os.environ, "FACTORY_HOME": str(self.folder / "home"), "RUNPOD_API_KEY": KEY}
        env |= {"RUNPOD_API_BASE_URL": self.runpod.url, "RUNPOD_ENDPOINT_BASE_URL": self.runpod.jobs_url}
        return self.cli.start("release", f"{NAME}.yaml", *words, env=env, folder=self.folder)

    def containers(self) -> list[Any]:
        """Return the containers that verify started."""
        with contextlib.closing(docker.APIClient(base_url=self.engine_host, version="auto")) as client:
            found: list[Any] = client.containers(all=True, filters={"label": LABEL})
        return [container for container in found if NAME in container["Image"]]


def answer(job_input: dict[str, object]) -> dict[str, object]:
    """Do what the recipe's handler does, at once."""
    return {"text": str(job_input["text"]).upper()}


@pytest.fixture
def machine(engine_host: str, registry: str, base_image: str, tmp_path: Path) -> Iterator[Machine]:
    """A recipe whose build, worker and job each take a moment, and an empty account."""
    (tmp_path / "handler.py").write_text(HANDLER)
    step = f"echo {secrets.token_hex(8)} && sleep 2"  # BuildKit has never run it
    (tmp_path / f"{NAME}.yaml").write_text(
        f"name: {NAME}\nimage: {{repository: factory-tests/{NAME}, steps: ['{step}']}}\n"
        "handler: handler.py\ntests: [{input: {text: hello, wait: 2}, expect: {text: HELLO}}]\n"
    )
    with emulated(clock=RealClock(), launcher=InlineLauncher(answer)) as runpod, forked_cli() as cli:
        yield Machine(tmp_path, cli, engine_host, runpod)
    engine = DockerEngine(engine_host)
    for names in holdings(engine_host).images.values():
        for name in names:
            if f"/factory-tests/{NAME}:" in name:
                engine.remove(name)


def test_each_stage_goes_on_where_it_was_killed(machine: Machine) -> None:
    """Killed four times on its way, a release ends as any other, did nothing twice, and no container stays."""
    for line in ("sleep 2", f"✓ {NAME} build", f"✓ {NAME} push"):
        process = machine.start()
        process.until(lambda process=process, line=line: line in process.err, line, 120)  # type: ignore[misc]
        assert process.kill().code == -9
    assert f"✓ {NAME} build" in process.err and "unchanged" in process.err.split("build")[1].splitlines()[0]
    process = machine.start()
    process.until(machine.containers, "the worker that verify starts", 120)
    assert process.kill().code == -9
    assert len(machine.containers()) == 1, "a killed process can't have cleaned up"

    done = machine.start("--json").wait(180)
    assert done.code == 0, done.err
    assert machine.containers() == []
    states = {stage["stage"]: stage["state"] for stage in json.loads(done.out)["stages"]}
    assert (states["build"], states["push"], states["verify"]) == ("unchanged", "unchanged", "done")
    world = machine.runpod.box.world
    (endpoint,) = world.endpoints.values()
    (template,) = [one for one in world.templates.values() if one.bound_endpoint_id is None]
    assert endpoint.container.image == template.container.image
    assert endpoint.container.image.startswith(f"{os.environ['FACTORY_REGISTRY']}/factory-tests/{NAME}@sha256:")
