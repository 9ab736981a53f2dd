"""A Docker engine of a test's own, on a small disk of its own: what may be filled, closed to others and stopped."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[Path]:
    """Mount an ext4 file of that size at `folder` while the block runs."""
    folder.mkdir()
    image = folder.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(size_bytes)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        image.unlink()


@contextmanager
def small_memory_disk(folder: Path, size_bytes: int) -> Iterator[Path]:
    """Mount a tmpfs of that size at `folder` while the block runs."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a tmpfs: run it as root")
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def running_dockerd(folder: Path, data_root: Path, *, tls: tuple[int, Path] | None = None) -> Iterator[str]:
    """Run dockerd while the block runs and yield its address; no bridge, no firewall rules, nothing outside `folder`.

    `tls`: it listens on that port of 127.0.0.1 too, shows the certificate of that file (its key is in it) and wants
    one that the same file signed. It has names of its own in a containerd that the system may run, and leaves `docker0`
    as it finds it.
    """
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip("a Docker engine of the test's own needs root and dockerd (apt-get install docker.io)")
    folder.mkdir()
    settings: dict[str, object] = {
        "data-root": str(data_root),
        "exec-root": str(folder / "exec"),
        "pidfile": str(folder / "pid"),
        "hosts": [f"unix://{folder}/docker.sock"],
        "bridge": "docker0" if Path("/sys/class/net/docker0").exists() else "none",
        "iptables": False,
        "ip6tables": False,
        "ip-forward": False,
        "containerd-namespace": f"factory-test-{os.getpid()}",
        "containerd-plugins-namespace": f"factory-test-{os.getpid()}-plugins",
    }
    if tls is not None:
        port, file = tls
        settings["hosts"] = [f"unix://{folder}/docker.sock", f"tcp://127.0.0.1:{port}"]
        settings |= {"tlsverify": True, "tlscacert": str(file), "tlscert": str(file), "tlskey": str(file)}
    (folder / "daemon.json").write_text(json.dumps(settings))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(["dockerd", "--config-file", str(folder / "daemon.json")], stdout=log, stderr=log)
    try:
        _wait_for(folder / "docker.sock", process)
        yield f"unix://{folder}/docker.sock"
    finally:
        process.terminate()
        process.wait(30)
        # The host's network namespace stays mounted below exec/ (docker 20.10).
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for point in reversed([point for point in mounts if point.startswith(f"{folder}/")]):
            subprocess.run(["umount", "--lazy", point], check=True)


def _wait_for(path: Path, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, "dockerd ended at once"
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(str(path))
                connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                if b" 200 " in connection.recv(64):
                    return
            except OSError:
                pass
        time.sleep(0.05)
    raise AssertionError("dockerd did not answer")
