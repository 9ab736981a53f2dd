"""Who is alive: a record that its owner rewrites, and a watcher who looks for changes.

No two hosts' clocks are compared, and no time stamp of the file server is believed: a watcher counts the seconds of its
own clock since it last saw the record's bytes change. A record whose owner ran under this very kernel and in this very
process namespace is known to be dead at once, from /proc.
"""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RECORD_BYTES = 1024
"""A record's size. It is rewritten in place, so that a full disk can't stop a heartbeat."""


def now_s() -> float:
    """Return seconds of a clock that goes on while the machine sleeps, as the others' clocks do."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, told apart from every other one on any host."""

    id: str
    host: str
    pid: int
    started: str
    kernel: str
    namespace: str

    @classmethod
    def this_process(cls) -> Owner:
        """Return a new owner in this process."""
        pid = os.getpid()
        return cls(os.urandom(8).hex(), socket.gethostname()[:64], pid, _started(pid), _kernel(), _namespace())

    def as_fields(self) -> dict[str, object]:
        """Return what the record holds of it."""
        return {name: getattr(self, name) for name in self.__slots__}

    def sees_dead(self, owner: object) -> bool:
        """Whether the owner in a record is surely dead: same kernel, same process namespace, and no such process."""
        if not isinstance(owner, dict) or not self.kernel or not self.namespace:
            return False
        if (owner.get("kernel"), owner.get("namespace")) != (self.kernel, self.namespace):
            return False
        pid, started = owner.get("pid"), owner.get("started")
        return isinstance(pid, int) and bool(started) and _started(pid) != started


def encode(record: dict[str, Any]) -> bytes:
    """Return a record as bytes, always RECORD_BYTES of them."""
    return json.dumps(record, separators=(",", ":")).encode().ljust(RECORD_BYTES - 1) + b"\n"


def decode(raw: bytes) -> dict[str, Any]:
    """Return what a record says; an empty one when it is half written."""
    try:
        found = json.loads(raw)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def read(path: Path) -> bytes | None:
    """Return a record's bytes, None when it is gone. Raises OSError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


@dataclass(slots=True)
class Watch:
    """One watcher of one record."""

    raw: bytes | None = None
    since_s: float = field(default_factory=now_s)

    def look(self, raw: bytes | None) -> float:
        """Take the record's bytes as they are now; return the seconds since they last changed."""
        if raw != self.raw:
            self.raw, self.since_s = raw, now_s()
        return now_s() - self.since_s


def _started(pid: int) -> str:
    """Return when a process started, in the kernel's ticks; empty when there is no such process (or it is a corpse)."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return ""
    return "" if after_name[0] in "ZX" else after_name[19]


def _kernel() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
