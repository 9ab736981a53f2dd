"""Which process something belongs to, and whether that one still runs: so that a killed one's leftovers are found.

An owner is text: machine, its boot, the process's id and when it began (`/proc`; where there is none, the id alone).
"""

from __future__ import annotations

import os
import platform
from pathlib import Path


def me() -> str:
    """Return this process as an owner."""
    return f"{platform.node()}/{_boot()}/{os.getpid()}/{_began(os.getpid())}"


def is_gone(owner: str) -> bool:
    """Did the owner run on this machine, and does it no more? Of another machine's owners nothing is known: False."""
    parts = owner.split("/")
    if len(parts) != 4 or parts[0] != platform.node() or not parts[2].isdecimal():
        return False
    return parts[1] != _boot() or parts[3] != _began(int(parts[2]))


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def _began(pid: int) -> str:
    """Return when a process began, in clock ticks since boot (proc(5): field 22); empty when it doesn't run."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        if Path("/proc/self/stat").exists():
            return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "running"
