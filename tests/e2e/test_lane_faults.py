"""The patch lane through the command, while its registry breaks: one sentence, and the same command again ends right.

No engine is needed: the environment image lies in the registry from the start.
"""

from __future__ import annotations

import gzip
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cutting_proxy import CuttingProxy, cutting_proxy
from handlers import SHOUT
from private_dockerd import small_memory_disk
from registries import PushedTestImage, RunningRegistry, free_port, layer_tar, pusher, running_registry
from registry_front import Front

from factory.clients.registry import DistributionRegistry
from factory.emulator.faults import Fault
from factory.emulator.serve import running

MIB = 1 << 20
LAYER_BYTES = 4 * MIB
BASE = "base.invalid/python@sha256:" + "ab" * 32
RECIPE = """\
name: patched
image: {repository: factory-tests/patched}
handler: handler.py
tests: [{input: {text: hello}, expect: {text: HELLO}}]
"""


@dataclass
class Stage:
    """A recipe, a registry that has its environment, and the way there: proxy → front → registry.

    The front lets nobody mount, so that the environment's layers must be sent: a patch alone is too small to break.
    """

    folder: Path
    registry: RunningRegistry
    proxy: CuttingProxy
    faults: list[Fault]
    environment: PushedTestImage | None = None

    def start(self) -> subprocess.Popen[str]:
        """Start `factory build --push --lane patch` in a process group of its own."""
        command = [sys.executable, "-m", "factory", "build", "patched.yaml", "--push", "--lane", "patch", "--json"]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FACTORY_", "DOCKER_"))}
        env = {
            **kept,
            "FACTORY_HOME": str(self.folder / "home"),
            "FACTORY_REGISTRY": self.proxy.address,
            "FACTORY_BASE": BASE,
            "DOCKER_HOST": "unix:///nowhere/docker.sock",
        }
        return subprocess.Popen(
            command, cwd=self.folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def build(self) -> tuple[int, str]:
        """Run the command to its end; return exit code, and stdout and stderr together."""
        process = self.start()
        out, err = process.communicate(timeout=120)
        return process.returncode, out + err

    def push_environment(self) -> None:
        """Lay the environment that the command asks for into the registry."""
        code, text = self.build()
        assert code == 65, text
        found = re.search(r"factory-tests/factory-shared:(env-[0-9a-f]{16})", text)
        assert found, text
        layers = [gzip.compress(layer_tar({f"usr/lib/{n}": os.urandom(LAYER_BYTES)}), 1, mtime=0) for n in range(2)]
        self.environment = pusher(self.registry).image("factory-tests/factory-shared", found[1], *layers)

    def assert_whole(self, text: str) -> None:
        """The image is in the registry under the tag that was printed, with the environment's layers and its own."""
        assert self.environment
        tag = re.search(r'"tag": "[^"]+/factory-tests/patched:([0-9a-f]{16})"', text)
        assert tag, text
        with DistributionRegistry(lambda _: None) as reader:
            repository = f"{self.registry.address}/factory-tests/patched"
            manifest = reader.manifest(f"{repository}:{tag[1]}")
            for layer in (manifest.config, *manifest.layers):
                assert reader.blob_size(repository, layer.digest) == layer.size_bytes
            assert [layer.digest for layer in manifest.layers][:2] == list(self.environment.layers)
            assert len(manifest.layers) > 2


@contextmanager
def staged(folder: Path, data: Path, port: int) -> Iterator[Stage]:
    """Run a registry over `data` with everything before it."""
    front = Front(f"127.0.0.1:{port}", may_mount=False)
    (folder / "patched.yaml").write_text(RECIPE)
    (folder / "handler.py").write_text(SHOUT)
    with ExitStack() as stack:
        registry = stack.enter_context(running_registry(data, port=port))
        url = stack.enter_context(running(front.app))
        proxy = stack.enter_context(cutting_proxy(url.removeprefix("http://")))
        stage = Stage(folder, registry, proxy, front.faults)
        stage.push_environment()
        proxy.patches = proxy.received_bytes = 0
        yield stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A registry with the environment, and nothing of the image."""
    with staged(tmp_path, tmp_path / "data", free_port()) as found:
        yield found


def test_without_a_fault(stage: Stage) -> None:
    """The image is put together, and the same command again sends nothing."""
    code, text = stage.build()
    assert code == 0, text
    stage.assert_whole(text)
    stage.proxy.received_bytes = 0
    assert stage.build()[0] == 0
    assert stage.proxy.received_bytes < 100_000


def test_a_patch_cut_half_way(stage: Stage) -> None:
    """An upload that breaks off is made again within the same command; the others are sent once."""
    stage.proxy.cuts, stage.proxy.after_bytes = 1, LAYER_BYTES // 2
    code, text = stage.build()
    assert code == 0, text
    stage.assert_whole(text)
    assert stage.proxy.patches == 3
    assert stage.proxy.received_bytes < 3.2 * LAYER_BYTES


def test_a_registry_killed_in_the_middle(stage: Stage) -> None:
    """A registry that is gone is one sentence; started again, the same command ends right."""
    killed: list[int] = []

    def kill() -> None:
        os.kill(stage.registry.pid, signal.SIGKILL)
        killed.append(1)

    stage.proxy.cuts, stage.proxy.after_bytes, stage.proxy.on_cut = 1, LAYER_BYTES // 2, kill
    code, text = stage.build()
    assert killed
    assert code in (62, 64), text
    assert "Traceback" not in text
    with running_registry(stage.registry.folder, port=int(stage.registry.address.rpartition(":")[2])):
        code, text = stage.build()
        assert code == 0, text
        stage.assert_whole(text)


@pytest.mark.parametrize(
    ("path", "method", "exit_code"),
    [("*/manifests/*", "PUT", 64), ("*/blobs/uploads/", "POST", 64), ("*/blobs/sha256*", "HEAD", 64)],
)
def test_a_429_that_asks_for_too_much(stage: Stage, path: str, method: str, exit_code: int) -> None:
    """A long Retry-After ends the command at once with the time in its sentence; what had arrived stays."""
    stage.faults.append(Fault("status", status=429, times=1, wait_s=900, path=path, method=method))
    code, text = stage.build()
    assert (code, "900 s" in text) == (exit_code, True), text
    sent_bytes = stage.proxy.received_bytes
    code, text = stage.build()
    assert code == 0, text
    stage.assert_whole(text)
    # Both runs together sent each layer once, but for one that the first run's end may have broken off.
    assert stage.proxy.received_bytes < 3.2 * LAYER_BYTES, sent_bytes


def test_a_short_429_is_waited_out(stage: Stage) -> None:
    """A registry that asks for a second gets it, and the command ends right."""
    stage.faults.append(Fault("status", status=429, times=2, wait_s=1, path="*/blobs/uploads/*", method="PUT"))
    code, text = stage.build()
    assert code == 0, text
    stage.assert_whole(text)
    assert stage.proxy.patches == 2


def test_a_full_disk(tmp_path: Path) -> None:
    """A registry without room is one sentence; with room, the same command ends right."""
    with (
        small_memory_disk(tmp_path / "disk", 11 * MIB) as disk,
        staged(tmp_path, disk / "data", free_port()) as stage,
    ):
        code, text = stage.build()
        assert code == 63, text
        assert "is full" in text
        subprocess.run(["mount", "-o", f"remount,size={64 * MIB}", str(disk)], check=True)
        code, text = stage.build()
        assert code == 0, text
        stage.assert_whole(text)


POINTS: dict[str, Callable[[str], bool]] = {
    "the first question": lambda line: line.startswith(("HEAD", "GET")),
    "an upload begins": lambda line: line.startswith("POST"),
    "a blob is streamed": lambda line: line.startswith("PATCH"),
    "a blob is closed": lambda line: line.startswith("PUT") and "/blobs/" in line,
    "the manifest is put": lambda line: line.startswith("PUT") and "/manifests/" in line,
}


@pytest.mark.parametrize("point", POINTS)
def test_factory_killed(stage: Stage, point: str) -> None:
    """A command that was killed, wherever, does no harm: the same one again ends right."""
    running_now: list[subprocess.Popen[str]] = []

    def kill(line: str) -> None:
        if running_now and POINTS[point](line):
            running_now.pop().kill()

    stage.proxy.on_request = kill
    process = stage.start()
    running_now.append(process)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    code, text = stage.build()
    assert code == 0, text
    stage.assert_whole(text)
    assert stage.proxy.received_bytes < 4.2 * LAYER_BYTES
