"""Weights baked through the command with no engine: from a disk smaller than the model, killed, and read by others."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from baking_stage import LAYER_BYTES, MIB, MODELS, Stage, staged, three_models
from private_dockerd import small_memory_disk

DISK_BYTES, LARGER_BYTES = 16 * MIB, 65 * MIB


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A recipe of three models, each of which is one layer."""
    with three_models(tmp_path) as found:
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
