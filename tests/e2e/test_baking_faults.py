"""The weights lane through the command, while its registry breaks: one sentence, and the same command again ends right.

Whatever happened, what had arrived whole is not sent again: what came in is counted before the registry.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from baking_stage import LAYER_BYTES, MIB, MODELS, Stage, staged, three_models
from private_dockerd import small_memory_disk
from registries import running_registry

from factory.emulator.faults import Fault


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A recipe of three models, each of which is one layer."""
    with three_models(tmp_path) as found:
        yield found


def test_a_patch_cut_half_way(stage: Stage) -> None:
    """An upload that breaks off is made again within the same command; the others are sent once."""
    stage.proxy.cuts, stage.proxy.after_bytes = 1, LAYER_BYTES // 2
    stage.built()
    assert stage.proxy.patches == len(MODELS) + 1
    assert stage.proxy.received_bytes < (len(MODELS) + 0.5) * LAYER_BYTES + MIB


def test_a_registry_killed_in_the_middle(stage: Stage) -> None:
    """A registry that is gone is one sentence; started again, the same command sends the rest."""
    stage.proxy.cuts, stage.proxy.after_bytes = 1, LAYER_BYTES // 2
    stage.proxy.on_cut = lambda: os.kill(stage.registry.pid, signal.SIGKILL)
    code, _, err = stage.build()
    assert code in (62, 64), err
    assert "Traceback" not in err
    with running_registry(stage.registry.folder, port=int(stage.registry.address.rpartition(":")[2])):
        stage.sends_the_rest()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "*/blobs/uploads/"),
        ("PATCH", "*/blobs/uploads/*"),
        ("PUT", "*/blobs/uploads/*"),
        ("PUT", "*/manifests/weights-*"),
        ("PUT", "*/factory-tests/baked/manifests/*"),
    ],
)
def test_a_429_that_asks_for_too_much(stage: Stage, method: str, path: str) -> None:
    """A long Retry-After ends the command with the time in its sentence; the same command sends the rest."""
    stage.faults.append(Fault("status", status=429, times=1, wait_s=900, path=path, method=method))
    code, _, err = stage.build()
    assert (code, "900 s" in err) == (64, True), err
    stage.sends_the_rest()


def test_a_short_429_is_waited_out(stage: Stage) -> None:
    """A registry that asks for a second gets it; no layer is streamed twice."""
    stage.faults.append(Fault("status", status=429, times=2, wait_s=1, path="*/blobs/uploads/*", method="PUT"))
    stage.built()
    assert stage.proxy.patches == len(MODELS)


def test_a_full_disk(tmp_path: Path) -> None:
    """A registry without room is one sentence; with room, the same command sends the rest."""
    (tmp_path / "own").mkdir()
    models = {name: {"model.safetensors": os.urandom(LAYER_BYTES)} for name in MODELS}
    room_bytes = len(MODELS) * LAYER_BYTES  # for the hub's files, and for one layer and a half
    with (
        small_memory_disk(tmp_path / "disk", room_bytes + LAYER_BYTES * 3 // 2) as disk,
        staged(tmp_path / "own", disk, models) as stage,
    ):
        code, _, err = stage.build()
        assert code == 63, err
        assert "is full" in err
        subprocess.run(["mount", "-o", f"remount,size={64 * MIB}", str(disk)], check=True)
        stage.sends_the_rest()


def test_ctrl_c(stage: Stage) -> None:
    """Ctrl-C in the middle of a layer ends the command as such, leaves no upload open, and the next sends the rest."""
    process = stage.start()
    stage.proxy.on_request = lambda line: process.send_signal(signal.SIGINT) if line.startswith("PATCH ") else None
    _, err = process.communicate(timeout=60)
    stage.proxy.on_request = lambda _line: None
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert not stage.opened
    stage.sends_the_rest()
