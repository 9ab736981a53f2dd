"""Which recipe goes next, so that what several share is made once: one of each group first, the others after it.

A group are the recipes with the same key: the same environment. One member makes it; while it is at it the others wait
and the next group's first goes instead. When it fails, the next member takes over. Largest groups go first.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence


class Queue:
    """Items by number, each with its group's key. Thread-safe: every worker takes, works, and says how it ended."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = tuple(keys)
        sizes = Counter(keys)
        # A stable sort: groups of one size, and the members of a group, stay in the order they came in.
        first = {key: number for number, key in reversed(list(enumerate(keys)))}
        self._waiting = sorted(range(len(keys)), key=lambda item: (-sizes[keys[item]], first[keys[item]]))
        self._busy: set[str] = set()  # groups whose environment somebody makes
        self._made: set[str] = set()
        self._is_closed = False
        self._changed = threading.Condition()

    def take(self) -> int | None:
        """Return the next item, waiting until one may go; None when there is none left, or after `close`."""
        with self._changed:
            while self._waiting and not self._is_closed:
                item = self._next()
                if item is not None:
                    self._waiting.remove(item)
                    if self._keys[item] not in self._made:
                        self._busy.add(self._keys[item])
                    return item
                self._changed.wait()
            return None

    def end(self, item: int, *, is_made: bool) -> None:
        """Say how an item ended: what its group shares is there now, or somebody else must make it.

        May be said twice: as soon as the shared part is there, and at the item's end.
        """
        with self._changed:
            key = self._keys[item]
            if is_made:
                self._made.add(key)
            self._busy.discard(key)
            self._changed.notify_all()

    def close(self) -> None:
        """Hand out nothing more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    @property
    def order(self) -> tuple[int, ...]:
        """The items that still wait, in their order."""
        with self._changed:
            return tuple(self._waiting)

    def _next(self) -> int | None:
        """Return the first of a group that nobody has begun, else one whose environment is there."""
        firsts = (n for n in self._waiting if self._keys[n] not in self._busy | self._made)
        return next(firsts, next((n for n in self._waiting if self._keys[n] in self._made), None))
