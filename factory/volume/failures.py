"""Why workers could not start, as they left it on the volume (worker_runtime/failures.py)."""

from __future__ import annotations

from dataclasses import dataclass

from factory.ports import VolumeStore
from factory.volume.layout import FAILURES, read_json

NEWEST = 20


@dataclass(frozen=True, slots=True)
class LeftFailure:
    """One worker's last words. `at` is ISO 8601, UTC."""

    at: str
    worker: str
    code: str
    sentence: str
    fix: str


def failures(store: VolumeStore, limit: int = NEWEST) -> tuple[LeftFailure, ...]:
    """Return the newest failures, newest first; one that can't be read is left out. Raises what the port raises."""
    # Their names begin with the time.
    paths = sorted(o.path for o in store.list(FAILURES) if o.path.endswith(".json") and not _is_hidden(o.path))
    found = (_failure(store, path) for path in reversed(paths[-limit:]))
    return tuple(failure for failure in found if failure)


def _failure(store: VolumeStore, path: str) -> LeftFailure | None:
    try:
        says = read_json(store, path)
    except ValueError:
        return None
    if not isinstance(says, dict):
        return None
    return LeftFailure(*(str(says.get(name, "")) for name in ("at", "worker", "code", "sentence", "fix")))


def _is_hidden(path: str) -> bool:
    return path.rpartition("/")[2].startswith(".")
