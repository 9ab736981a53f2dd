"""One run of a program: its own process group, its last lines, its progress, its end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from worker_runtime.errors import CommandFailed, CommandTimeout

LAST_LINES = 15
MAX_LINE_CHARS = 500
GRACE_S = 1.0  # less than what the runtime gives an interrupted handler (bounded_call.END_S)


class Process:
    """Runs a program to its end. `on_progress` gets the first group of `progress` whenever it changes."""

    def __init__(
        self, argv: Sequence[str], *, cwd: Path, environment: Mapping[str, str], progress: str | None,
        on_progress: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._argv = list(argv)
        self._cwd = cwd
        self._environment = dict(environment)
        self._progress = re.compile(progress) if progress else None
        self._on_progress = on_progress
        self._last_progress = ""
        self._lines: dict[str, deque[str]] = {"stdout": deque(maxlen=LAST_LINES), "stderr": deque(maxlen=LAST_LINES)}

    def run(self, timeout_s: float) -> None:
        """Wait for the program's end. Raises CommandFailed with its code and last lines, and CommandTimeout.

        However this ends, no process of the group is left.
        """
        try:
            process = subprocess.Popen(
                self._argv,
                cwd=self._cwd,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            fix = "check handler.options.argv and cwd"
            raise CommandFailed(f"{self._argv[0]} can't be started ({error.strerror})", fix=fix) from error
        readers: list[threading.Thread] = []
        try:
            for stream, name in ((process.stdout, "stdout"), (process.stderr, "stderr")):
                reader = threading.Thread(target=self._read, args=(stream, name), daemon=True)
                reader.start()
                readers.append(reader)
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            what = f"{self._argv[0]} ran longer than {timeout_s:g} s and was stopped{self._tail()}"
            raise CommandTimeout(what, fix="ask for less, or raise handler.options.timeout_s") from error
        finally:
            _end_group(process)
            for reader in readers:
                reader.join(GRACE_S)
        if code != 0:
            end = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            raise CommandFailed(
                f"{self._argv[0]} {end}{self._tail()}", fix="see the worker's log for all of its output"
            )

    def _tail(self) -> str:
        lines = list(self._lines["stderr"]) or list(self._lines["stdout"])
        return "; its last lines: " + " | ".join(lines) if lines else ""

    def _read(self, stream: IO[bytes], name: str) -> None:
        pending = b""
        while chunk := os.read(stream.fileno(), 65536):
            *lines, pending = re.split(rb"[\r\n]+", pending + chunk)  # progress bars end their lines with \r
            for line in lines:
                self._line(line, name)
            pending = pending[-MAX_LINE_CHARS * 4 :]
        self._line(pending, name)
        stream.close()

    def _line(self, raw: bytes, name: str) -> None:
        line = raw.decode("utf-8", "replace").strip()
        if not line:
            return
        found = self._progress.search(line) if self._progress else None
        if found is not None:
            if found[1] and found[1] != self._last_progress:
                self._last_progress = found[1]
                self._on_progress(found[1])
            return
        self._lines[name].append(line[:MAX_LINE_CHARS])
        sys.stderr.write(line[: MAX_LINE_CHARS * 4] + "\n")  # never stdout: events are there


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End what is left of the program's process group, politely first."""
    with contextlib.suppress(ProcessLookupError):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
