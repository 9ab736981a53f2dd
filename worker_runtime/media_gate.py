"""Lets an input's bytes through while they keep to the rules: not too many, and of the kind that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from worker_runtime.errors import InputRefused, InputUnreadable
from worker_runtime.input_rules import InputRules
from worker_runtime.media_types import HEAD_BYTES, Kind, MediaType, sniff


class Sink(Protocol):
    """What the bytes go to: a file, or a buffer in memory."""

    def write(self, chunk: bytes, /) -> object:
        """Take one chunk."""


class MediaGate:
    """The way into `sink` for one input. `count` adds to the job's bytes and returns their sum."""

    def __init__(self, sink: Sink, kinds: Sequence[Kind], rules: InputRules, count: Callable[[int], int]) -> None:
        self._sink = sink
        self._kinds = kinds
        self._rules = rules
        self._count = count
        self._head = b""
        self.size_bytes = 0
        self.type: MediaType | None = None

    def announce(self, size_bytes: int | None) -> Callable[[bytes], None]:
        """Refuse what is known to be too large before it is sent; return what takes the chunks."""
        if size_bytes is not None:
            self._limit("the file is", size_bytes, self._rules.max_file_bytes, "FACTORY_MAX_INPUT_MB")
        return self.take

    def take(self, chunk: bytes) -> None:
        """Pass one chunk on. Raises InputRefused, and InputUnreadable when it can't be written."""
        self.size_bytes += len(chunk)
        self._limit("the file is over", self.size_bytes, self._rules.max_file_bytes, "FACTORY_MAX_INPUT_MB")
        self._limit(
            "the job's inputs are over", self._count(len(chunk)), self._rules.max_job_bytes, "FACTORY_MAX_INPUTS_MB"
        )
        if len(self._head) < HEAD_BYTES:
            self._head += chunk[: HEAD_BYTES - len(self._head)]
            if len(self._head) == HEAD_BYTES:
                self._check_kind()
        try:
            self._sink.write(chunk)
        except OSError as error:
            raise InputUnreadable(
                f"the worker could not keep the file ({error.strerror})", fix="grow the container disk"
            ) from error

    def finish(self) -> None:
        """Check what only the end shows: that there was something, and the kind of a very short file."""
        if not self.size_bytes:
            raise InputUnreadable("the file is empty", fix="send one with content")
        if self.size_bytes < HEAD_BYTES:
            self._check_kind()

    def _limit(self, what: str, size_bytes: int, limit_bytes: int, variable: str) -> None:
        if size_bytes > limit_bytes:
            raise InputRefused(
                f"{what} {size_bytes / 1e6:.1f} MB, and the limit is {limit_bytes / 1e6:.1f} MB",
                fix=f"send less ({variable} sets the limit)",
            )

    def _check_kind(self) -> None:
        self.type = sniff(self._head)
        if self._kinds and (self.type is None or not self.type.kinds.intersection(self._kinds)):
            found = self.type.content_type if self.type else f"first bytes {self._head[:8].hex(' ')}"
            raise InputRefused(f"the file is no {' or '.join(self._kinds)} (found {found})", fix="send another file")
