"""What a pod's mounts may be, from the prose of RunPod's OpenAPI (`Mounts`)."""

from __future__ import annotations

from typing import Any

from factory.emulator.runpod.refusals import Refused
from factory.emulator.runpod.world import World


def checked_mounts(mounts: dict[str, Any], world: World, *, is_cpu: bool) -> dict[str, Any]:
    """Return a new pod's mounts. Raises Refused: 400 for two kinds, none of a kind, or a disk on a CPU pod; 404."""
    if "persistent" in mounts and "network" in mounts:
        raise Refused(400, "mounts.persistent and mounts.network are mutually exclusive")
    if "persistent" in mounts and is_cpu:
        raise Refused(400, "mounts.persistent is not available on CPU pods")
    if mounts.get("network") == []:
        raise Refused(400, "mounts.network must not be empty")
    for mount in mounts.get("network", ()):
        world.find_volume(mount["volumeId"])
    return dict(mounts)


def changed_mounts(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return a pod's mounts after a PATCH: the kind and the volume stay, the path and the disk's size may change."""
    if not new:
        return old
    if new.get("network") == []:
        raise Refused(400, "mounts.network must not be empty: clearing mounts is not supported")
    if new.keys() != old.keys():
        raise Refused(400, "the kind of a pod's mounts is fixed when it is created")
    if "network" in new and new["network"][0]["volumeId"] != old["network"][0]["volumeId"]:
        raise Refused(400, "the volumeId of a network mount cannot be changed")
    return dict(new)
