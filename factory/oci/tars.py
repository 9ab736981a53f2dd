"""Layers as tars: the same files are the same bytes, on any machine and day.

The entries are those of BuildKit's COPY: uid and gid 0, the context's modes and times, every folder above a file, 0755
(docker 20.10.24, read off its layers 2026-11-25). The folders' own times are the build's there, and fixed here.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Literal

# 1980-01-01T00:00:00Z: the oldest time that a zip file (a wheel built in a RUN step) can hold.
MTIME_S = 315_532_800
GZIP_LEVEL = 6
END = b"\0" * (2 * tarfile.BLOCKSIZE)

Kind = Literal["file", "folder"]


def entry(path: str, mode: int, size: int, kind: Kind) -> bytes:
    """Return the header of an entry; `path` is from the image's root, without a slash in front, `size` in bytes.

    GNU format: a long name has a header of its own, a size over 8 GiB is written in base 256.
    """
    info = tarfile.TarInfo(path)
    info.mode, info.mtime = mode & 0o7777, MTIME_S
    info.size = size if kind == "file" else 0
    info.type = tarfile.REGTYPE if kind == "file" else tarfile.DIRTYPE
    return info.tobuf(format=tarfile.GNU_FORMAT)


def padding(size: int) -> bytes:
    """Return what follows a content of `size` bytes, up to the next block."""
    return b"\0" * (-size % tarfile.BLOCKSIZE)


def folders_above(path: str) -> tuple[str, ...]:
    """Return the folders that hold a path, the outermost first."""
    return tuple(str(parent) for parent in reversed(PurePosixPath(path).parents[:-1]))


def layer_tar(files: Mapping[str, bytes], modes: Mapping[str, int] | None = None) -> bytes:
    """Return the tar of small files by their path in the image; `modes` are 0644 unless said."""
    parts, folders = [], set[str]()
    for path in sorted(files):
        for folder in folders_above(path):
            if folder not in folders:
                folders.add(folder)
                parts.append(entry(folder, 0o755, 0, "folder"))
        content = files[path]
        parts += [entry(path, (modes or {}).get(path, 0o644), len(content), "file"), content, padding(len(content))]
    return b"".join([*parts, END])


def gzipped(content: bytes) -> bytes:
    """Return it as gzip with neither name nor time."""
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()
