"""What has arrived in a `.partial` folder: one line per finished range, only ever appended.

    ["range", "model.safetensors", 0, 33554432]
    ["sealed", "model.safetensors", "sha256:…"]     digest right, content on the disk
    ["reset", "model.safetensors"]                  digest wrong: all that was said of it is void

A line is written with one call after its range was, so a killed process leaves lines that are true, and at most one
torn one, which is ignored. Lines of ranges aren't fsynced one by one (that would wait for the content as well, at the
disk's pace): after a crash of the whole machine a line may speak of content that is lost. The digest finds that.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

NAME = "journal"
# No repository's file can be called so: files go below this folder.
CONTENT = "files"


@dataclass(slots=True)
class Arrived:
    """What a journal says: finished ranges (start, end) by path, and the digests of sealed files."""

    ranges: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    sealed: dict[str, str] = field(default_factory=dict)


def read(path: Path) -> Arrived:
    """Read a journal; lines that aren't whole say nothing. Without a file nothing has arrived."""
    found = Arrived()
    try:
        raw = path.read_bytes()
    except OSError:
        return found
    for line in raw.split(b"\n"):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        match entry:
            case ["range", str(name), int(start), int(end)] if 0 <= start < end:
                found.ranges.setdefault(name, []).append((start, end))
            case ["sealed", str(name), str(digest)]:
                found.sealed[name] = digest
            case ["reset", str(name)]:
                found.ranges.pop(name, None)
                found.sealed.pop(name, None)
    return found


class Journal:
    """A journal to append to. Made when it isn't there. Every method raises OSError."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._lock = threading.Lock()
        os.write(self._descriptor, b"\n")  # ends a line that a killed process left torn

    def range(self, path: str, start: int, end: int) -> None:
        """Say that the bytes from `start` to before `end` have arrived."""
        self._add(["range", path, start, end])

    def sealed(self, path: str, digest: str) -> None:
        """Say that a file is right and on the disk; so is this line, when it returns."""
        self._add(["sealed", path, digest])
        os.fsync(self._descriptor)

    def reset(self, path: str) -> None:
        """Say that nothing of a file has arrived."""
        self._add(["reset", path])
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _add(self, entry: list[str | int]) -> None:
        line = json.dumps(entry, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
        with self._lock:
            written = os.write(self._descriptor, line)
        if written != len(line):
            raise OSError(28, os.strerror(28))  # only a full disk writes less
