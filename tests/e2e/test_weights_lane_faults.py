"""The weights lane while its registry breaks, or it is killed: one sentence, and again it ends right, sending the rest.

Real processes, a real registry and the emulated Hub; no engine is needed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cutting_proxy import CuttingProxy, cutting_proxy
from private_dockerd import small_memory_disk
from registries import RunningRegistry, free_port, running_registry
from weights_site import site

from factory.clients.registry import DistributionRegistry

MIB = 1 << 20
LAYER_BYTES = 64 * MIB  # such a file has a layer of its own (factory/lanes/packing.py)
FILES = {f"model-{number}.safetensors": bytes([number]) * LAYER_BYTES for number in range(3)}
TOTAL_BYTES = 3 * LAYER_BYTES
BAKE = """
import json, sys
from factory.clients.huggingface import HuggingFaceHub
from factory.clients.registry import DistributionRegistry
from factory.clients.registry_store import DistributionStore
from factory.errors import FactoryError
from factory.lanes.weights import bake
from factory.records import ModelFiles, tell_nobody
url, repository, shared = sys.argv[1:]
hub = HuggingFaceHub(url, None)
commit = hub.info("org/m", "main").commit
model = ModelFiles("org/m", "m", "main", commit, tuple(hub.files("org/m", commit)), "image", 0)
with DistributionStore(lambda _: None, patience_s=5) as store, DistributionRegistry(lambda _: None) as registry:
    try:
        layers = bake(
            [model], repository, shared, hub, store, registry, compress="none", is_oci=True, tell=tell_nobody
        )
    except FactoryError as error:
        sys.exit(print(error, file=sys.stderr) or error.exit_code)
print(json.dumps([(layer.blob.digest, layer.blob.size_bytes) for layer in layers]))
"""


@dataclass
class Oven:
    """The lane as a process of its own, towards a registry behind a proxy."""

    hub_url: str
    registry: RunningRegistry
    proxy: CuttingProxy

    def start(self) -> subprocess.Popen[str]:
        """Begin to bake."""
        names = (f"{self.proxy.address}/ada/{name}" for name in ("baked", "factory-shared"))
        command = [sys.executable, "-c", BAKE, self.hub_url, *names]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def bake(self) -> tuple[int, str]:
        """Bake to the end; return exit code, and stdout and stderr together."""
        process = self.start()
        out, err = process.communicate(timeout=120)
        return process.returncode, out + err

    def assert_whole(self, text: str) -> None:
        """Every layer that was printed lies in the repository."""
        layers = json.loads(text)
        assert sum(size for _, size in layers) > TOTAL_BYTES
        with DistributionRegistry(lambda _: None) as reader:
            for digest, size in layers:
                assert reader.blob_size(f"{self.registry.address}/ada/baked", digest) == size

    def once(self, due: Callable[[str], bool], act: Callable[[], None]) -> None:
        """Do something before the request that is due goes on to the registry."""
        waiting = [act]

        def look(line: str) -> None:
            if waiting and due(line):
                waiting.pop()()

        self.proxy.on_request = look


@contextmanager
def oven_at(tmp_path: Path, data: Path) -> Iterator[Oven]:
    """A hub, a registry over `data`, and the proxy between us and it."""
    port = free_port()
    with (
        site(tmp_path, FILES) as hub,
        running_registry(data, port=port) as registry,
        cutting_proxy(registry.address) as proxy,
    ):
        yield Oven(hub.url, registry, proxy)


@pytest.fixture
def oven(tmp_path: Path) -> Iterator[Oven]:
    """A hub with a model of three large files and an empty registry."""
    with oven_at(tmp_path, tmp_path / "data") as found:
        yield found


def nth_patch(number: int) -> Callable[[str], bool]:
    """Return what is due on the n-th streamed upload: two go at once, so of three one has arrived whole."""
    seen: list[str] = []

    def due(line: str) -> bool:
        seen.extend([line] if line.startswith("PATCH") else [])
        return len(seen) == number

    return due


def assert_the_rest_is_sent(oven: Oven) -> None:
    """Bake again: it ends right, and what had arrived whole is not sent twice."""
    oven.proxy.received_bytes = 0
    code, text = oven.bake()
    assert code == 0, text
    oven.assert_whole(text)
    assert oven.proxy.received_bytes < TOTAL_BYTES - LAYER_BYTES + MIB


def test_a_patch_cut_half_way(oven: Oven) -> None:
    """A layer whose upload broke off is sent again within the same run, the others once; a second run sends nothing."""
    oven.proxy.cuts, oven.proxy.after_bytes = 1, LAYER_BYTES // 2
    code, text = oven.bake()
    assert code == 0, text
    oven.assert_whole(text)
    assert oven.proxy.received_bytes < TOTAL_BYTES + LAYER_BYTES * 3 // 4
    oven.proxy.received_bytes = 0
    assert oven.bake()[0] == 0
    assert oven.proxy.received_bytes < MIB // 4


def test_a_registry_killed_in_the_middle(oven: Oven) -> None:
    """A registry that is gone is one sentence; started again, only the rest is sent."""
    oven.once(nth_patch(3), lambda: os.kill(oven.registry.pid, signal.SIGKILL))
    code, text = oven.bake()
    assert code == 62, text
    assert "Traceback" not in text
    with running_registry(oven.registry.folder, port=int(oven.registry.address.rpartition(":")[2])):
        assert_the_rest_is_sent(oven)


def test_killed_in_the_middle(oven: Oven) -> None:
    """A run that was killed goes on at the layer it was at."""
    process = oven.start()
    oven.once(nth_patch(3), process.kill)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert_the_rest_is_sent(oven)


def test_a_full_disk(tmp_path: Path) -> None:
    """A registry without room is one sentence; with room, the same run ends right."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a tmpfs: run it as root")
    with small_memory_disk(tmp_path / "disk", 100 * MIB) as disk, oven_at(tmp_path, disk / "data") as oven:
        code, text = oven.bake()
        assert code == 63, text
        assert "is full" in text
        subprocess.run(["mount", "-o", f"remount,size={400 * MIB}", str(disk)], check=True)
        code, text = oven.bake()
        assert code == 0, text
        oven.assert_whole(text)
