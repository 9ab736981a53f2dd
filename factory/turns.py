"""One at a time, by key: of several recipes that need the same thing made, one makes it and the others find it."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Turns:
    """A lock per key. Lines of one command share it."""

    _locks: defaultdict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def take(self, key: str) -> Iterator[None]:
        """Wait until nobody else has this key, and have it while the block runs."""
        with self._lock:
            lock = self._locks[key]
        with lock:
            yield
