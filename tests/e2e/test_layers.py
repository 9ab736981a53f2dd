"""`factory layers` on images that were really built: the shipped recipe passes the diet, and a fat one is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from factory.clients.docker_engine import DockerEngine
from factory.emulator.hub import create_hub
from factory.emulator.serve import running

pytestmark = pytest.mark.engine

TESTS = Path(__file__).parent.parent
MB = 1_000_000
FAT = """\
name: fat
image:
  repository: factory-tests/fat
  steps:
    - mkdir -p /root/.cache/pip /opt/kept && head -c 3000000 /dev/urandom > /root/.cache/pip/wheel
    - >-
      head -c 4000000 /dev/urandom > /opt/kept/weights && head -c 2000000 /dev/urandom > /opt/kept/a
      && cp /opt/kept/a /opt/b
    - chmod 600 /opt/kept/weights
handler: echo
tests: [{input: {a: 1}, expect: {a: 1}}]
"""


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    """A hub with the listings of the shipped recipes' models."""
    with running(create_hub(TESTS / "fixtures" / "hub")) as url:
        yield url


@pytest.fixture
def made(engine_host: str, registry: str, base_image: str) -> Iterator[set[str]]:
    """Names of images that the engine forgets at the end."""
    names: set[str] = set()
    yield names
    for name in names:
        DockerEngine(engine_host).remove(name)


def call(hub: str, home: Path, *arguments: str | Path) -> Any:
    """Run the command with --json, which must succeed, and return what it printed."""
    env = {**os.environ, "FACTORY_HOME": str(home), "HF_ENDPOINT": hub}
    command = [sys.executable, "-m", "factory", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", ["echo", "minilm"])  # the others bring 3 GB of CUDA
def test_a_shipped_recipe_passes_the_diet(name: str, hub: str, made: set[str], tmp_path: Path) -> None:
    """As it is shipped, nothing above its base is carried in vain."""
    recipe = TESTS.parent / "recipes" / f"{name}.yaml"
    [built] = call(hub, tmp_path, "build", recipe, "--push")
    made.add(built["tag"])
    [pushed] = call(hub, tmp_path, "layers", recipe)["recipes"]
    assert pushed["source"] == "registry"
    assert [finding for finding in pushed["findings"] if finding["is_certain"]] == []
    assert {layer["step"] for layer in pushed["layers"]} >= {"base", "runtime", "code"}
    assert sum(layer["stored_bytes"] for layer in pushed["layers"]) > 80 * MB


def test_a_fat_image_is_told_byte_by_byte(hub: str, made: set[str], tmp_path: Path) -> None:
    """A cache, a file that a later step copies up, and a copy: each with its bytes, its step and the line to write."""
    recipe = tmp_path / "fat.yaml"
    recipe.write_text(FAT)
    [built] = call(hub, tmp_path, "build", recipe)
    made.add(built["tag"])
    [seen] = call(hub, tmp_path, "layers", recipe)["recipes"]
    assert seen["source"] == "engine"
    found = {finding["kind"]: finding for finding in seen["findings"] if finding["is_certain"]}
    assert {kind: (finding["layer"], finding["size_bytes"]) for kind, finding in found.items()} == {
        "rewritten later": ("step 2", 4_000_000),
        "package cache": ("step 1", 3_000_000),
        "twice": ("step 2", 2_000_000),
    }
    assert "image.steps: make step 2 and step 3 one line" in found["rewritten later"]["change"]
    assert found["package cache"]["change"].endswith("&& rm -rf /root/.cache /root/.npm")
