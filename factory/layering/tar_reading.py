"""Layers read as they stream by: nothing is stored, and memory holds names, not content.

A layer is a tar (OCI image-spec v1.1, layer.md, read 2026-11-25), plain or gzipped; a whiteout is an empty file
`.wh.NAME` (NAME is gone), or `.wh..wh..opq` (all that lay in the folder is).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import IO, cast

from factory.errors import VerifyError
from factory.layering.contents import Entry

HASHED_BYTES = 4096  # smaller files are not held against each other: copies of them cost nothing
PIECE_BYTES = 1 << 20
TAR_BUFFER_BYTES = 1 << 16  # tarfile copies what is left of its buffer at every read
GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"
WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"


class Unreadable(Exception):
    """A layer stored in a form that this reader doesn't know; the words say which."""


class Chunks(io.RawIOBase):
    """A file over chunks of bytes, read once from the front."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """It can be read, and nothing else."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill the buffer as far as the next chunk goes; 0 at the end."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def read_layer(chunks: Iterable[bytes], where: str) -> tuple[Entry, ...]:
    """Return every path of a layer, gzipped or plain. Raises Unreadable, and VerifyError for a broken one."""
    rest, head = iter(chunks), b""
    while len(head) < len(ZSTD) and (chunk := next(rest, None)) is not None:
        head += chunk
    stream = io.BufferedReader(Chunks(chain((head,), rest)), PIECE_BYTES)
    try:
        if head.startswith(ZSTD):
            raise Unreadable("stored as zstd")
        if head.startswith(GZIP):
            with gzip.GzipFile(fileobj=stream) as unpacked:
                return tuple(read_tar(cast(IO[bytes], unpacked)))
        return tuple(read_tar(stream))
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise VerifyError(f"a layer can't be read ({error})", where=where, fix="push the image again") from error


def read_tar(stream: IO[bytes]) -> Iterator[Entry]:
    """Yield the files, links and whiteouts of a tar, its folders left out."""
    with tarfile.open(fileobj=stream, mode="r|", bufsize=TAR_BUFFER_BYTES) as tar:
        for member in tar:
            tar.members = []  # type: ignore[attr-defined]  # it keeps every header otherwise, for random access that a stream has not
            if not member.isdir():
                yield _entry(tar, member)


def _entry(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    path = member.name.removeprefix("./").strip("/")
    folder, _, name = path.rpartition("/")
    if name == OPAQUE:
        return Entry(folder, "emptied")
    if name.startswith(WHITEOUT):
        name = name.removeprefix(WHITEOUT)
        return Entry(f"{folder}/{name}" if folder else name, "removed")
    if not member.isreg():
        return Entry(path, "link")
    return Entry(path, "file", member.size, _digest(tar, member) if member.size >= HASHED_BYTES else b"")


def _digest(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    content = tar.extractfile(member)
    digest = hashlib.blake2b(digest_size=16)
    while content is not None and (piece := content.read(PIECE_BYTES)):
        digest.update(piece)
    return digest.digest()
