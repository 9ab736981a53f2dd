"""A worker that only brings weights, as a process of its own, which can be made to die at a chosen point.

`python fetch_worker.py ORDER` with ORDER a JSON object (see `order`). It prints the runtime's events and ends with
`{"event": "done", …}`. The dying is done here, around the system calls: the runtime knows nothing of it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def order(root: Path, url: str, models: Sequence[Mapping[str, Any]], **changes: Any) -> dict[str, Any]:
    """Return what a worker is told. `die`: a point of `POINTS`; `host`: the name of another host to claim to be."""
    limits = {"connections": 2, "range_bytes": 1 << 20, "stall_s": 5, "quiet_s": 20, "total_s": 60}
    given = {"root": str(root), "url": url, "models": list(models), "recipe": "test", "token": None, "limits": limits}
    return {**given, "stale_s": 30, "die": None, "host": None, "breaks_flock": False, **changes}


def start(told: Mapping[str, Any]) -> subprocess.Popen[str]:
    """Start a worker."""
    return subprocess.Popen(
        [sys.executable, __file__, json.dumps(told)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(worker: subprocess.Popen[str], timeout_s: float = 60) -> tuple[int, list[dict[str, Any]]]:
    """Wait for a worker's end; return its exit code and events. Whatever else it printed is an event `noise`."""
    try:
        text, _ = worker.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        worker.kill()
        raise
    rows = []
    for line in text.splitlines():
        rows.append(json.loads(line) if line.startswith('{"event"') else {"event": "noise", "text": line})
    return worker.returncode, rows


def run(told: Mapping[str, Any], timeout_s: float = 60) -> tuple[int, list[dict[str, Any]]]:
    """Run a worker to its end."""
    return finish(start(told), timeout_s)


# --- dying ----------------------------------------------------------------------------------------------------------
def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _around(module: Any, name: str, when: Callable[..., bool], *, is_after: bool = False) -> None:
    real = getattr(module, name)

    def patched(*arguments: Any, **more: Any) -> Any:
        is_due = when(*arguments)
        if is_due and not is_after:
            _die()
        result = real(*arguments, **more)
        if is_due:
            _die()
        return result

    setattr(module, name, patched)


def _nth(count: int, when: Callable[..., bool]) -> Callable[..., bool]:
    seen = 0

    def is_due(*arguments: Any) -> bool:
        nonlocal seen
        seen += when(*arguments)
        return seen == count and when(*arguments)

    return is_due


def _writes(word: bytes) -> Callable[..., bool]:
    return lambda _descriptor, data, *_: bytes(data[: len(word) + 2]).startswith(word)


def _torn_line() -> None:
    """Let half of a journal's line get to the file, and nothing more."""
    real = os.write

    def patched(descriptor: int, data: bytes) -> int:
        if data.startswith(b'["range"'):
            real(descriptor, data[: len(data) // 2])
            _die()
        return real(descriptor, data)

    setattr(os, "write", patched)  # noqa: B010  mypy minds the narrower types


def _received(wanted_bytes: int) -> None:
    """Die when so many bytes of content were written."""
    real, seen = os.pwrite, 0

    def patched(descriptor: int, data: bytes, offset: int) -> int:
        nonlocal seen
        written = real(descriptor, data, offset)
        if len(data) != 1024:  # a heartbeat
            seen += written
            if seen >= wanted_bytes:
                _die()
        return written

    setattr(os, "pwrite", patched)  # noqa: B010


def _to(suffix: str) -> Callable[..., bool]:
    return lambda _source, target, *_: str(target).endswith(suffix)


MB = 1 << 20
POINTS: dict[str, Callable[[], None]] = {
    "first bytes": lambda: _received(1),
    "in the first ranges": lambda: _received(MB),
    "in the middle": lambda: _received(7 * MB + 12345),
    "near the end": lambda: _received(16 * MB),
    "before a range is journalled": lambda: _around(os, "write", _nth(3, _writes(b'["range"'))),
    "after a range is journalled": lambda: _around(os, "write", _nth(3, _writes(b'["range"')), is_after=True),
    "in a journal line": _torn_line,
    "before the first seal": lambda: _around(os, "write", _writes(b'["sealed"')),
    "after the first seal": lambda: _around(os, "write", _writes(b'["sealed"'), is_after=True),
    "before the renames": lambda: _around(os, "replace", _to(".safetensors")),
    "between the renames": lambda: _around(os, "replace", _nth(2, _to(".safetensors"))),
    "before the partial folder goes": lambda: _around(shutil, "rmtree", lambda path, *_: "partial" in str(path)),
    "before READY": lambda: _around(os, "replace", _to(".READY")),
    "after READY": lambda: _around(os, "replace", _to(".READY"), is_after=True),
}


# --- the process ----------------------------------------------------------------------------------------------------
def _refuse_locks(*_: object) -> None:
    raise OSError(37, os.strerror(37))  # ENOLCK, as NFS without a lock server


def main(told: Mapping[str, Any]) -> None:
    """Do as told."""
    from worker_runtime.errors import WorkerError
    from worker_runtime.events import EventLog
    from worker_runtime.recipe import Model
    from worker_runtime.weights import fetch, heartbeat, patience
    from worker_runtime.weights.hub import Hub
    from worker_runtime.weights.patience import Limits
    from worker_runtime.weights.store import Store

    if told["breaks_flock"]:
        for name in ("flock", "lockf", "fcntl"):
            setattr(fcntl, name, _refuse_locks)
    if told["host"]:
        heartbeat._kernel = lambda: str(told["host"])
    if told["die"]:
        POINTS[told["die"]]()
    patience.PAUSE_S = 0.02
    log = EventLog()
    how = fetch.How(Hub(told["url"], told["token"]), limits=Limits(**told["limits"]), stale_s=told["stale_s"])
    models = [Model.model_validate(block) for block in told["models"]]
    try:
        fetch.bring(Store(Path(told["root"])), told["recipe"], models, how, log).leave()
    except WorkerError as error:
        log.tell("failed", **error.as_fields())
        sys.exit(1)
    log.tell("done", pid=os.getpid())


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
