"""Who fetches into a store: one leader, by numbered lease files that are only ever created.

    .factory/lease/7     exists: epoch 7 has begun; its creator (O_EXCL: exactly one) leads until
                         it says `released`, or its record stops changing
    .factory/lease/8     created by whoever saw 7 released or stale; from now on the leader of 7 has lost

The highest number is never removed, so there is no moment in which a live leader could be robbed by a slow contender:
to follow epoch 7 one must create 8, which works once. The number is also the fence: a leader that finds a higher one
stops writing. Nothing here needs flock, rename or two clocks that agree.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker_runtime.weights.heartbeat import Owner, Watch, decode, encode, now_s, read

BEATS_PER_STALE = 10
"""Heartbeats that must be missed in a row before anybody takes over."""


class LeaseLost(Exception):
    """Another worker took over: this one must not write any more."""


def highest(folder: Path) -> int:
    """Return the number of the latest epoch, 0 before the first. Raises OSError."""
    return max((int(name) for name in os.listdir(folder) if name.isdecimal()), default=0)  # noqa: PTH208


@dataclass(slots=True)
class Contender:
    """A worker that would lead. It watches the lease, and takes it when it is free."""

    folder: Path
    owner: Owner
    stale_s: float
    record: dict[str, Any] = field(default_factory=dict)
    _epoch: int = -1
    _watch: Watch = field(default_factory=Watch)

    def try_to_lead(self) -> Lease | None:
        """Return the lease when it is free, else None; `record` then says what its leader does. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        epoch = highest(self.folder)
        if epoch and not self._is_over(epoch):
            return None
        return self._begin(epoch + 1)

    def _is_over(self, epoch: int) -> bool:
        if epoch != self._epoch:
            self._epoch, self._watch = epoch, Watch()
        raw = read(self.folder / str(epoch))
        unchanged_s = self._watch.look(raw)
        self.record = decode(raw or b"")
        if self.record.get("released") or self.owner.sees_dead(self.record.get("owner")):
            return True
        promised = self.record.get("stale_s")  # the leader's own promise wins over the watcher's setting
        return unchanged_s > (float(promised) if isinstance(promised, int | float) else self.stale_s)

    def _begin(self, epoch: int) -> Lease | None:
        path = self.folder / str(epoch)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            return None
        if highest(self.folder) != epoch:  # a later epoch has come and gone between our look and our file
            os.close(descriptor)
            path.unlink(missing_ok=True)
            return None
        lease = Lease(self.folder, epoch, descriptor, self.owner, self.stale_s)
        lease.beat()
        for name in os.listdir(self.folder):  # noqa: PTH208
            if name.isdecimal() and int(name) < epoch:
                (self.folder / name).unlink(missing_ok=True)
        return lease


class Lease:
    """The leader's side: beats in a thread while the block runs, and checks that nobody took over.

    `progress` gives what the record tells the others; it is called at each beat.
    """

    def __init__(self, folder: Path, epoch: int, descriptor: int, owner: Owner, stale_s: float) -> None:
        self.epoch = epoch
        self.progress: Callable[[], Mapping[str, object]] = dict
        self._folder = folder
        self._descriptor = descriptor
        self._owner = owner
        self._stale_s = stale_s
        self._beats = 0
        self._held_at_s = now_s()
        self._is_lost = False
        self._stop = threading.Event()
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def release(self) -> None:
        """Stop beating and say that the lease is free. A lost lease is left alone."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        with suppress(OSError, LeaseLost):
            self.confirm()
            self.beat(is_released=True)
        os.close(self._descriptor)

    def check(self) -> None:
        """Raise LeaseLost when another worker leads. Cheap: it looks again only when the last look is old."""
        if self._is_lost or now_s() - self._held_at_s > self._stale_s / 4:
            self.confirm()

    def confirm(self) -> None:
        """Look at the store now. Raises LeaseLost, and OSError when it can't be read."""
        looked_at_s = now_s()
        if self._is_lost or highest(self._folder) != self.epoch:
            self._is_lost = True
            raise LeaseLost(f"epoch {self.epoch} is over")
        self._held_at_s = looked_at_s

    def beat(self, *, is_released: bool = False) -> None:
        """Rewrite the record in place. Raises OSError."""
        with self._writing:
            self._beats += 1
            said = {"owner": self._owner.as_fields(), "beat": self._beats, "stale_s": self._stale_s}
            os.pwrite(self._descriptor, encode({**said, "released": is_released, **self.progress()}), 0)

    def _run(self) -> None:
        while not self._stop.wait(self._stale_s / BEATS_PER_STALE):
            try:
                self.confirm()
                self.beat()
            except LeaseLost:
                return
            except OSError:
                continue  # a hiccup of the volume: check() looks again before the next write
