"""`factory` as real processes that start in milliseconds: forked from one that has imported it and done nothing.

    with forked_cli() as cli:
        process = cli.start("provision", "demo.yaml", env={…}, folder=tmp_path)    # its own process group
        process.kill()                                                             # SIGKILL to all of it
        done = cli.run("provision", "demo.yaml", env={…}, folder=tmp_path)         # done.code, done.out, done.err

A fork differs from `python -m factory` in when Python's modules were read, and in nothing else: environment, folder,
output, arguments and process group are its own, and no connection or thread was open before.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

DEADLINE_S = 60.0
# What the commands import on their way; left out, every fork would read it anew.
PRELOADED = (
    *("factory.cli", "factory.commands.planning", "factory.commands.releases", "factory.commands.running"),
    *("factory.commands.snippets", "factory.clients.huggingface", "factory.clients.registry"),
    *("factory.clients.credentials", "factory.clients.runpod.rest", "factory.clients.runpod.graphql_cloud"),
    *(
        "factory.clients.dockerhub",
        "factory.clients.runpod.jobs",
        "factory.looking",
        "factory.once",
        "concurrent.futures.thread",
        "httpcore",
        "httpcore2",
    ),
)


@dataclass(frozen=True)
class Done:
    """How a process ended: its exit code (-9: killed), and what it printed."""

    code: int
    out: str
    err: str


@dataclass
class Process:
    """One `factory`, under way or ended."""

    pid: int
    folder: Path
    _ask: Callable[[Mapping[str, object]], int]
    _code: int | None = None

    @property
    def err(self) -> str:
        """What it has printed on stderr so far."""
        return (self.folder / "err").read_text()

    def kill(self) -> Done:
        """Send SIGKILL to it and all that it started, and return what it left."""
        if self._code is None:
            os.killpg(self.pid, signal.SIGKILL)
        return self.wait()

    def wait(self, deadline_s: float = DEADLINE_S) -> Done:
        """Wait for its end; one that doesn't come is killed, and fails the test."""
        if self._code is None:
            self._wait_for_end(deadline_s)
            self._code = self._ask({"wait": self.pid})
        return Done(self._code, (self.folder / "out").read_text(), self.err)

    def until(self, condition: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
        """Return as soon as `condition` holds; fail when the process ends before, or nothing comes for too long."""
        pidfd, end_s = os.pidfd_open(self.pid), time.monotonic() + deadline_s
        try:
            while not condition():
                is_over = bool(select.select([pidfd], [], [], 0.005)[0])
                if not is_over and time.monotonic() < end_s:
                    continue
                if is_over and condition():
                    return
                raise AssertionError(f"{'ended before' if is_over else 'too late for'} {what}: {self.kill()}")
        finally:
            os.close(pidfd)

    def _wait_for_end(self, deadline_s: float) -> None:
        pidfd = os.pidfd_open(self.pid)
        try:
            is_over = bool(select.select([pidfd], [], [], deadline_s)[0])
        finally:
            os.close(pidfd)
        if not is_over:
            os.killpg(self.pid, signal.SIGKILL)
            self._code = self._ask({"wait": self.pid})
            raise AssertionError(f"factory did not end within {deadline_s} s: {self.err}")


class ForkedCli:
    """Starts processes; `server` is the one that they are forked from."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        self._server = server
        self._numbers = count(1)
        self.started: list[Process] = []

    def start(self, *arguments: str | Path, env: Mapping[str, str], folder: Path) -> Process:
        """Start `factory ARGUMENTS…` in a folder, with this environment and no other."""
        place = folder / f".process-{next(self._numbers)}"
        place.mkdir(parents=True)
        for name in ("out", "err"):
            (place / name).touch(mode=0o600)
        asked = {"arguments": [*map(str, arguments)], "env": dict(env), "folder": str(folder), "place": str(place)}
        process = Process(self._ask(asked), place, self._ask)
        self.started.append(process)
        return process

    def run(self, *arguments: str | Path, env: Mapping[str, str], folder: Path, deadline_s: float = DEADLINE_S) -> Done:
        """Run `factory ARGUMENTS…` to its end."""
        return self.start(*arguments, env=env, folder=folder).wait(deadline_s)

    def _ask(self, what: Mapping[str, object]) -> int:
        assert self._server.stdin and self._server.stdout
        self._server.stdin.write(json.dumps(what) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())


@contextmanager
def forked_cli() -> Iterator[ForkedCli]:
    """Import `factory` once, and fork from there while the block runs; at its end nothing is left."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, __file__], stdin=pipe, stdout=pipe, text=True) as server:
        cli = ForkedCli(server)
        try:
            yield cli
        finally:
            for process in cli.started:
                process.kill()
            assert server.stdin
            server.stdin.close()


# --- the process that the others are forked from -----------------------------------------------------------------
def _serve() -> None:
    """Fork a process, or wait for one, as each line on stdin says; answer each with a number."""
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()
    for line in sys.stdin:
        asked = json.loads(line)
        if "wait" in asked:
            answer = os.waitstatus_to_exitcode(os.waitpid(asked["wait"], 0)[1])
        elif answer := os.fork():
            os.setpgid(answer, answer)
        else:
            _become(asked)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def _become(asked: Mapping[str, Any]) -> None:
    """Be `factory`, and end as it ends."""
    os.setpgid(0, 0)
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["folder"])
    for target, name in ((0, None), (1, "out"), (2, "err")):
        path = f"{asked['place']}/{name}" if name else os.devnull
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND if name else os.O_RDONLY), target)
    sys.argv = ["factory", *asked["arguments"]]
    from factory.cli import main

    main()
    raise SystemExit(0)


if __name__ == "__main__":
    _serve()
