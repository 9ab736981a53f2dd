"""Weights baked through the command with no engine: from a disk smaller than the model, killed, and read by others.

The environment is an image of a few files that lies in the registry from the start, so these tests need no engine.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cutting_proxy import CuttingProxy, cutting_proxy
from private_dockerd import small_memory_disk
from registries import RunningRegistry, free_port, pusher, running_registry

from factory.clients.registry import DistributionRegistry
from factory.emulator.hub import create_hub
from factory.emulator.serve import running

MIB = 1 << 20
LAYER_BYTES = 4 * MIB  # of each of three models: the small files of a model are one layer
MODELS = ("one", "two", "three")
DISK_BYTES, LARGER_BYTES = 16 * MIB, 65 * MIB
BASE = "base.invalid/python@sha256:" + "ab" * 32
RECIPE = """\
name: baked
models: [{models}]
image: {{repository: factory-tests/baked}}
handler: echo
tests: [{{input: {{a: 1}}, expect: {{a: 1}}}}]
"""


@dataclass
class Stage:
    """A hub, a registry that has the environment, the proxy before it, and a recipe in a folder."""

    folder: Path
    hub: str
    registry: RunningRegistry
    proxy: CuttingProxy

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start `factory build --push --lane patch`; all that it may write to is below the folder."""
        command = [sys.executable, "-m", "factory", "build", "baked.yaml", "--push", "--lane", "patch", "--json"]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FACTORY_", "DOCKER_"))}
        own = {
            "FACTORY_HOME": str(self.folder / "home"),
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "HF_ENDPOINT": self.hub,
            "FACTORY_REGISTRY": self.proxy.address,
            "FACTORY_BASE": BASE,
            "DOCKER_HOST": "unix:///nowhere/docker.sock",
        }
        return subprocess.Popen(
            [*command, *words],
            cwd=self.folder,
            env={**kept, **own},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def build(self, *words: str) -> tuple[int, str, str]:
        """Run the command to its end; return exit code, stdout and stderr."""
        process = self.start(*words)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def built(self, *words: str) -> dict[str, Any]:
        """Run the command, which must end right; every layer that its image names is there."""
        code, out, err = self.build(*words)
        assert code == 0, err
        record: dict[str, Any] = json.loads(out)[0]
        with DistributionRegistry(lambda _: None) as reader:
            manifest = reader.manifest(record["image"])
            for layer in (manifest.config, *manifest.layers):
                assert reader.blob_size(record["image"].partition("@")[0], layer.digest) == layer.size_bytes
        return record

    def push_environment(self) -> None:
        """Lay the environment that the command asks for into the registry."""
        code, _, err = self.build()
        assert code == 65, err
        found = re.search(r"factory-tests/factory-shared:(env-[0-9a-f]{16})", err)
        assert found, err
        pusher(self.registry).image("factory-tests/factory-shared", found[1])

    def kill_at(self, due: Callable[[str], bool]) -> None:
        """Run the command, and SIGKILL it before the request that is due goes on."""
        process = self.start()
        self.proxy.on_request = lambda line: process.kill() if due(line) else None
        process.communicate(timeout=120)
        self.proxy.on_request = lambda _line: None
        assert process.returncode == -signal.SIGKILL


@contextmanager
def staged(folder: Path, data: Path, models: Mapping[str, Mapping[str, bytes]]) -> Iterator[Stage]:
    """Serve models and a registry over `data`; the command's own files lie in `folder`."""
    for name, files in models.items():
        for path, content in files.items():
            place = data / "hub" / "org" / name / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
    listed = ", ".join(f"{{repo: org/{name}, placement: image}}" for name in models)
    (folder / "baked.yaml").write_text(RECIPE.format(models=listed))
    (data / "blobs").mkdir()
    with ExitStack() as stack:
        hub = stack.enter_context(running(create_hub(data / "hub")))
        registry = stack.enter_context(running_registry(data / "blobs", port=free_port()))
        proxy = stack.enter_context(cutting_proxy(registry.address))
        stage = Stage(folder, hub, registry, proxy)
        stage.push_environment()
        proxy.patches = proxy.received_bytes = 0
        yield stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A recipe of three models, each of which is one layer."""
    (tmp_path / "own").mkdir()
    (tmp_path / "data").mkdir()
    models = {name: {"model.safetensors": os.urandom(LAYER_BYTES), "config.json": b"{}"} for name in MODELS}
    with staged(tmp_path / "own", tmp_path / "data", models) as found:
        yield found


def nth(method: str, number: int, path: str) -> Callable[[str], bool]:
    """Return what is due at the n-th request of a method."""
    seen: list[str] = []

    def due(line: str) -> bool:
        seen.extend([line] if line.startswith(f"{method} ") and path in line else [])
        return len(seen) == number

    return due


@pytest.mark.parametrize(
    ("method", "path", "number", "arrived"),
    [
        ("PATCH", "", 3, 1),  # two go at once, so of three one has arrived whole
        ("PUT", "factory-tests/baked/manifests/", 1, 3),  # all have; the image alone is missing
    ],
    ids=["under way", "before the manifest"],
)
def test_killed_and_begun_again(stage: Stage, method: str, path: str, number: int, arrived: int) -> None:
    """The same command after SIGKILL ends right, and what had arrived whole is not sent again."""
    stage.kill_at(nth(method, number, path))
    stage.proxy.received_bytes = 0
    stage.built()
    assert stage.proxy.received_bytes < (len(MODELS) - arrived) * LAYER_BYTES + MIB
    stage.proxy.received_bytes = 0
    stage.built("--force")
    assert stage.proxy.received_bytes < MIB // 4


def test_a_model_larger_than_the_disk(tmp_path: Path) -> None:
    """65 MiB are baked where home, temporary folder and working directory have 16 MiB between them."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a tmpfs: run it as root")
    (tmp_path / "data").mkdir()
    models = {"large": {"model.safetensors": os.urandom(LARGER_BYTES)}}
    with (
        small_memory_disk(tmp_path / "own", DISK_BYTES) as disk,
        staged(disk, tmp_path / "data", models) as stage,
    ):
        assert stage.built()["sent_bytes"] > LARGER_BYTES


@pytest.mark.parametrize("compress", ["gzip", "none"])
def test_others_read_it(tmp_path: Path, compress: str) -> None:
    """skopeo copies the image, which checks each digest; podman pulls it, and its files are the Hub's."""
    files = {"model.safetensors": os.urandom(MIB) + bytes(MIB), "deep/er/vocab.txt": b"a\nb\n", "empty.txt": b""}
    for name in ("own", "data"):
        (tmp_path / name).mkdir()
    with staged(tmp_path / "own", tmp_path / "data", {"small": files}) as stage:
        image = stage.built("--compress", compress)["image"]
        _run("skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{image}", f"oci:{tmp_path / 'layout'}:x")
        with tempfile.TemporaryDirectory(prefix="podman-") as short:  # podman allows a run root 50 characters
            podman = ("podman", "--root", str(tmp_path / "root"), "--runroot", short, "--storage-driver", "vfs")
            _run(*podman, "pull", "-q", "--tls-verify=false", image)
            root = Path(_run(*podman, "image", "mount", image).strip())
            for path, content in files.items():
                found = (root / "models" / "small" / path).read_bytes()
                assert hashlib.sha256(found).digest() == hashlib.sha256(content).digest(), path
            _run(*podman, "image", "umount", "--force", image)
            _run(*podman, "rmi", "-f", image)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout
