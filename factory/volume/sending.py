"""One file to the volume, in parts that are sent side by side while the next ones come in.

A file is seen on the volume only once its digest was right: the parts become a file at the very end. A note beside the
model names the upload under way, so that a run after a kill asks which parts have arrived and sends only the others.
The digest needs every byte in order, so all of the file comes from the Hub again; that a part is right is seen by its
tag, which S3 makes from the content (md5).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from factory.account import S3_FILE_LIMIT_BYTES, S3_PART_LIMIT_BYTES, S3_PARTS_LIMIT
from factory.errors import StoreFailed
from factory.ports import VolumeStore
from factory.volume.digests import Digest, part_tag
from factory.volume.layout import read_json, write_json
from factory.volume.memory import PART_BYTES, Memory

SENDERS = 8
MB = 1_000_000

OnBytes = Callable[[int], None]
"""Takes the bytes that are on the volume now, beyond those that were."""


class _Stale(Exception):
    """A part that an earlier run sent has another content than the file has now."""


@dataclass(slots=True)
class Sent:
    """What became of one file's bytes."""

    sent_bytes: int = 0
    kept_bytes: int = 0  # of parts that an earlier run had sent


@dataclass(frozen=True, slots=True)
class _Upload:
    """An upload under way, and the tags of the parts that had arrived when it was taken up."""

    id: str
    part_bytes: int
    arrived: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends files. `part_bytes` is the least size of a part; a file of one part is written in one call."""

    store: VolumeStore
    memory: Memory
    pool: ThreadPoolExecutor
    part_bytes: int = PART_BYTES

    def send(
        self,
        path: str,
        size_bytes: int,
        chunks: Iterable[bytes],
        *,
        note: str | None,
        digest: Digest | None,
        on_bytes: OnBytes,
        is_still_wanted: Callable[[], bool] = lambda: True,
    ) -> Sent | None:
        """Send a file; None when its content, or a part of an earlier run, was wrong, and nothing of it is left then.

        `note` is the path of the note for a later run; None: an interrupted upload is dropped. `is_still_wanted` is
        asked before the parts become a file. Raises StoreError, Stopped, and what `chunks` raises.
        """
        part_bytes = part_size(size_bytes, self.part_bytes)
        if size_bytes <= part_bytes:
            return self._send_whole(path, size_bytes, chunks, digest, on_bytes)
        sent, tags = Sent(), {}
        upload: _Upload | None = None
        waiting: dict[int, Future[str]] = {}
        try:
            for number, (content, give_back) in enumerate(self._parts(chunks, part_bytes), start=1):
                if digest:
                    digest.update(content)
                # Only now: a file that may not be had leaves no upload behind.
                upload = upload or self._take_up(path, size_bytes, part_bytes, note)
                if number in upload.arrived:
                    give_back()
                    if upload.arrived[number] != part_tag(content):
                        raise _Stale  # a server may refuse to replace a part (rclone 1.75 does): the file comes anew
                    tags[number] = upload.arrived[number]
                    sent.kept_bytes += len(content)
                    on_bytes(len(content))
                    continue
                waiting[number] = self._send_part(path, upload.id, number, content, give_back, on_bytes)
                sent.sent_bytes += len(content)
                _demand_no_failure(waiting)
            tags |= {number: future.result() for number, future in waiting.items()}
        except BaseException as error:
            is_stale = isinstance(error, _Stale)
            self._leave(path, upload, waiting, is_dropped=is_stale or note is None)
            if not is_stale:
                raise
            return None
        assert upload is not None, "a file of several parts has a first one"
        is_right = digest is None or digest.is_right
        if is_right and is_still_wanted():
            self.store.complete(path, upload.id, tags, size_bytes)
        else:
            self.store.abort(path, upload.id)
        if note:
            self.store.delete(note)
        return sent if is_right else None

    def _send_whole(
        self,
        path: str,
        size_bytes: int,
        chunks: Iterable[bytes],
        digest: Digest | None,
        on_bytes: OnBytes,
    ) -> Sent | None:
        give_back = self.memory.take(size_bytes)
        try:
            content = bytearray()
            for chunk in chunks:
                self.memory.demand_going()
                content += chunk
            if digest:
                digest.update(content)
                if not digest.is_right:
                    return None
            self.store.put(path, content)
            on_bytes(len(content))
            return Sent(sent_bytes=len(content))
        finally:
            give_back()

    def _parts(self, chunks: Iterable[bytes], part_bytes: int) -> Iterator[tuple[bytearray, Callable[[], None]]]:
        """Yield the content in parts, each with what gives its memory back."""
        give_back = self.memory.take(part_bytes)
        part = bytearray()
        try:
            for chunk in chunks:
                self.memory.demand_going()
                rest = memoryview(chunk)
                while len(rest):
                    taken = rest[: part_bytes - len(part)]
                    part += taken
                    rest = rest[len(taken) :]
                    if len(part) == part_bytes:
                        ready, handed = part, give_back
                        part, give_back = bytearray(), _nothing
                        yield ready, handed
                        give_back = self.memory.take(part_bytes)
            if part:
                ready, handed = part, give_back
                give_back = _nothing
                yield ready, handed
        finally:
            give_back()

    def _send_part(
        self,
        path: str,
        upload_id: str,
        number: int,
        content: bytearray,
        give_back: Callable[[], None],
        on_bytes: OnBytes,
    ) -> Future[str]:
        def send() -> str:
            self.memory.demand_going()
            tag = self.store.send_part(path, upload_id, number, content)
            on_bytes(len(content))
            return tag

        future = self.pool.submit(send)
        future.add_done_callback(lambda _: give_back())  # a cancelled one is done, too
        return future

    def _take_up(self, path: str, size_bytes: int, part_bytes: int, note: str | None) -> _Upload:
        """Go on with the upload that an earlier run noted, where it was of this file and is still there."""
        kept = _noted(self.store, note) if note else None
        if kept and (kept.get("size_bytes"), kept.get("part_bytes")) == (size_bytes, part_bytes):
            upload_id = str(kept.get("upload_id"))
            arrived = self.store.parts(path, upload_id)
            if arrived is not None:
                return _Upload(upload_id, part_bytes, arrived)
        upload_id = self.store.begin(path)
        if note:
            write_json(self.store, note, {"upload_id": upload_id, "size_bytes": size_bytes, "part_bytes": part_bytes})
        return _Upload(upload_id, part_bytes)

    def _leave(
        self, path: str, upload: _Upload | None, waiting: Mapping[int, Future[str]], *, is_dropped: bool
    ) -> None:
        for future in waiting.values():
            future.cancel()
        wait(waiting.values())
        if upload and is_dropped:
            self.store.abort(path, upload.id)


def part_size(size_bytes: int, least_bytes: int = PART_BYTES) -> int:
    """Return the size of a file's parts: at least `least_bytes`, and so large that S3's 10,000 parts are enough.

    Raises StoreFailed for a file beyond RunPod's 4 TB.
    """
    if size_bytes > S3_FILE_LIMIT_BYTES:
        raise StoreFailed(f"a file of {size_bytes} bytes is larger than RunPod's S3 API takes ({S3_FILE_LIMIT_BYTES})")
    needed_bytes = math.ceil(size_bytes / S3_PARTS_LIMIT)
    if needed_bytes <= least_bytes:
        return least_bytes
    return min(S3_PART_LIMIT_BYTES, math.ceil(needed_bytes / MB) * MB)


def _noted(store: VolumeStore, note: str) -> dict[str, object] | None:
    try:
        found = read_json(store, note)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _demand_no_failure(waiting: Mapping[int, Future[str]]) -> None:
    for future in waiting.values():
        if future.done() and (error := future.exception()):
            raise error


def _nothing() -> None:
    """Give nothing back."""
