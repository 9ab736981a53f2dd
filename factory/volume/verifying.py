"""Every digest of a recipe's models read again from the volume: what is wrong, file by file. Nothing is changed."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from factory.account import Volume
from factory.errors import StoreMissing
from factory.ports import VolumeStore
from factory.records import ModelFile, ModelFiles, Progress, Tell
from factory.volume import layout
from factory.volume.digests import is_right
from factory.volume.layout import Place

READERS = 4

State = Literal["right", "absent", "wrong size", "wrong digest", "not marked"]


@dataclass(frozen=True, slots=True)
class Looked:
    """One file. `not marked`: right, but its model's READY marker doesn't name it, so a worker reads it again."""

    path: str
    size_bytes: int
    state: State
    found: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """All files of the recipe's models on one volume."""

    volume: str
    files: tuple[Looked, ...]

    @property
    def wrong(self) -> tuple[Looked, ...]:
        """Those that aren't right."""
        return tuple(file for file in self.files if file.state != "right")

    @property
    def read_bytes(self) -> int:
        """What was read and hashed."""
        return sum(file.size_bytes for file in self.files if file.state not in ("absent", "wrong size"))


def verify(recipe: str, models: Sequence[ModelFiles], volume: Volume, store: VolumeStore, tell: Tell) -> Verdict:
    """Read every file of the recipe's models. Raises StoreMissing when it has none there, and what the port raises."""
    wanted = layout.wanted_files(models)
    if not wanted:
        raise StoreMissing(
            "no model of it lies on a network volume", where=recipe, fix="its weights are elsewhere: see `factory size`"
        )
    store.demand()
    sizes = {o.path: o.size_bytes for o in store.list(layout.MODELS)}
    stop = threading.Event()
    with ThreadPoolExecutor(READERS, "read") as pool:
        look = _Look(store, sizes, stop, tell)
        waiting = [
            pool.submit(look.at, place, file, is_marked=marked.get(file.path) == file)
            for place, files in wanted.items()
            for marked in [layout.ready(store, place)]
            for file in files.values()
        ]
        try:
            return Verdict(volume.id, tuple(future.result() for future in waiting))
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@dataclass(frozen=True, slots=True)
class _Look:
    store: VolumeStore
    sizes: dict[str, int]
    stop: threading.Event
    tell: Tell

    def at(self, place: Place, file: ModelFile, *, is_marked: bool) -> Looked:
        """Read one file and say how it is."""
        path = place.folder + file.path
        size_bytes = self.sizes.get(path)
        if size_bytes is None:
            return Looked(path, file.size_bytes, "absent")
        if size_bytes != file.size_bytes:
            return Looked(path, file.size_bytes, "wrong size", f"{size_bytes} bytes where {file.size_bytes} belong")
        if not is_right(file, self._told(path, file)):
            return Looked(path, file.size_bytes, "wrong digest", f"not {file.digest}")
        return Looked(path, file.size_bytes, "right" if is_marked else "not marked")

    def _told(self, path: str, file: ModelFile) -> Iterator[bytes]:
        done = 0
        for chunk in self.store.read(path, 0, file.size_bytes):
            if self.stop.is_set():
                return
            done += len(chunk)
            self.tell(Progress("bytes", path, file.path, "running", done, file.size_bytes))
            yield chunk
