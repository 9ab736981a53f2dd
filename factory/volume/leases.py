"""Is a worker fetching onto the volume just now? Its lease says so, by a record that changes (docs/weights.md)."""

from __future__ import annotations

import time

from factory.account import Volume
from factory.errors import VolumeBusy
from factory.ports import VolumeStore
from factory.volume import layout

BEATS_PER_STALE = 10  # a worker that leads rewrites its lease so often before it counts as dead
STALE_S = 30.0  # where the record doesn't say: FACTORY_LEASE_S
LOOK_EVERY_S = 0.25


def demand_no_leader(store: VolumeStore, volume: Volume) -> None:
    """Raise VolumeBusy when a worker is fetching: the newest lease isn't released, and its record changes."""
    numbers = [o.path for o in store.list(layout.LEASES) if o.path.removeprefix(layout.LEASES).isdecimal()]
    newest = max(numbers, key=lambda path: int(path.rpartition("/")[2]), default=None)
    if newest is None or (first := _lease(store, newest)) is None or first.get("released"):
        return
    promised = first.get("stale_s")
    stale_s = float(promised) if isinstance(promised, int | float) else STALE_S
    end_s = time.monotonic() + 2.5 * stale_s / BEATS_PER_STALE
    while time.monotonic() < end_s:
        now = _lease(store, newest)
        if now is None or now.get("released"):
            return
        if now != first:
            raise VolumeBusy(
                "a worker is fetching weights onto it just now, and two writers would collide",
                where=f"volume {volume.name}",
                fix="wait until it is done (`factory volumes ls`), then run it again",
            )
        time.sleep(LOOK_EVERY_S)


def _lease(store: VolumeStore, path: str) -> dict[str, object] | None:
    try:
        found = layout.read_json(store, path)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else None
