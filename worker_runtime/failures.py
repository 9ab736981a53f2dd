"""Why a worker could not start, left on the volume for whoever looks later: `.factory/failures/*.json`.

The log of a worker that is gone is hard to come by; the volume stays. Only the newest are kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from worker_runtime.errors import WorkerError
from worker_runtime.events import EventLog
from worker_runtime.settings import Settings
from worker_runtime.volume import mounted

KEPT = 20
PARTIAL_S = 3600.0  # an unfinished one as old as this is of a worker that was killed


def record(error: WorkerError, settings: Settings, log: EventLog, **more: object) -> Path | None:
    """Write the failure to the volume, whole or not at all; return its path, None without a mounted volume.

    It never raises: a volume that can't be written is told to the log.
    """
    volume = mounted(settings)
    if volume is None:
        return None
    now = datetime.now(UTC)
    report: dict[str, Any] = {
        "at": now.isoformat(timespec="seconds"),
        "worker": settings.worker_id,
        **error.as_fields(),
        **more,
    }
    folder = volume / ".factory" / "failures"
    worker = re.sub(r"[^A-Za-z0-9_-]", "", settings.worker_id)[:40] or "worker"
    path = folder / f"{now:%Y%m%dT%H%M%S.%f}-{worker}-{error.code}.json"
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with partial.open("w") as file:
            json.dump(log.strike(report), file, indent=1, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _forget_old(folder)
    except OSError as failure:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        log.tell("unrecorded", path=str(folder), reason=failure.strerror)
        return None
    return path


def _forget_old(folder: Path) -> None:
    """Remove all but the newest, and what was never finished. Several workers may do it at once."""
    for path in sorted(folder.glob("[0-9]*.json"))[:-KEPT]:
        path.unlink(missing_ok=True)
    for path in folder.glob(".*.partial"):
        try:
            if time.time() - path.stat().st_mtime > PARTIAL_S:
                path.unlink(missing_ok=True)
        except FileNotFoundError:
            continue
