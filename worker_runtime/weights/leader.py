"""The leader's work: see what is there already, fetch the rest, verify, rename; then fsync and publish."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from worker_runtime.events import EventLog
from worker_runtime.recipe import Model, WeightFile
from worker_runtime.weights import journal, space
from worker_runtime.weights.arriving import Arriving, is_right
from worker_runtime.weights.asking import Asking
from worker_runtime.weights.heartbeat import now_s
from worker_runtime.weights.journal import Arrived, Journal
from worker_runtime.weights.lease import Lease
from worker_runtime.weights.patience import Limits
from worker_runtime.weights.seal import Sealer
from worker_runtime.weights.space import Room
from worker_runtime.weights.store import Store, directory, size_of, sync_folder
from worker_runtime.weights.transfer import Source, Transfer, ask_first
from worker_runtime.weights.wire import Proxy
from worker_runtime.weights.work import SMALL_BYTES

THREADS = 8  # of fsync and of reading back: both wait for the disk
TELL_S = 10.0


@dataclass(eq=False, slots=True)
class _Coming:
    """A model on its way: the files that aren't ready, and which of them are in the folder or in `.partial` whole."""

    model: Model
    folder: Path
    partial: Path
    missing: list[WeightFile]
    arrived: Arrived
    is_placed: set[str] = field(default_factory=set)
    arriving: list[Arriving] = field(default_factory=list)
    journal: Journal | None = None

    @classmethod
    def find(cls, store: Store, model: Model) -> _Coming:
        partial = store.partial(model)
        arrived = journal.read(partial / journal.NAME)
        return cls(model, store.folder(model), partial, store.missing(model), arrived)

    def path(self, file: WeightFile) -> Path:
        """Return where a file is while it is on its way."""
        return self.partial / journal.CONTENT / file.path

    def is_sealed(self, file: WeightFile) -> bool:
        """Whether an earlier leader verified a file and brought it to the disk."""
        return self.arrived.sealed.get(file.path) == file.digest

    def was_placed(self, file: WeightFile) -> bool:
        """Whether an earlier leader renamed a file into the folder, and it is right."""
        path = self.folder / file.path
        return size_of(path) == file.size_bytes and (self.is_sealed(file) or is_right(path, file))

    def plan(self, ready: Iterable[WeightFile]) -> None:
        """Find what must come over the network still, and what of it has come already. Equal content comes once."""
        have = {file.digest for file in ready} | {f.digest for f in self.missing if f.path in self.is_placed}
        for file in self.missing:
            if file.digest in have:
                continue
            have.add(file.digest)
            path = self.path(file)
            if not (self.is_sealed(file) and size_of(path) == file.size_bytes):
                known = self.arrived.ranges.get(file.path, ()) if path.exists() else ()
                self.arriving.append(Arriving(file, path, known))


class Leader:
    """Brings models into a store. All it does ends with LeaseLost once another worker leads."""

    def __init__(
        self,
        store: Store,
        models: Sequence[Model],
        lease: Lease,
        room: Room,
        log: EventLog,
        on_progress: Callable[[int, int, float | None], None],
    ) -> None:
        self._store = store
        self._models = models
        self._lease = lease
        self._room = room
        self._log = log
        self._on_progress = on_progress
        self._sealer = Sealer()
        self._coming: list[_Coming] = []
        self._transfer: Transfer | None = None
        self._began_s = self._told_s = now_s()
        self._total_bytes = self._here_bytes = 0

    def progress(self) -> Mapping[str, object]:
        """Return what the lease's record tells the others; tell the log, too, and who wants to know."""
        received = self._transfer.received_bytes if self._transfer else 0
        done = min(self._total_bytes, self._here_bytes + received)
        took_s = now_s() - self._began_s
        left_s = round((self._total_bytes - done) * took_s / received) if received else None
        self._on_progress(done, self._total_bytes, left_s)
        if now_s() - self._told_s > TELL_S:
            self._told_s = now_s()
            self._log.tell("fetching", done_bytes=done, total_bytes=self._total_bytes, left_s=left_s)
        return {"done_bytes": done, "total_bytes": self._total_bytes, "left_s": left_s}

    def bring(self, asking: Asking, proxy: Proxy, limits: Limits) -> None:
        """Put every missing file into its model's folder, verified. Raises StartError, OSError and LeaseLost."""
        self._room.tidy()
        self._coming = [_Coming.find(self._store, model) for model in self._models]
        for coming in self._coming:
            self._adopt(coming)
            coming.plan(self._store.ready(directory(coming.model)).values())
        arriving = [file for coming in self._coming for file in coming.arriving]
        self._total_bytes = sum(
            {file.digest: file.size_bytes for coming in self._coming for file in coming.missing}.values()
        )
        left_bytes = sum(file.file.size_bytes - file.bytes_here for file in arriving)
        self._here_bytes = self._total_bytes - left_bytes
        if arriving:
            ask_first(asking, proxy, limits, [(c.model, a.file) for c in self._coming for a in c.arriving])
            self._room.demand(sum(max(0, a.file.size_bytes - space.allocated_bytes(a.path)) for a in arriving))
            self._reserve(arriving)
            self._fetch(asking, proxy, limits)
        for coming in self._coming:
            self._place(coming)
        took_s = round(now_s() - self._began_s, 3)
        received = self._transfer.received_bytes if self._transfer else 0
        self._log.tell("fetched", bytes=received, total_bytes=self._total_bytes, seconds=took_s)

    def abandon(self) -> None:
        """Close what is open, after a failure. What has arrived stays for the next leader."""
        self._sealer.stop()
        self._close_journals()

    def publish(self) -> None:
        """Bring all to the disk and write the READY markers. Raises OSError and LeaseLost; then they aren't written."""
        try:
            self._sealer.finish()
        finally:
            self._close_journals()
        for coming in self._coming:
            if coming.missing:
                self._sync(coming)
                self._lease.confirm()
                self._remove_partial(coming)
                new = {file.path: file for file in coming.missing}
                self._store.mark_ready(coming.model, {**self._store.ready(directory(coming.model)), **new})

    # --- before the transfer -------------------------------------------------------------------------------------
    def _adopt(self, coming: _Coming) -> None:
        """Keep what an earlier leader placed but did not publish; void what the marker says of files that are gone."""
        listed = self._store.ready(directory(coming.model))
        gone = {file.path for file in coming.missing if file.path in listed}
        if gone:
            self._lease.confirm()
            kept = {path: file for path, file in listed.items() if path not in gone}
            self._store.mark_ready(coming.model, kept)
        with ThreadPoolExecutor(THREADS) as pool:
            verdicts = pool.map(coming.was_placed, coming.missing)
            coming.is_placed = {file.path for file, is_ in zip(coming.missing, verdicts, strict=True) if is_}

    def _reserve(self, arriving: Sequence[Arriving]) -> None:
        """Take the space of all large files; give it back when it isn't enough after all."""
        large = [file for file in arriving if file.file.size_bytes > SMALL_BYTES]
        try:
            for file in large:
                self._lease.check()
                file.reserve()
                file.close()
        except OSError as error:
            if error.errno not in space.FULL:
                raise
            needed = sum(max(0, file.file.size_bytes - space.allocated_bytes(file.path)) for file in large)
            for file in large:
                file.close()
                if file.bytes_here == 0:
                    file.path.unlink(missing_ok=True)
            raise space.no_space(self._store, needed) from error

    # --- transfer ------------------------------------------------------------------------------------------------
    def _fetch(self, asking: Asking, proxy: Proxy, limits: Limits) -> None:
        sources = []
        for coming in self._coming:
            if coming.arriving:
                coming.partial.mkdir(parents=True, exist_ok=True)
                coming.journal = Journal(coming.partial / journal.NAME)
                sources.append(Source(coming.model, coming.arriving, coming.journal))
        self._transfer = Transfer(sources, asking, proxy, limits, self._lease.check, self._on_whole, self._log)
        self._transfer.run()

    def _on_whole(self, source: Source, arriving: Arriving) -> None:
        if arriving.file.size_bytes > SMALL_BYTES:  # a small one is sooner read again than written down
            self._sealer.add(arriving, source.journal)

    def _place(self, coming: _Coming) -> None:
        """Rename all files into the model's folder, once all are right; link the twins of equal content."""
        self._lease.confirm()
        listed = self._store.ready(directory(coming.model)).values()
        here = {file.digest: coming.folder / file.path for file in listed}
        here |= {file.digest: coming.folder / file.path for file in coming.missing if file.path in coming.is_placed}
        for file in coming.missing:
            target = coming.folder / file.path
            if file.path in coming.is_placed:
                continue
            self._lease.check()
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)  # of a wrong size or content, and not ready
            if file.digest in here:
                _link(here[file.digest], target)
            else:
                coming.path(file).replace(target)
                here[file.digest] = target

    # --- after it ------------------------------------------------------------------------------------------------
    def _sync(self, coming: _Coming) -> None:
        """Bring small files and all names to the disk; large files were sealed."""
        small = [coming.folder / file.path for file in coming.missing if file.size_bytes <= SMALL_BYTES]
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(_sync_file, small))
        folders = {parent for file in coming.missing for parent in _parents(coming.folder / file.path, coming.folder)}
        for folder in sorted(folders, reverse=True):
            sync_folder(folder)
        sync_folder(self._store.models)

    def _remove_partial(self, coming: _Coming) -> None:
        """Remove the folder of what was on its way, unless it holds files that another recipe selects."""
        content = coming.partial / journal.CONTENT
        if not any(path.is_file() for path in content.rglob("*")):
            shutil.rmtree(coming.partial, ignore_errors=True)

    def _close_journals(self) -> None:
        for coming in self._coming:
            if coming.journal is not None:
                coming.journal.close()
                coming.journal = None


def _link(source: Path, target: Path) -> None:
    """Give a file a second name; copy it where the file system has no hard links."""
    try:
        target.hardlink_to(source)
    except OSError as error:
        if error.errno not in (1, 18, 38, 95):  # EPERM, EXDEV, ENOSYS, EOPNOTSUPP
            raise
        shutil.copyfile(source, target)


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parents(path: Path, top: Path) -> Iterable[Path]:
    while path != top:
        path = path.parent
        yield path
