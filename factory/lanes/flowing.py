"""A layer as it flows: from the Hub, checked, as a tar, packed. In constant memory, and two or three steps at once.

The Hub's answer is read and checked in a thread of its own, a tar that is packed is hashed and packed in another, and
the store's thread hashes and sends: hashing, ISA-L and sockets all leave Python's lock alone. Few pieces wait between
them. A layer that isn't packed is its own tar, so the store's digest is the tar's too: it is hashed once.
"""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

from factory.errors import HubFailed
from factory.lanes.compressing import packed
from factory.lanes.packing import MODE, Compression, Parcel, Weight
from factory.oci import tars
from factory.ports import WeightSource
from factory.records import Layer

WAITING = 2  # pieces between two threads
LOOK_S = 0.2  # how often a thread that waits looks whether it should end


class Stopped(Exception):
    """Another layer has failed, or Ctrl-C: this one ends too."""


@dataclass
class Flow:
    """One layer's bytes, begun anew at each call.

    `sending_s` is how long whoever takes them has had them in hand: the uplink's time, whatever the Hub's or ISA-L's.
    """

    parcel: Parcel
    compression: Compression
    source: WeightSource
    stop: threading.Event
    sending_s: float = 0.0
    _tar_digest: str = ""
    _tar_bytes: int = 0

    def __call__(self) -> Iterator[bytes]:
        """Yield the blob. Raises HubFailed for a file that isn't what the Hub's listing says, Stopped when told to."""
        self.sending_s = 0.0
        with closing(ahead(self._packed if self.compression == "gzip" else self._tar, self.stop)) as blob:
            for piece in blob:
                begun_s = time.monotonic()
                yield piece
                self.sending_s += time.monotonic() - begun_s

    def unpacked(self, sent: Layer) -> tuple[str, int]:
        """Return digest and size of the tar of what was sent, after its last byte."""
        return (self._tar_digest, self._tar_bytes) if self.compression == "gzip" else (sent.digest, sent.size_bytes)

    def _packed(self) -> Generator[bytes, None, None]:
        hashed, size = hashlib.sha256(), 0

        def told(tar: Iterator[bytes]) -> Iterator[bytes]:
            nonlocal size
            for piece in tar:
                hashed.update(piece)
                size += len(piece)
                yield piece

        with closing(ahead(self._tar, self.stop)) as tar:
            yield from packed(told(tar))
        self._tar_digest, self._tar_bytes = f"sha256:{hashed.hexdigest()}", size

    def _tar(self) -> Generator[bytes, None, None]:
        yield b"".join(tars.entry(folder, 0o755, 0, "folder") for folder in self.parcel.folders)
        for weight in self.parcel.weights:
            yield tars.entry(weight.path, MODE, weight.file.size_bytes, "file")
            yield from checked(weight, self.source)
            yield tars.padding(weight.file.size_bytes)
        yield tars.END


def checked(weight: Weight, source: WeightSource) -> Iterator[bytes]:
    """Yield a file's content. Raises HubFailed at its end when it isn't the one that the Hub's digest names."""
    file, size = weight.file, 0
    kind, _, wanted = file.digest.partition(":")
    start = b"" if kind == "sha256" else b"blob %d\0" % file.size_bytes
    hashed = hashlib.new("sha256" if kind == "sha256" else "sha1", start, usedforsecurity=False)
    for piece in source.read(weight.repo, weight.commit, file):
        hashed.update(piece)
        size += len(piece)
        yield piece
    if size != file.size_bytes or hashed.hexdigest() != wanted:
        what = f"{file.path} came as {kind}:{hashed.hexdigest()[:12]}…, {size:,} bytes; the Hub lists {wanted[:12]}…, "
        fix = "try again; if it stays so, the file on the Hub is damaged or a proxy changes it"
        raise HubFailed(f"{what}{file.size_bytes:,} bytes", where=weight.repo, fix=fix)


def ahead(content: Callable[[], Generator[bytes, None, None]], stop: threading.Event) -> Generator[bytes, None, None]:
    """Yield what `content` yields, made in a thread some pieces ahead. Raises what it raises, and Stopped."""
    pieces: queue.Queue[bytes | BaseException | None] = queue.Queue(WAITING)
    left = threading.Event()

    def put(piece: bytes | BaseException | None) -> bool:
        while not (left.is_set() or stop.is_set()):
            try:
                pieces.put(piece, timeout=LOOK_S)
                return True
            except queue.Full:
                continue
        return False

    def make() -> None:
        made = content()
        try:
            for piece in made:
                if not put(piece):
                    return
            put(None)
        except BaseException as error:  # it is raised where the pieces are taken
            put(error)
        finally:
            made.close()

    thread = threading.Thread(target=make, name="weights", daemon=True)
    thread.start()
    try:
        while (piece := _next(pieces, stop)) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece
    finally:
        left.set()


def _next(pieces: queue.Queue[bytes | BaseException | None], stop: threading.Event) -> bytes | BaseException | None:
    while not stop.is_set():
        try:
            return pieces.get(timeout=LOOK_S)
        except queue.Empty:
            continue
    raise Stopped
