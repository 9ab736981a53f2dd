"""What a worker prints, from a thread that reads it to the emulator's loop, line by line."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator

from factory.emulator.runpod.launcher import LogSource, Say

LONGEST_LINE = 64 * 1024


class Outlet:
    """Carries lines, and other calls, from any thread into the loop in which it was made."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._loop = asyncio.get_running_loop()

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function in the loop; nothing happens when the loop has ended."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)

    def line(self, text: str, source: LogSource = "container") -> None:
        """Say a line."""
        self.call(self._say, source, text)

    def pour(self, chunks: Iterable[bytes]) -> None:
        """Say every line of a stream, until it ends."""
        for text in lines_of(chunks):
            self.line(text)


def lines_of(chunks: Iterable[bytes]) -> Iterator[str]:
    """Split a stream into lines wherever its chunks end; a line without end is cut, the last needs no line break."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield _text(line)
        while len(rest) > LONGEST_LINE:
            yield _text(rest[:LONGEST_LINE])
            rest = rest[LONGEST_LINE:]
    if rest:
        yield _text(rest)


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r")
