"""Weights baked through the command with no engine: a hub, a registry that has the environment, what lies before it.

The environment is an image of a few files that lies in the registry from the start.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cutting_proxy import CuttingProxy, cutting_proxy
from registries import RunningRegistry, free_port, pusher, running_registry
from registry_front import Front

from factory.clients.registry import DistributionRegistry
from factory.emulator.faults import Fault
from factory.emulator.hub import create_hub
from factory.emulator.serve import running

MIB = 1 << 20
LAYER_BYTES = 4 * MIB  # of each of three models: the small files of a model are one layer
MODELS = ("one", "two", "three")
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
    """A recipe in a folder, a hub, a registry that has the environment, and the way there: proxy → front → registry.

    The front fails calls as told in `faults`.
    """

    folder: Path
    hub: str
    registry: RunningRegistry
    proxy: CuttingProxy
    faults: list[Fault]

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

    @property
    def arrived(self) -> int:
        """How many of the models' layers lie in the registry whole."""
        blobs = (self.registry.folder / "docker/registry/v2/blobs").rglob("data")
        return sum(path.stat().st_size >= LAYER_BYTES for path in blobs)

    @property
    def opened(self) -> list[Path]:
        """The uploads that the registry still keeps bytes of."""
        return list(self.registry.folder.glob("docker/registry/v2/repositories/**/_uploads/*/data"))

    def sends_the_rest(self) -> None:
        """Run the command, which must end right and send what hasn't arrived whole, and no more."""
        missing = len(MODELS) - self.arrived
        self.proxy.received_bytes = 0
        self.built()
        assert self.proxy.received_bytes < missing * LAYER_BYTES + MIB

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
        front = Front(registry.address)
        url = stack.enter_context(running(front.app))
        proxy = stack.enter_context(cutting_proxy(url.removeprefix("http://")))
        stage = Stage(folder, hub, registry, proxy, front.faults)
        stage.push_environment()
        proxy.patches = proxy.received_bytes = 0
        yield stage


@contextmanager
def three_models(folder: Path) -> Iterator[Stage]:
    """A recipe of three models, each of which is one layer."""
    for name in ("own", "data"):
        (folder / name).mkdir()
    models = {name: {"model.safetensors": os.urandom(LAYER_BYTES), "config.json": b"{}"} for name in MODELS}
    with staged(folder / "own", folder / "data", models) as found:
        yield found
