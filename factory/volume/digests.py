"""A file's digest as the Hub names it, fed as the bytes come."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from factory.records import ModelFile


class Digest:
    """What a file's content is fed to: sha256, or git's sha1 of a blob."""

    def __init__(self, file: ModelFile) -> None:
        kind, _, self._expected = file.digest.partition(":")
        self._state = hashlib.sha256() if kind == "sha256" else hashlib.sha1(usedforsecurity=False)
        if kind != "sha256":
            self._state.update(b"blob %d\0" % file.size_bytes)  # git hashes a header before the content

    def update(self, chunk: bytes | bytearray) -> None:
        """Take the next bytes."""
        self._state.update(chunk)

    @property
    def is_right(self) -> bool:
        """Is it the file's?"""
        return self._state.hexdigest() == self._expected


def is_right(file: ModelFile, chunks: Iterable[bytes]) -> bool:
    """Read a whole content, and say whether it has the file's digest."""
    digest = Digest(file)
    for chunk in chunks:
        digest.update(chunk)
    return digest.is_right


def part_tag(content: bytes | bytearray) -> str:
    """Return the tag that S3 gives a part with this content: its md5, in hex."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
