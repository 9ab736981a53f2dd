"""Which running worker reads which model, so that nobody removes what a live one has open.

    .factory/workers/ID.json     this worker's models, with a heartbeat while it runs

A worker writes its record *before* it looks at a READY marker; who removes a model takes the marker away *before* it
looks at the records. So one of both always sees the other.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from worker_runtime.weights.heartbeat import Owner, Watch, decode, encode, read

BEAT_S = 15.0
DEAD_S = 90.0
"""A record that didn't change for so long is a dead worker's. Loading a model may hold Python up for many seconds."""


class Usage:
    """This worker's record. A store that can't be written is used all the same: nobody can remove from it either."""

    def __init__(self, folder: Path, owner: Owner, models: Iterable[str]) -> None:
        self._folder = folder
        self._owner = owner
        self._models = sorted(models)
        self._beats = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="usage", daemon=True)

    def begin(self) -> None:
        """Write the record, and beat until `end` or the worker's end."""
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
        self._write()
        self._thread.start()

    def end(self) -> None:
        """Stop, and remove the record."""
        self._stop.set()
        self._thread.join()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    @property
    def _path(self) -> Path:
        return self._folder / f"{self._owner.id}.json"

    def _write(self) -> None:
        self._beats += 1
        record = {"owner": self._owner.as_fields(), "beat": self._beats, "models": self._models}
        with suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                os.pwrite(descriptor, encode(record), 0)
            finally:
                os.close(descriptor)

    def _run(self) -> None:
        """Beat; and once, well after the start, remove the records of workers that died."""
        watches: dict[Path, Watch] = {}
        beats_until_sweep = DEAD_S // BEAT_S + 2
        while not self._stop.wait(BEAT_S):
            self._write()
            beats_until_sweep -= 1
            if beats_until_sweep >= 0:
                _sweep(self._folder, self._owner, watches)


def in_use(folder: Path, reader: Owner, names: set[str], *, wait_s: float = DEAD_S) -> set[str]:
    """Return those of the models' folders that a live worker reads.

    A record is a live worker's until it was watched for `wait_s` without a change, or its owner is seen to be dead; so
    this takes `wait_s` when dead workers of other hosts have left records. Raises OSError.
    """
    seen: dict[Path, bytes] = {}
    beating: set[Path] = set()
    end_s, is_first_look = time.monotonic() + wait_s, True
    while True:
        claims: dict[Path, set[str]] = {}
        for path in _records(folder):
            raw = read(path)
            record = decode(raw or b"")
            if raw is None or reader.sees_dead(record.get("owner")):
                continue
            if seen.setdefault(path, raw if is_first_look else b"") != raw:
                beating.add(path)
            if wanted := names & set(record.get("models", names)):  # a half-written record may mean any of them
                claims[path] = wanted
        if claims.keys() <= beating or time.monotonic() >= end_s:
            return set().union(*(wanted for path, wanted in claims.items() if path in beating))
        is_first_look = False
        time.sleep(min(1.0, wait_s / 10))


def _sweep(folder: Path, reader: Owner, watches: dict[Path, Watch]) -> None:
    for path in _records(folder):
        with suppress(OSError):
            raw = read(path)
            unchanged_s = watches.setdefault(path, Watch(raw)).look(raw)
            if unchanged_s > DEAD_S or reader.sees_dead(decode(raw or b"").get("owner")):
                path.unlink(missing_ok=True)


def _records(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.suffix == ".json"]
    except FileNotFoundError:
        return []
