"""Weights baked into an image with no engine between: the whole command, a real engine, registry and hub."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from registries import RunningRegistry, running_registry

from factory.clients.docker_engine import DockerEngine
from factory.emulator.hub import create_hub
from factory.emulator.serve import running
from factory.records import BuildOptions

pytestmark = pytest.mark.engine

LARGE_BYTES = 70 << 20  # a layer of its own
RECIPE = """\
name: {name}
model: {{repo: org/model, placement: image}}
image: {{repository: baking/{name}}}
handler: echo
tests: [{{input: {{a: 1}}, expect: {{a: 1}}}}]
"""
SUMS = ["sh", "-c", "cd /models && find . -type f -exec sha256sum {} + | sort; find . -printf '%m %U %G %p\\n' | sort"]


@dataclass
class Bench:
    """A hub of one model, a registry of its own, and the images to forget."""

    hub: str
    registry: RunningRegistry
    base: str
    home: Path
    made: set[str] = field(default_factory=set)

    def recipe(self, name: str) -> Path:
        """Write a recipe."""
        path = self.home / f"{name}.yaml"
        path.write_text(RECIPE.format(name=name))
        return path

    def build(self, name: str, *arguments: str, **environ: str) -> dict[str, Any]:
        """Build and push, and return what was printed."""
        done = self.run(name, *arguments, **environ)
        assert done.returncode == 0, done.stderr
        [built] = json.loads(done.stdout)
        self.made |= {built["tag"], built["image"]}
        return dict(built)

    def run(self, name: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Build and push, however it ends."""
        command = [sys.executable, "-m", "factory", "build", str(self.recipe(name)), "--push", "--json", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, env=self.env(**environ), timeout=300, check=False
        )

    def run_without_disk(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run with no engine, and files of at most 1 MiB allowed."""
        code = (
            "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20));"
            " sys.argv[0] = 'factory'; runpy.run_module('factory', run_name='__main__')"
        )
        command = [sys.executable, "-c", code, "build", str(self.recipe(name)), "--push", "--json", *arguments]
        env = self.env(FACTORY_HOME=str(self.home / f"small-{name}"), DOCKER_HOST="unix:///nowhere.sock")
        return subprocess.run(command, capture_output=True, text=True, env=env, timeout=300, check=False)

    def env(self, **environ: str) -> dict[str, str]:
        """Return the environment of a command."""
        own = {
            "FACTORY_HOME": str(self.home / "home"),
            "HF_ENDPOINT": self.hub,
            "FACTORY_REGISTRY": self.registry.address,
            "FACTORY_BASE": self.base,
        }
        return {**os.environ, **own, **environ}


@pytest.fixture(scope="module")
def bench(
    engine_host: str, base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Bench, dict[str, str]]]:
    """The bench, and the sha256 of each file by its path."""
    home = tmp_path_factory.mktemp("baking")
    folder, digests = home / "hub" / "org" / "model", {}
    some = random.Random(6)
    contents = {"config.json": b"{}", "empty.txt": b"", "deep/er/vocab.txt": b"a\nb\n"}
    contents |= {"model.safetensors": some.randbytes(LARGE_BYTES)}
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
        digests[path] = hashlib.sha256(content).hexdigest()
    (home / "blobs").mkdir()
    with running(create_hub(home / "hub")) as hub, running_registry(home / "blobs", has_access_log=True) as registry:
        bench = Bench(hub, registry, base_image, home)
        yield bench, digests
        for name in bench.made:
            DockerEngine(engine_host).remove(name)


def test_baked_files_are_the_hubs(bench: tuple[Bench, dict[str, str]], engine_host: str) -> None:
    """The pulled image has the Hub's bytes and the Docker line's modes and owners; a second recipe sends none again."""
    place, digests = bench
    built = place.build("one")
    engine = DockerEngine(engine_host)
    engine.pull(str(built["image"]), lambda _: None)
    code, said = engine.run_once(str(built["image"]), SUMS, environment={}, options=BuildOptions())
    assert code == 0, said
    for path, digest in digests.items():
        assert any(line.split()[0] == digest and line.endswith(f"/{path}") for line in said.splitlines()), path
    second = place.build("two")
    assert int(second["sent_bytes"]) < 200_000
    docker = place.build("three", "--lane", "docker")
    _, reference = engine.run_once(str(docker["image"]), SUMS, environment={}, options=BuildOptions())
    assert said == reference


@pytest.mark.parametrize("program", [["skopeo", "inspect", "--tls-verify=false"]])
def test_others_read_it(bench: tuple[Bench, dict[str, str]], program: list[str]) -> None:
    """skopeo reads the image, packed or not."""
    place, _ = bench
    for compress in ("gzip", "none"):
        built = place.build(f"read-{compress}", "--compress", compress)
        done = subprocess.run([*program, f"docker://{built['image']}"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert len(json.loads(done.stdout)["Layers"]) > 2


def test_no_disk_and_no_engine(bench: tuple[Bench, dict[str, str]]) -> None:
    """With the environment in the registry, 70 MiB are baked by a process that can write no file over 1 MiB."""
    place, _ = bench
    place.build("environment", "--compress", "gzip")
    index = place.registry.folder / "docker/registry/v2/repositories/baking/factory-shared/_manifests/tags"
    for tag in index.glob("weights-*"):
        shutil.rmtree(tag)  # as if no recipe had ever sent them
    done = place.run_without_disk("no-disk", "--lane", "patch")
    assert done.returncode == 0, done.stderr
    [built] = json.loads(done.stdout)
    assert int(built["sent_bytes"]) > LARGE_BYTES
