"""Weights baked into an image with no engine between: the whole command, beside Docker's own line, run by dockerd."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from factory.clients.docker_engine import DockerEngine
from factory.clients.registry import DistributionRegistry
from factory.emulator.hub import create_hub
from factory.emulator.serve import running
from factory.records import BuildOptions

pytestmark = pytest.mark.engine

NOISE_BYTES, TEXT_BYTES = 2 << 20, 3 << 20
RECIPE = """\
name: {name}
model: {{repo: org/model, placement: image}}
image: {{repository: factory-lanes/baked-{name}}}
handler: handler.py
tests: [{{input: {{path: model.safetensors}}, expect: {{sha256: "{sha256}"}}}}]
"""
HANDLER = """\
import hashlib


class Handler:
    def load(self, model_dir):
        self.folder = model_dir

    def __call__(self, inputs):
        content = (self.folder / inputs["path"]).read_bytes()
        return {"sha256": hashlib.sha256(content).hexdigest()}
"""
SUMS = "cd /models && find . -type f -exec sha256sum {} + | sort; find . -printf '%m %U %G %p\\n' | sort"
JOB = """echo '{"input": {"path": "model.safetensors"}}' | python -m worker_runtime --test-input - 2>/dev/null"""
NOWHERE = "unix:///nowhere/docker.sock"


@dataclass
class Bench:
    """A hub of one model, a registry, and the images to forget; `digests` is sha256 by path."""

    hub: str
    registry: str
    base: str
    home: Path
    digests: dict[str, str]
    engine: DockerEngine
    made: set[str] = field(default_factory=set)

    def build(self, name: str, *arguments: str, **environ: str) -> dict[str, Any]:
        """Build, and return what was printed."""
        recipe = self.home / f"{name}.yaml"
        recipe.write_text(RECIPE.format(name=name, sha256=self.digests["model.safetensors"]))
        own = {
            "FACTORY_HOME": str(self.home / "home"),
            "HF_ENDPOINT": self.hub,
            "FACTORY_REGISTRY": self.registry,
            "FACTORY_BASE": self.base,
        }
        command = [sys.executable, "-m", "factory", "build", str(recipe), "--json", *arguments]
        env = {**os.environ, **own, **environ}
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        [built] = json.loads(done.stdout)
        self.made |= {built[name] for name in ("tag", "image") if built.get(name)}
        return dict(built)

    def in_container(self, image: str, script: str) -> str:
        """Return what a shell script prints in an image of the engine."""
        code, said = self.engine.run_once(image, ["sh", "-c", script], environment={}, options=BuildOptions())
        assert code == 0, said
        return said

    def layer_types(self, image: str) -> set[str]:
        """Return the media types of an image's layers."""
        with DistributionRegistry(lambda _: None) as reader:
            return {layer.media_type for layer in reader.manifest(image).layers}


@pytest.fixture(scope="module")
def bench(
    engine_host: str, base_image: str, registry: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    """The bench; its model has a file that packs well and one that doesn't."""
    home = tmp_path_factory.mktemp("baking")
    folder = home / "hub" / "org" / "model"
    contents = {"config.json": b"{}", "empty.txt": b"", "deep/er/vocab.txt": b"a\nb\n"}
    # Noise that no registry has met: both files are in one layer.
    contents |= {"model.safetensors": os.urandom(NOISE_BYTES), "text.bin": b"weights " * (TEXT_BYTES // 8)}
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    (home / "handler.py").write_text(HANDLER)
    digests = {path: hashlib.sha256(content).hexdigest() for path, content in contents.items()}
    with running(create_hub(home / "hub")) as hub:
        bench = Bench(hub, registry, base_image, home, digests, DockerEngine(engine_host))
        yield bench
        for name in bench.made:
            bench.engine.remove(name)


def test_baked_images_are_dockers(bench: Bench) -> None:
    """gzip or not: pulled by dockerd they have the files of Docker's own line, and answer the test job as it does."""
    packed = bench.build("gzip", "--push", "--compress", "gzip")  # the engine makes the environment, where none is
    plain = bench.build("none", "--push", "--compress", "none", "--lane", "patch", DOCKER_HOST=NOWHERE)
    again = bench.build("again", "--push", "--lane", "patch", DOCKER_HOST=NOWHERE)
    assert again["sent_bytes"] < 200_000, "a second recipe with these weights sends none"
    docker = bench.build("docker", "--lane", "docker")
    files = bench.in_container(docker["tag"], SUMS)
    for path, digest in bench.digests.items():
        assert f"{digest}  ./model/{path}\n" in files, path
    answer = json.loads(bench.in_container(docker["tag"], JOB).splitlines()[-1])
    assert bench.digests["model.safetensors"] in json.dumps(answer)
    for built, kind in ((packed, "tar.gzip"), (plain, "tar")):
        assert any(found.endswith(f".{kind}") for found in bench.layer_types(built["image"]))
        bench.engine.pull(built["image"], lambda _: None)
        assert bench.in_container(built["image"], SUMS) == files
        assert json.loads(bench.in_container(built["image"], JOB).splitlines()[-1]) == answer
