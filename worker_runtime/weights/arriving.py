"""One file on its way: ranges are written where they belong, and hashed while they are at hand.

The digest is fed straight from the receive buffer as long as a range is the next one in order, which is so when each
connection has a file of its own. What arrived out of order, or before this process began, is read back from the page
cache. Either way no second pass over the file is needed at the end.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from worker_runtime.recipe import WeightFile

READ_BACK_BYTES = 256 * 1024


class _Hash(Protocol):
    def update(self, data: bytes | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


def new_hash(file: WeightFile) -> tuple[_Hash, str]:
    """Return what a file's content is fed to, and the hex digest that must come out."""
    kind, _, expected = file.digest.partition(":")
    if kind == "sha256":
        return hashlib.sha256(), expected
    state = hashlib.sha1(usedforsecurity=False)
    state.update(b"blob %d\0" % file.size_bytes)  # git hashes a header before the content
    return state, expected


def is_right(path: Path, file: WeightFile) -> bool:
    """Whether a whole file has the digest of the recipe. Raises OSError."""
    state, expected = new_hash(file)
    buffer = memoryview(bytearray(READ_BACK_BYTES))
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            state.update(buffer[:count])
    return state.hexdigest() == expected


class Arriving:
    """A file in a `.partial` folder. Several connections may write ranges of it at once. Methods raise OSError."""

    def __init__(self, file: WeightFile, path: Path, finished: Iterable[tuple[int, int]] = ()) -> None:
        self.file = file
        self.path = path
        self.times_wrong = 0
        self.bytes_here = 0
        self._descriptor = -1
        self._finished: dict[int, int] = {}  # start → end
        self._begin(_merged(finished, file.size_bytes))

    def _begin(self, finished: dict[int, int]) -> None:
        self._finished = finished
        self.bytes_here = sum(end - start for start, end in finished.items())
        self._hash, self._expected = new_hash(self.file)
        self.hashed_bytes = 0
        self._is_seen_whole = False
        self._ranges = threading.Lock()
        self._hashing = threading.Lock()

    def open(self) -> None:
        """Open the file, making it and its folders when they aren't there."""
        if self._descriptor < 0:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def reserve(self) -> None:
        """Take the whole file's space now, so that a full disk is met before the first byte."""
        self.open()
        if os.fstat(self._descriptor).st_size > self.file.size_bytes:
            os.ftruncate(self._descriptor, self.file.size_bytes)
        if self.file.size_bytes:
            _allocate(self._descriptor, self.file.size_bytes)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def gaps(self, range_bytes: int) -> list[tuple[int, int]]:
        """Return what has not arrived, in order, in pieces that end at multiples of `range_bytes`."""
        found, position = [], 0
        for start, end in [*sorted(self._finished.items()), (self.file.size_bytes, self.file.size_bytes)]:
            while position < start:
                stop = min(start, (position // range_bytes + 1) * range_bytes)
                found.append((position, stop))
                position = stop
            position = max(position, end)
        return found

    def write(self, position: int, data: memoryview) -> None:
        """Write bytes of a range, and hash them when they are the next ones."""
        written = 0
        while written < len(data):
            written += os.pwrite(self._descriptor, data[written:], position + written)
        if position == self.hashed_bytes:
            with self._hashing:
                if position == self.hashed_bytes:
                    self._hash.update(data)
                    self.hashed_bytes += len(data)

    def finish(self, start: int, end: int) -> None:
        """Take note that a whole range is written."""
        with self._ranges:
            self._finished[start] = end
            self.bytes_here += end - start

    def catch_up(self) -> bool:
        """Hash what has arrived and is next in order; return whether the file is whole now. Only one caller gets True.

        Of several callers one hashes; the others return at once, and what they finished is seen by that one.
        """
        while self._next_end() is not None and self._hashing.acquire(blocking=False):
            try:
                while (end := self._next_end()) is not None:
                    self._read_back(end)
            finally:
                self._hashing.release()
        with self._ranges:
            is_whole = self.hashed_bytes == self.bytes_here == self.file.size_bytes
            is_first_to_see, self._is_seen_whole = is_whole and not self._is_seen_whole, is_whole
            return is_first_to_see

    def is_right(self) -> bool:
        """Whether the digest is the recipe's. Only once `catch_up` said that all is hashed."""
        return self._hash.hexdigest() == self._expected

    def reset(self) -> None:
        """Forget all that has arrived: it was wrong."""
        self.times_wrong += 1
        self._begin({})

    def duplicate(self) -> int:
        """Return a second descriptor of the open file, for who must have it after `close`."""
        return os.dup(self._descriptor)

    def _next_end(self) -> int | None:
        """Return the end of the finished stretch that the hash stands in, None when it stands at its end."""
        with self._ranges:
            at = self.hashed_bytes
            return next((end for start, end in self._finished.items() if start <= at < end), None)

    def _read_back(self, end: int) -> None:
        buffer = memoryview(bytearray(READ_BACK_BYTES))
        while self.hashed_bytes < end:
            wanted = buffer[: min(len(buffer), end - self.hashed_bytes)]
            count = os.preadv(self._descriptor, [wanted], self.hashed_bytes)
            if count == 0:  # shorter than the journal says: zeros were lost, the digest will be wrong
                self._hash.update(bytes(len(wanted)))
                count = len(wanted)
            else:
                self._hash.update(wanted[:count])
            self.hashed_bytes += count


def _merged(ranges: Iterable[tuple[int, int]], size: int) -> dict[int, int]:
    found: dict[int, int] = {}
    last = -1
    for start, end in sorted(ranges):
        stop = min(end, size)
        if start >= stop:
            continue
        if last >= 0 and start <= found[last]:
            found[last] = max(found[last], stop)
        else:
            found[start] = stop
            last = start
    return found


def _allocate(descriptor: int, size: int) -> None:
    """Reserve space for a file of `size` bytes, or only set its length where the file system can't reserve.

    Not os.posix_fallocate: glibc emulates it by writing into every block, which on a network volume (FUSE) without
    fallocate would be the whole model, byte by byte (glibc 2.36, sysdeps/posix/posix_fallocate.c).
    """
    library = ctypes.CDLL(None, use_errno=True)
    library.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    if library.fallocate(descriptor, 0, 0, size) == 0:
        return
    error = ctypes.get_errno()
    if error in (28, 122, 27):  # ENOSPC, EDQUOT, EFBIG
        raise OSError(error, os.strerror(error))
    if os.fstat(descriptor).st_size < size:
        os.ftruncate(descriptor, size)
