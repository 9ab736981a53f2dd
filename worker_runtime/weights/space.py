"""What fits into a store, and what may be removed to make room. Only the leader removes, and never what a live one has.

Removed at once: trash, and partial downloads that nobody has touched for a week. Removed only when there is no room,
in this order: other partial downloads, folders that were never ready, ready ones that no recipe's record names and no
running worker reads.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from worker_runtime.errors import NoSpace, StorageUnwritable
from worker_runtime.events import EventLog
from worker_runtime.weights import usage
from worker_runtime.weights.heartbeat import Owner
from worker_runtime.weights.store import PARTIAL, READY, TRASH, Store

GB = 1_000_000_000
MARGIN_BYTES = 16_000_000  # folders, journal, markers
STALE_DRAFT_S = 3600
STALE_PARTIAL_S = 7 * 86_400
FULL = (28, 122)  # ENOSPC, EDQUOT: a volume's quota is met only when it is hit


def demand_writable(store: Store) -> None:
    """Make the store's folders, or raise StorageUnwritable."""
    try:
        store.models.mkdir(parents=True, exist_ok=True)
        store.control.mkdir(parents=True, exist_ok=True)
        probe = store.control / f".writable-{os.getpid()}-{os.urandom(4).hex()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise unwritable(store, error) from error


def unwritable(store: Store, error: OSError) -> NoSpace | StorageUnwritable:
    """Return the error for a write that the store refused."""
    if error.errno in FULL:
        return no_space(store, None)
    return StorageUnwritable(
        f"{store.root} can't be written ({error.strerror})", fix="mount it writable for the worker's user"
    )


def no_space(store: Store, needed_bytes: int | None) -> NoSpace:
    """Return the error for weights that don't fit. `needed_bytes` None: the store turned out full on the way."""
    disk = shutil.disk_usage(store.root)
    have = f"{disk.free / GB:.1f} GB free on {store.root} ({disk.total / GB:.1f} GB)"
    if needed_bytes is None:
        return NoSpace(f"{store.root} ran full while the weights came, {have}", fix=f"grow the {store.kind}")
    grown_gb = math.ceil((disk.total - disk.free + needed_bytes) * 1.05 / GB / 10) * 10
    return NoSpace(f"needs {needed_bytes / GB:.1f} GB, {have}", fix=f"grow the {store.kind} to {grown_gb} GB")


def free_bytes(store: Store) -> int:
    """Return what an ordinary user may still write. Raises OSError."""
    found = os.statvfs(store.root)
    return found.f_bavail * found.f_frsize


@dataclass(frozen=True, slots=True)
class Room:
    """Makes room in a store for its leader. `keep`: the folders of the models that are being brought."""

    store: Store
    owner: Owner
    keep: frozenset[str]
    check: Callable[[], None]
    log: EventLog
    dead_s: float = usage.DEAD_S

    def tidy(self) -> None:
        """Remove what nobody can want any more. Raises OSError and what `check` raises."""
        for path in self.store.trash():
            self._delete(path)
        now_s = self._server_time_s()
        for folder in (self.store.control, self.store.control / "recipes"):
            for path in folder.glob(".*"):  # drafts and probes: of a live worker only for a moment
                if now_s - _touched_s(path) > STALE_DRAFT_S:
                    self._delete(path)
        for name in self.store.partials():
            path = self.store.models / (name + PARTIAL)
            if name not in self.keep and now_s - _touched_s(path) > STALE_PARTIAL_S:
                self._remove([path])

    def demand(self, needed_bytes: int) -> None:
        """Make sure that so many bytes are free, removing what may be removed. Raises NoSpace, OSError."""
        needed_bytes += MARGIN_BYTES if needed_bytes else 0
        if free_bytes(self.store) >= needed_bytes:
            return
        for path in sorted(self._leftovers(), key=_touched_s):
            self._remove([path])
            if free_bytes(self.store) >= needed_bytes:
                return
        self._remove_unused(needed_bytes)
        if free_bytes(self.store) < needed_bytes:
            raise no_space(self.store, needed_bytes)

    def _leftovers(self) -> Iterable[Path]:
        """Yield partial downloads, and folders without a marker, that aren't of the models being brought."""
        for name in self.store.partials():
            if name not in self.keep:
                yield self.store.models / (name + PARTIAL)
        for name in self.store.folders():
            if name not in self.keep and not (self.store.models / (name + READY)).exists():
                yield self.store.models / name

    def _remove_unused(self, needed_bytes: int) -> None:
        used = self.store.folders_of_recipes() | self.keep
        candidates = [name for name in self.store.folders() if name not in used]
        candidates.sort(key=lambda name: _touched_s(self.store.models / (name + READY)))
        while candidates and free_bytes(self.store) < needed_bytes:
            chosen, missing = [], needed_bytes - free_bytes(self.store)
            while candidates and missing > 0:
                chosen.append(candidates.pop(0))
                missing -= sum(file.size_bytes for file in self.store.ready(chosen[-1]).values())
            self._remove_unless_read(chosen)

    def _remove_unless_read(self, names: list[str]) -> None:
        """Take the markers away, then look who reads; put back those of models that a live worker reads."""
        held = {name: self.store.models / f"{TRASH}{self.owner.id}-{name}{READY}" for name in names}
        for name, path in held.items():
            self.check()
            (self.store.models / (name + READY)).replace(path)
        read = usage.in_use(self.store.control / "workers", self.owner, set(names), wait_s=self.dead_s)
        for name, path in held.items():
            self.check()
            if name in read:
                path.replace(self.store.models / (name + READY))
            else:
                self._remove([self.store.models / name, path])

    def _remove(self, paths: list[Path]) -> None:
        """Rename first: a half-removed folder must not look like a whole one."""
        for path in paths:
            self.check()
            freed = sum(entry.stat().st_blocks * 512 for entry in path.rglob("*")) if path.is_dir() else 0
            target = (
                path if path.name.startswith(TRASH) else path.with_name(f"{TRASH}{os.urandom(4).hex()}-{path.name}")
            )
            path.replace(target)
            self._delete(target)
            if freed:
                self.log.tell("reclaimed", path=path.name, bytes=freed)

    def _delete(self, path: Path) -> None:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def _server_time_s(self) -> float:
        """Return the time by the clock that stamps the store's files."""
        probe = self.store.control / f".clock-{self.owner.id}"  # the leader's alone
        try:
            probe.touch()
            return probe.stat().st_mtime
        except OSError:
            return time.time()
        finally:
            with suppress(OSError):
                probe.unlink(missing_ok=True)


def allocated_bytes(path: Path) -> int:
    """Return the space that a file takes already, 0 when there is none."""
    try:
        return path.stat().st_blocks * 512
    except OSError:
        return 0


def _touched_s(path: Path) -> float:
    """Return when anything directly in a folder, its journal above all, was last written; 0 when it is gone."""
    try:
        entries = [path, *path.iterdir()] if path.is_dir() else [path]
        return max(entry.stat().st_mtime for entry in entries)
    except OSError:
        return 0.0
