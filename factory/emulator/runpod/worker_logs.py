"""What a worker printed and what the platform says of it: a bounded ring that can be read and followed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from factory.emulator.runpod.launcher import LogSource

KEPT_LINES = 5000
"""As many as REST v2's `tail` may ask for."""
LINE_CHARS = 16_384


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line. `ts` is seconds since the epoch on the emulator's clock; `seq` counts a worker's lines from 1."""

    ts: float
    seq: int
    source: LogSource
    line: str


class WorkerLog:
    """One worker's lines, oldest first. It ends with the worker."""

    def __init__(self, kept: int = KEPT_LINES) -> None:
        self._lines: deque[LogLine] = deque(maxlen=kept)
        self._count = 0
        self._more = asyncio.Event()
        self.is_ended = False

    def add(self, ts: float, source: LogSource, line: str) -> None:
        """Add a line; a very long one is cut."""
        self._count += 1
        self._lines.append(LogLine(ts, self._count, source, line[:LINE_CHARS]))
        self._wake()

    def end(self) -> None:
        """Say that no more comes: those that follow come to their end."""
        self.is_ended = True
        self._wake()

    def lines(
        self, source: LogSource | None = None, tail: int | None = 100, since: float | None = None, after_seq: int = 0
    ) -> list[LogLine]:
        """Return the lines of a source (None: both): from `since` or after `after_seq` on, else the last `tail`."""
        found = [row for row in self._lines if source in (None, row.source) and row.seq > after_seq]
        if since is not None:
            return [row for row in found if row.ts >= since]
        return found if tail is None or after_seq else found[len(found) - min(tail, len(found)) :]

    async def follow(
        self,
        source: LogSource | None = None,
        tail: int | None = 100,
        since: float | None = None,
        after_seq: int = 0,
    ) -> AsyncIterator[LogLine]:
        """Yield the lines as `lines` gives them, then each new one, until the worker is gone."""
        more, seen = self._more, self._count
        rows = self.lines(source, tail, since, after_seq)
        while True:
            for row in rows:
                yield row
            if seen == self._count:  # nothing came while the reader was busy
                if self.is_ended:
                    return
                await more.wait()
            more, last, seen = self._more, seen, self._count
            rows = self.lines(source, None, after_seq=last)

    def _wake(self) -> None:
        self._more.set()
        self._more = asyncio.Event()
