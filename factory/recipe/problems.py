"""One thing wrong with a recipe file, and the words that all of its readers share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from factory.recipe.tokens import redacted


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem at a place; `line` and `column` count from 1, and line 0 means the file as a whole.

    `key` is the dotted key as the author wrote it, empty where the file itself is meant.
    """

    line: int
    column: int
    key: str
    what: str
    fix: str = ""

    def sentence(self, path: str) -> str:
        """Return `path:line: key: what; fix`."""
        place = f"{path}:{self.line}" if self.line else path
        line = ": ".join(part for part in (place, redacted(self.key), self.what) if part)
        return f"{line}; {self.fix}" if self.fix else line


def nearest(word: str, choices: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the choice that is spelt most like the word, or None when none is close."""
    by_lower = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[near[0]] if near else None


def shown(value: object) -> str:
    """Return a value in plain words: `the text 'ten'`, `the number 4`, `a list`, `nothing`."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text {quoted(value)}"
    return "a list" if isinstance(value, list | tuple) else "a block of keys"


def quoted(text: str, length: int = 60) -> str:
    """Return the text in single quotes, on one line, cut to `length` characters; a token is cut off."""
    text = redacted(text)
    line = text.encode("unicode_escape").decode() if not text.isprintable() else text
    return f"'{line}'" if len(line) <= length else f"'{line[:length]}…'"
