"""A service of ours: started apart from the terminal, known again by its command line, stopped alone."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from private_engine.layout import Refusal


@dataclass(frozen=True)
class Service:
    """A command that serves until it is told to stop; its `mark` is a word of its command line no other process has.

    The mark (a path below this checkout) is what makes a recorded pid trustworthy: after a reboot or a kill the
    number may belong to somebody else's process.
    """

    name: str
    command: Sequence[str]
    mark: str
    pid_file: Path
    log_file: Path

    def pid(self) -> int | None:
        """Return the pid when the recorded process runs and is ours."""
        try:
            pid = int(self.pid_file.read_text())
        except (OSError, ValueError):
            return None
        return pid if is_running(pid, self.mark) else None

    def start(self, answers: Callable[[], bool], *, timeout_s: float) -> None:
        """Start it unless it runs, and wait until it answers; raise Refusal with its last words otherwise."""
        if self.pid() is not None and answers():
            return
        self.stop(timeout_s=30)
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("wb") as log:
            started = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.pid_file.write_text(f"{started.pid}\n")
        deadline = time.monotonic() + timeout_s
        while not answers():
            if started.poll() is not None:
                self.pid_file.unlink(missing_ok=True)
                raise Refusal(f"{self.name} ended at once ({self.last_words()}): see {self.log_file}")
            if time.monotonic() > deadline:
                self.stop(timeout_s=10)
                raise Refusal(f"{self.name} did not answer within {timeout_s:.0f} s: see {self.log_file}")
            time.sleep(0.1)

    def stop(self, *, timeout_s: float) -> bool:
        """Stop it, by force after `timeout_s`; return whether it was running."""
        pid = self.pid()
        if pid is not None:
            terminate(pid, self.mark, timeout_s=timeout_s)
        self.pid_file.unlink(missing_ok=True)
        return pid is not None

    def last_words(self) -> str:
        """Return the last line it logged."""
        lines = [line for line in self.log_file.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip()[:300] if lines else "it said nothing"


def is_running(pid: int, mark: str) -> bool:
    """Is there such a process, with the mark in its command line? A zombie has none left."""
    try:
        return mark.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def terminate(pid: int, mark: str, *, timeout_s: float) -> None:
    """End the marked process: politely, and after `timeout_s` by force."""
    for sign, patience_s in ((signal.SIGTERM, timeout_s), (signal.SIGKILL, 5.0)):
        try:
            os.kill(pid, sign)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if not is_running(pid, mark):
                return
            time.sleep(0.1)


def find_by_mark(mark: str) -> list[int]:
    """Return the pids of all processes with the mark in their command line."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if pid != os.getpid() and is_running(pid, mark)]
