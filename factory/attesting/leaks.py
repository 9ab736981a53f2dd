"""Secrets in bytes: found in one pass over any amount of content, told by place and kind, and never by value.

Hyperscan looks for all shapes and secrets at once (3.4 GB/s on one core of a 2-core machine where `bytes.find` for each
made 73 MB/s and `re` 140, measured 2026-11-25); Python's `re` then judges the few places that it found. Making its
database takes 0.1 s, so the first SMALL_BYTES are searched by `bytes.find` and `re`, to the same result.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, cast
from urllib.parse import quote, quote_plus

from factory.attesting.token_shapes import REACH_BYTES, RULES, SHAPES, Shape, is_placeholder
from factory.errors import SettingsError

CHUNK_BYTES = 1024 * 1024
# A shorter value is found everywhere by chance: `test`, `1234`.
SHORTEST_SECRET = 8
VALUE_OF = "the value of "
SMALL_BYTES = 2 << 20


@dataclass(frozen=True, slots=True, order=True)
class Leak:
    """A secret's place: `where` the step, `path` the file, `at` its line or byte; never its value."""

    where: str
    path: str
    at: str
    kind: str
    is_value: bool = False  # of a secret of this machine, not just the look of one

    def __str__(self) -> str:
        return f"{self.kind} in {self.path}, {self.at} ({self.where})" if self.path else f"{self.kind} in {self.where}"


class _Database(Protocol):
    def scan(self, data: bytes, match_event_handler: Callable[[int, int, int, int, object], bool | None]) -> object: ...


@dataclass(frozen=True)
class Searcher:
    """Looks for known shapes, and for this machine's secrets (name → value) in plain, base64 and URL-encoded form.

    May be used by one thread at a time.
    """

    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    small_bytes: int = SMALL_BYTES  # so much is searched before Hyperscan is got ready
    _searched: list[int] = field(default_factory=lambda: [0], repr=False, compare=False)

    def search(self, path: str, chunks: Iterable[bytes], where: str) -> Iterator[Leak]:
        """Yield what one file holds, each kind once. `chunks` are its bytes in order, in any sizes; constant memory."""
        found: set[str] = set()
        kept, start, is_whole = b"", 0, True
        for chunk in chunks:
            window = kept + chunk
            for kind, offset in self._places(window, path):
                if kind not in found:
                    found.add(kind)
                    at = f"line {window.count(10, 0, offset) + 1}" if is_whole else f"byte {start + offset}"
                    yield Leak(where, path, at, kind, kind.startswith(VALUE_OF))
            reach = self._reach_bytes
            kept = window[-reach:]
            start += len(window) - len(kept)
            is_whole = False

    def search_text(self, name: str, text: str, where: str) -> Iterator[Leak]:
        """Yield what a short text holds; `name` says which one it is."""
        yield from self.search(name, [text.encode(errors="surrogatepass")], where)

    @cached_property
    def fingerprint(self) -> str:
        """What is looked for, as 32 hex digits: who has searched something by the same need not do it again."""
        values = "\0".join(f"{len(v)}:{v}" for _, v in sorted(self._usable.items()))
        return hashlib.sha256(f"{RULES}\0{values}".encode(errors="surrogatepass")).hexdigest()[:32]

    @property
    def _usable(self) -> dict[str, str]:
        return {name: value for name, value in self.secrets.items() if len(value) >= SHORTEST_SECRET}

    @cached_property
    def _forms(self) -> tuple[tuple[str, bytes], ...]:
        """The secrets' names and the bytes by which each may lie in a file."""
        forms = [(name, form) for name, value in self._usable.items() for form in forms_of(value)]
        return tuple(dict.fromkeys(forms))

    @cached_property
    def _reach_bytes(self) -> int:
        return max([REACH_BYTES, *(len(form) for _, form in self._forms)])

    @cached_property
    def _database(self) -> _Database:
        import hyperscan

        database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        literals = [b"".join(b"\\x%02x" % byte for byte in form) for _, form in self._forms]
        expressions = [shape.probe for shape in SHAPES] + literals
        try:
            database.compile(expressions=expressions, ids=list(range(len(expressions))), elements=len(expressions))
        except hyperscan.error as error:
            raise SettingsError(
                "a secret of this machine can't be looked for", where="the recipe's secrets", fix="shorten it"
            ) from error
        return cast(_Database, database)

    def _places(self, window: bytes, path: str) -> Iterator[tuple[str, int]]:
        """Yield kind and offset of what the window holds."""
        self._searched[0] += len(window)
        is_small = self._searched[0] <= self.small_bytes
        ends = self._ends_in_small(window, path) if is_small else self._ends(window)
        seen: dict[int, int] = {}
        for end, number in sorted(ends):
            if number >= len(SHAPES):
                name, form = self._forms[number - len(SHAPES)]
                yield VALUE_OF + name, end - len(form)
            elif end > seen.get(number, 0):
                match = _judge(SHAPES[number], window, path, end)
                if match is not None:
                    seen[number] = match.end()
                    yield SHAPES[number].kind, match.start("value")

    def _ends(self, window: bytes) -> list[tuple[int, int]]:
        """Return where probes and forms end, with their numbers: the shapes' first, then the forms'."""
        ends: list[tuple[int, int]] = []

        def note(number: int, _start: int, end: int, _flags: int, _context: object) -> None:
            ends.append((end, number))

        self._database.scan(window, match_event_handler=note)
        return ends

    def _ends_in_small(self, window: bytes, path: str) -> list[tuple[int, int]]:
        """Return the same without a database; of a shape that doesn't count in this file nothing."""
        lowered = window.lower()
        ends = [
            (match.end(), number)
            for number, shape in enumerate(SHAPES)
            if shape.sign in lowered and shape.is_for(path)
            for match in _overlapping(shape.probe, window)
        ]
        for number, (_, form) in enumerate(self._forms, len(SHAPES)):
            start = window.find(form)
            while start >= 0:
                ends.append((start + len(form), number))
                start = window.find(form, start + 1)
        return ends


def forms_of(value: str) -> Iterator[bytes]:
    """Yield the bytes by which a value may lie in a file: as it is, URL-encoded, and within base64 at any offset.

    base64 turns three bytes into four letters, so a value within a longer text has one of three forms; the letters at
    its ends that depend on its neighbours are left out (RFC 4648, section 4 and 5).
    """
    plain = value.encode(errors="surrogatepass")
    yield plain
    for encoded in (quote(value, safe="", errors="surrogatepass"), quote_plus(value, errors="surrogatepass")):
        yield encoded.encode()
    for offset in range(3):
        text = base64.b64encode(b"\0" * offset + plain)
        first = (0, 2, 3)[offset]
        last = len(text) - {0: 0, 1: 3, 2: 2}[(offset + len(plain)) % 3]
        if last - first >= SHORTEST_SECRET:
            yield text[first:last]
            yield text[first:last].replace(b"+", b"-").replace(b"/", b"_")


def _overlapping(probe: bytes, window: bytes) -> Iterator[re.Match[bytes]]:
    """Yield a probe's match from every place where one begins."""
    pattern = re.compile(probe)
    match = pattern.search(window)
    while match:
        yield match
        match = pattern.search(window, match.start() + 1)


def _judge(shape: Shape, window: bytes, path: str, end: int) -> re.Match[bytes] | None:
    """Return the secret around the place where a probe ended, if there is one that no person made up."""
    if not shape.is_for(path):
        return None
    for match in re.compile(shape.exact).finditer(window, max(0, end - 700), min(len(window), end + REACH_BYTES)):
        if match.end() < end - 700 or is_placeholder(match["value"], is_random=shape.is_random):
            continue
        return match
    return None
