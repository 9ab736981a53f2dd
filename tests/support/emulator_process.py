"""`factory emulator` as a user starts it: a process, its printed lines, signals."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class EmulatorProcess:
    """A running emulator and what it printed: HF_ENDPOINT, RUNPOD_API_BASE_URL, …"""

    process: subprocess.Popen[str]
    exports: dict[str, str]
    log: Path

    @property
    def url(self) -> str:
        """What RUNPOD_API_BASE_URL holds."""
        return self.exports["RUNPOD_API_BASE_URL"]

    def end(self, signum: int) -> int:
        """Send a signal, wait for the end, and return the exit code (-N: of signal N)."""
        self.process.send_signal(signum)
        return self.process.wait(timeout=60)


@contextmanager
def emulator_process(log: Path, *options: str | Path, **environ: str) -> Iterator[EmulatorProcess]:
    """Start `factory emulator --port 0 OPTIONS…`, wait until it is ready, and kill what is left of it in the end."""
    command = [sys.executable, "-m", "factory", "emulator", "--port", "0", *map(str, options)]
    env = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "RUNPOD_"))} | environ
    with log.open("w") as err:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, text=True, env=env)
    try:
        yield EmulatorProcess(process, _exports(process, log), log)
    finally:
        process.kill()
        process.wait(timeout=60)


def _exports(process: subprocess.Popen[str], log: Path) -> dict[str, str]:
    assert process.stdout is not None
    exports: dict[str, str] = {}
    while "RUNPOD_API_KEY" not in exports:
        line = process.stdout.readline()
        assert line, f"the emulator ended before it was ready: {log.read_text()}"
        name, _, value = line.strip().partition("=")
        exports[name] = value
    return exports
