"""Brings the files of an output to the caller: into the bucket, else into the JSON while small, else onto the volume.

A file that can't be stored in the bucket still goes one of the other two ways, with the reason beside it: what took a
GPU minutes to make isn't thrown away because a storage is down.
"""

from __future__ import annotations

import base64
import errno
import mimetypes
import os
import re
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from worker_runtime.errors import OutputTooLarge, StorageFailed, WorkerError
from worker_runtime.media_types import HEAD_BYTES, sniff
from worker_runtime.storage import Storage
from worker_runtime.values import FoundFile

FILES_AT_ONCE = 4
FIX = "set BUCKET_ENDPOINT_URL, BUCKET_NAME and both keys, send an s3Config, or attach a network volume"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Delivery:
    """The ways for one job's files. `inline_bytes` bounds the sum of those that go into the JSON."""

    def __init__(self, job_id: str, storage: Storage | None, volume: Path | None, inline_bytes: int) -> None:
        self._folder = _safe(job_id) or "job"
        self._storage = storage
        self._volume = volume
        self._inline_bytes_left = inline_bytes
        self._names: set[str] = set()

    @property
    def has_room(self) -> bool:
        """Whether there is a place for what is too large for the JSON."""
        return self._storage is not None or self._volume is not None

    def deliver(self, files: Sequence[FoundFile], *, may_inline: bool = True) -> None:
        """Fill every file's slot. Raises OutputTooLarge and the storage's errors, naming the place in the output."""
        for file in files:
            name = self._own_name(file.name)
            file.slot.update(name=name, content_type=_content_type(file), size_bytes=file.size_bytes)
        if self._storage is None:
            failures: list[WorkerError | None] = [None] * len(files)
        else:
            with ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="output") as pool:
                failures = list(pool.map(self._store, files))
        for file, failure in zip(files, failures, strict=True):
            if "location" not in file.slot:
                self._keep(file, failure, may_inline=may_inline)

    def _store(self, file: FoundFile) -> WorkerError | None:
        """Put a file into the bucket; return why it can't be."""
        assert self._storage is not None
        try:
            stored = self._storage.put(file.source, f"{self._folder}/{file.slot['name']}", file.slot["content_type"])
        except WorkerError as error:
            return error
        file.slot["location"] = stored.location
        if stored.url:
            file.slot.update(url=stored.url, expires_at=stored.expires_at)
        return None

    def _keep(self, file: FoundFile, failure: WorkerError | None, *, may_inline: bool) -> None:
        size_bytes = file.slot["size_bytes"]
        if failure is not None:
            file.slot["storage_error"] = str(failure)
        if may_inline and size_bytes <= self._inline_bytes_left:
            self._inline_bytes_left -= size_bytes
            content = file.source if isinstance(file.source, bytes) else file.source.read_bytes()
            file.slot["base64"] = base64.b64encode(content).decode()
        elif self._volume is not None:
            file.slot["path"] = str(self._copy(file, self._volume))
        elif failure is not None:
            raise failure
        else:
            raise OutputTooLarge(
                f"{file.place} is a file of {size_bytes} bytes, and {self._inline_bytes_left} more bytes of files fit"
                " into the result",
                fix=FIX,
            )

    def _copy(self, file: FoundFile, volume: Path) -> Path:
        """Write a file to the volume, whole or not at all."""
        place = volume / "outputs" / self._folder / str(file.slot["name"])
        partial = place.with_name(f".{place.name}.partial")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as target:
                if isinstance(file.source, bytes):
                    target.write(file.source)
                else:
                    with file.source.open("rb") as source:
                        shutil.copyfileobj(source, target, 1 << 20)
                target.flush()
                os.fsync(target.fileno())
            partial.replace(place)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise _volume_failed(file, volume, error) from error
        return place

    def _own_name(self, name: str) -> str:
        """Return a name that is safe in a URL and on any disk, and that no other file of this job has."""
        path = Path(_safe(name) or "file")
        number, own = 1, path.name
        while own.lower() in self._names:
            number += 1
            own = f"{path.stem}-{number}{path.suffix}"
        self._names.add(own.lower())
        return own


def _volume_failed(file: FoundFile, volume: Path, error: OSError) -> StorageFailed:
    if error.errno not in FULL:
        return StorageFailed(f"{file.place} can't be written to {volume} ({error.strerror})", fix="look at the volume")
    free_bytes = shutil.disk_usage(volume).free
    return StorageFailed(
        f"{file.place} has {file.slot['size_bytes']} bytes, and {volume} has {free_bytes} free",
        fix="remove old outputs, or grow the volume",
    )


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".")[-100:]


def _content_type(file: FoundFile) -> str:
    if isinstance(file.source, bytes):
        head = file.source[:HEAD_BYTES]
    else:
        with file.source.open("rb") as opened:
            head = opened.read(HEAD_BYTES)
    found = sniff(head)
    return found.content_type if found else mimetypes.guess_type(file.name)[0] or "application/octet-stream"
