"""A recipe's models from the Hub to its volume, without a worker: the same layout and READY marker as a worker's.

    is a worker fetching? → what is there, is it right? → room → Hub → parts → READY file by file → recipe's record

A file that is complete goes into the READY marker at once, so a run after a kill believes it; what lies there unmarked
(a worker may have left it) is read and hashed instead of sent. Nothing is kept on this machine's disk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TypeVar

from factory.account import S3_COPY_LIMIT_BYTES, Volume
from factory.errors import HubFailed, StoreFull, StoreMissing
from factory.ports import VolumeStore, WeightSource
from factory.records import GB, ModelFile, ModelFiles, Progress, StoredObject, Tell
from factory.volume import layout
from factory.volume.digests import Digest, is_right
from factory.volume.layout import Place
from factory.volume.leases import demand_no_leader
from factory.volume.memory import BUDGET_BYTES, PART_BYTES, Memory, Stopped
from factory.volume.sending import SENDERS, Sender

FILES_AT_ONCE = 4
TRIES_PER_FILE = 2
A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class How:
    """How to fill. `checks_ready`: also read what the marker says is ready, and replace what is wrong."""

    part_bytes: int = PART_BYTES
    budget_bytes: int = BUDGET_BYTES
    checks_ready: bool = False


@dataclass(slots=True)
class Filled:
    """What a run did. `kept_bytes` were sent by an earlier one, `ready_bytes` were there already."""

    volume: str
    folders: tuple[str, ...]
    files: int = 0
    total_bytes: int = 0
    sent_bytes: int = 0
    kept_bytes: int = 0
    ready_bytes: int = 0
    peak_bytes: int = 0  # of files in this machine's memory


def prefill(
    recipe: str,
    models: Sequence[ModelFiles],
    volume: Volume,
    store: VolumeStore,
    source: WeightSource,
    tell: Tell,
    how: How = How(),
) -> Filled:
    """Put every file of the recipe's models that lie on the volume there, with the right digest, and mark them READY.

    Raises StoreMissing when there are none, VolumeBusy while a worker fetches, StoreFull when they don't fit,
    HubFailed when a file comes damaged twice, and what the ports raise. What has come stays for the next run.
    """
    wanted = layout.wanted_files(models)
    if not wanted:
        raise StoreMissing(
            "no model of it lies on a network volume", where=recipe, fix="its weights are elsewhere: see `factory size`"
        )
    store.demand()
    demand_no_leader(store, volume)
    filling = _Filling(volume, store, source, tell, how, Filled(volume.id, tuple(place.name for place in wanted)))
    filling.run(wanted)
    layout.record_recipe(store, recipe, wanted)
    return filling.filled


@dataclass
class _Coming:
    """One folder: what is wanted, what its marker says (guarded by `lock`), and what must come."""

    place: Place
    wanted: Mapping[str, ModelFile]
    listed: dict[str, ModelFile]
    missing: list[ModelFile] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def path(self, file: ModelFile) -> str:
        """Return where a file lies."""
        return self.place.folder + file.path


@dataclass
class _Filling:
    volume: Volume
    store: VolumeStore
    source: WeightSource
    tell: Tell
    how: How
    filled: Filled

    def __post_init__(self) -> None:
        self._memory = Memory(self.how.budget_bytes)
        self._counting = threading.Lock()
        self._done_bytes: dict[str, int] = {}

    def run(self, wanted: Mapping[Place, Mapping[str, ModelFile]]) -> None:
        """Bring what is missing of all folders."""
        comings = [_Coming(place, files, layout.ready(self.store, place)) for place, files in wanted.items()]
        self.filled.files = sum(len(c.wanted) for c in comings)
        self.filled.total_bytes = sum(f.size_bytes for c in comings for f in c.wanted.values())
        lying = {o.path: o for o in self.store.list(layout.MODELS)}
        with ThreadPoolExecutor(SENDERS, "send") as senders, ThreadPoolExecutor(FILES_AT_ONCE, "file") as files:
            try:
                for coming in comings:
                    self._look(coming, lying, files)
                self._demand_room(comings, lying.values())
                self._ask_first(comings)
                self._bring(comings, files, Sender(self.store, self._memory, senders, self.how.part_bytes))
            except BaseException:
                self._memory.stop()  # leaving the block waits for the threads
                files.shutdown(wait=False, cancel_futures=True)
                raise
        for coming in comings:
            self._publish(coming)
        missing_bytes = sum(f.size_bytes for c in comings for f in c.missing)
        self.filled.ready_bytes = self.filled.total_bytes - missing_bytes
        self.filled.peak_bytes = self._memory.peak_bytes

    # --- what is there ---------------------------------------------------------------------------------------------
    def _look(self, coming: _Coming, lying: Mapping[str, StoredObject], pool: ThreadPoolExecutor) -> None:
        """Find what must come, reading what lies there unmarked or shall be checked, and put the marker right."""

        def is_there(file: ModelFile) -> bool:
            found = lying.get(coming.path(file))
            if found is None or found.size_bytes != file.size_bytes:
                return False
            if coming.listed.get(file.path) == file and not self.how.checks_ready:
                return True
            self._demand_going()
            text = f"reading {file.path}, which lies there already"
            self.tell(Progress("log", file.path, text))
            return is_right(file, self.store.read(found.path, 0, found.size_bytes))

        verdicts = _each(pool, is_there, coming.wanted.values())
        coming.missing = [file for file, is_ in verdicts if not is_]
        here = {file.path: file for file, is_ in verdicts if is_}
        kept = {path: file for path, file in coming.listed.items() if path in here or path not in coming.wanted}
        if kept != coming.listed or here.keys() - kept.keys():
            coming.listed = kept | here
            if coming.listed:
                layout.mark_ready(self.store, coming.place, coming.listed.values())
            else:
                self.store.delete(coming.place.marker)

    def _demand_room(self, comings: Iterable[_Coming], lying: Iterable[StoredObject]) -> None:
        """Raise StoreFull when what is missing can't fit beside all models that lie there."""
        used = {o.path: o.size_bytes for o in lying}
        new_bytes = sum(max(0, f.size_bytes - used.get(c.path(f), 0)) for c in comings for f in c.missing)
        used_bytes, size_bytes = sum(used.values()), self.volume.size_gb * GB
        if new_bytes and used_bytes + new_bytes > size_bytes:
            raise StoreFull(
                f"needs {new_bytes / GB:.1f} GB, and {used_bytes / GB:.1f} of {self.volume.size_gb} GB hold models",
                where=f"volume {self.volume.name}",
                fix=f"make it larger: `factory volumes grow {self.volume.id} {_grown_gb(used_bytes + new_bytes)}`",
            )

    def _ask_first(self, comings: Iterable[_Coming]) -> None:
        """Ask the Hub for the smallest file of each model: a refusal is met before anything is written."""
        for coming in comings:
            with_content = [file for file in coming.missing if file.size_bytes]
            if with_content:
                smallest = min(with_content, key=lambda file: file.size_bytes)
                next(iter(self.source.read(coming.place.repo, coming.place.commit, smallest)), None)

    # --- what comes ------------------------------------------------------------------------------------------------
    def _bring(self, comings: Sequence[_Coming], pool: ThreadPoolExecutor, sender: Sender) -> None:
        originals: dict[str, str] = {}
        twins: list[tuple[_Coming, ModelFile]] = []
        firsts: list[tuple[_Coming, ModelFile]] = []
        for coming in comings:
            for file in sorted(coming.missing, key=lambda f: -f.size_bytes):
                is_twin = file.digest in originals and 0 < file.size_bytes <= S3_COPY_LIMIT_BYTES
                (twins if is_twin else firsts).append((coming, file))
                originals.setdefault(file.digest, coming.path(file))
        _each(pool, lambda item: self._fetch(*item, sender), firsts)
        for coming, file in twins:
            self.store.copy(originals[file.digest], coming.path(file))
            self._note(coming, file, is_marked=False)

    def _fetch(self, coming: _Coming, file: ModelFile, sender: Sender) -> None:
        place, is_large = coming.place, file.size_bytes > sender.part_bytes

        def is_wanted() -> bool:
            return layout.ready(self.store, place).get(file.path) != file  # else a worker has brought it meanwhile

        for _ in range(TRIES_PER_FILE):
            self._demand_going()
            self._count(coming, file, None)
            sent = sender.send(
                coming.path(file),
                file.size_bytes,
                self.source.read(place.repo, place.commit, file),
                note=f"{place.uploads}{file.path}.json" if is_large else None,
                digest=Digest(file),
                on_bytes=lambda count: self._count(coming, file, count),
                is_still_wanted=is_wanted,
            )
            if sent is not None:
                with self._counting:
                    self.filled.sent_bytes += sent.sent_bytes
                    self.filled.kept_bytes += sent.kept_bytes
                self._note(coming, file, is_marked=is_large)
                return
        fix = "try again; if it stays so, the file on the Hub is damaged or a proxy changes it"
        raise HubFailed(f"{file.path} arrived damaged twice (expected {file.digest})", where=place.repo, fix=fix)

    def _note(self, coming: _Coming, file: ModelFile, *, is_marked: bool) -> None:
        """Take note that a file is there; a large one goes into the marker at once."""
        with coming.lock:
            coming.listed[file.path] = file
            if is_marked:
                layout.mark_ready(self.store, coming.place, coming.listed.values())
        self.tell(Progress("bytes", coming.path(file), file.path, "done", file.size_bytes, file.size_bytes))

    def _publish(self, coming: _Coming) -> None:
        """Write the whole marker, and remove the notes of uploads."""
        if coming.missing:
            layout.mark_ready(self.store, coming.place, coming.listed.values())
        folder = f"{layout.MODELS}{coming.place.name}{layout.PARTIAL}/"
        ours = [
            o.path for o in self.store.list(folder) if o.path.endswith("/") or o.path.startswith(coming.place.uploads)
        ]
        for path in sorted(ours, key=len, reverse=True):  # RunPod lists empty folders, and they go the same way
            self.store.delete(path)

    def _count(self, coming: _Coming, file: ModelFile, more: int | None) -> None:
        """Tell how much of a file is there; `more` None: it begins."""
        key = coming.path(file)
        with self._counting:
            self._done_bytes[key] = 0 if more is None else self._done_bytes[key] + more
            done = self._done_bytes[key]
        self.tell(Progress("bytes", key, file.path, "running", done, file.size_bytes))

    def _demand_going(self) -> None:
        self._memory.demand_going()


def _each(pool: ThreadPoolExecutor, do: Callable[[A], B], items: Iterable[A]) -> list[tuple[A, B]]:
    """Do something with each in the pool's threads; return in order. Raises the first failure, at once."""
    todo = list(items)
    futures: list[Future[B]] = [pool.submit(do, item) for item in todo]
    done, _ = wait(futures, return_when=FIRST_EXCEPTION)
    failures = [error for future in done if (error := future.exception())]
    if failures:
        raise next((e for e in failures if not isinstance(e, Stopped)), failures[0])
    return [(item, future.result()) for item, future in zip(todo, futures, strict=True)]


def _grown_gb(needed_bytes: int) -> int:
    """Return a size with the 5 % that a worker asks for, in tens of GB."""
    return -(-int(needed_bytes * 1.05) // (10 * GB)) * 10
