"""Whether the network volume is there: only then may anything be written to its path."""

from __future__ import annotations

import os
from pathlib import Path

from worker_runtime.settings import Settings


def is_mount(path: Path) -> bool:
    """Whether something is mounted at `path`; a bind mount from the same file system counts too."""
    if os.path.ismount(path):
        return True
    try:
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return False
    return str(path) in (line.split()[4] for line in mounts)


def mounted(settings: Settings) -> Path | None:
    """Return the volume's path, None when nothing is mounted there and FACTORY_VOLUME names no folder either."""
    volume = settings.volume
    return volume if volume.is_dir() and (settings.may_volume_be_folder or is_mount(volume)) else None
