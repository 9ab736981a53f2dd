"""A volume that is truly full: a file system of its own, a program that gets ENOSPC, and room that truly comes."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path
from typing import Any

import pytest
from program_launcher import ProgramLauncher
from release_bench import workshop
from scenes import Scene

from factory.emulator.runpod.disks import BLOCK_BYTES, is_mounted, why_no_loop
from factory.emulator.runpod.launcher import Handle, Order, Say

MOUNT = "/runpod-volume"
KEEP = "import os, sys; path = sys.argv[1] + '/weights.part'; open(path, 'wb').write(bytes(10**6)); os.remove(path)"


class Ended:
    """A worker that has ended."""

    def __init__(self, name: str, code: int) -> None:
        self.name = name
        self._code = code

    async def poll(self) -> int | None:
        """Return its exit code."""
        return self._code

    async def stop(self, grace_s: float) -> None:
        """It has."""


class KeepingLauncher(ProgramLauncher):
    """Workers that begin with a megabyte on their volume, as a download does; those that can't, end."""

    def __init__(self) -> None:
        super().__init__()
        self.volume: Path | None = None

    async def start(self, order: Order, say: Say) -> Handle:
        """Write first; then serve."""
        assert order.volume_folder is not None
        self.volume = order.volume_folder
        keep = (sys.executable, "-c", KEEP, str(order.volume_folder))
        process = await asyncio.create_subprocess_exec(*keep, stdout=PIPE, stderr=STDOUT)
        said, _ = await process.communicate()
        for line in said.decode().splitlines():
            say("container", line.replace(str(order.volume_folder), MOUNT))
        return Ended(order.worker.id, process.returncode) if process.returncode else await super().start(order, say)


def fill(folder: Path) -> None:
    """Lay a file there that takes every free block: in ever smaller steps, as the last ones go to its own map."""
    assert is_mounted(folder), "without a file system of its own this would fill the machine's disk"
    with (folder / "dataset.bin").open("ab") as file:
        step = shutil.disk_usage(folder).free
        while step >= BLOCK_BYTES:
            try:
                os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), step)
            except OSError:
                step //= 2


def test_a_full_volume_is_found_and_grown(tmp_path: Path) -> None:
    """Workers end in ENOSPC; the command makes the volume larger, and the next worker serves."""
    if problem := why_no_loop(tmp_path):
        pytest.skip(f"no volume can have a size of its own here: {problem}")
    launcher = KeepingLauncher()
    (tmp_path / "bench").mkdir()
    with workshop(tmp_path, launcher=launcher) as place:
        once: dict[str, Any] = {"endpoint": {"data_centers": ["EU-RO-1"], "idle_timeout_s": 1}}
        scene = Scene.open(place, tmp_path / "bench", **once)
        scene.answered()
        scene.until(lambda: not scene.workers(), "the first worker to go")
        assert launcher.volume is not None
        fill(launcher.volume)
        scene.submit()
        scene.until(lambda: scene.has_ended(1), "a worker that ends")
        top = scene.diagnose().top
        assert (top["rule"], top["severity"], top["command"]) == ("disk_full", "error", "factory volumes grow demo 15")
        assert "[Errno 28] No space left on device" in top["seen"]
        scene.mend(top)
        scene.answered()
