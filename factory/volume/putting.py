"""Files of this machine onto a volume, in parts, never more than a few of them in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from factory.errors import StoreFailed
from factory.ports import VolumeStore
from factory.records import Progress, Tell
from factory.volume.memory import PART_BYTES, Memory
from factory.volume.sending import SENDERS, Sender

READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Put:
    """One file that is on the volume now."""

    path: str
    size_bytes: int


def put(files: Sequence[Path], to: str | None, store: VolumeStore, tell: Tell) -> tuple[Put, ...]:
    """Write files to the volume: below `to` when it ends with a slash (or there are several), else as `to`.

    Raises StoreFailed for a file that can't be read or a path that leaves the volume, and what the port raises.
    """
    targets = [(file, _target(file, to, is_folder=len(files) > 1)) for file in files]
    store.demand()
    memory = Memory()
    done = []
    with ThreadPoolExecutor(SENDERS, "send") as pool:
        sender = Sender(store, memory, pool, PART_BYTES)
        for file, path in targets:
            try:
                done.append(_put(file, path, sender, tell))
            except OSError as error:
                raise StoreFailed(f"can't be read ({error.strerror})", where=str(file), fix="name a file") from error
    return tuple(done)


def _put(file: Path, path: str, sender: Sender, tell: Tell) -> Put:
    size_bytes = file.stat().st_size
    arrived, counting = 0, threading.Lock()

    def count(more: int) -> None:
        nonlocal arrived
        with counting:
            arrived += more
            tell(Progress("bytes", path, path, "running", arrived, size_bytes))

    with file.open("rb") as stream:
        sender.send(path, size_bytes, _chunks(stream.read, size_bytes, file), note=None, digest=None, on_bytes=count)
    return Put(path, size_bytes)


def _chunks(read: Callable[[int], bytes], size_bytes: int, file: Path) -> Iterator[bytes]:
    """Yield a file's content; one that changes its size meanwhile is refused."""
    left = size_bytes
    while chunk := read(READ_BYTES):
        left -= len(chunk)
        yield chunk
    if left:
        raise StoreFailed("it changed while it was sent", where=str(file), fix="send it again")


def _target(file: Path, to: str | None, *, is_folder: bool) -> str:
    """Return the path on the volume."""
    named = to or file.name
    if to is not None and (is_folder or to.endswith("/")):
        named = f"{to.rstrip('/')}/{file.name}"
    path = PurePosixPath(named.removeprefix("/runpod-volume").lstrip("/"))
    if not path.parts or ".." in path.parts:
        raise StoreFailed(f"{named} is no path on the volume", where="--to", fix="name one such as inputs/photo.png")
    return str(path)
