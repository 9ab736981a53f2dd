"""The little languages in GraphQL's strings: comma lists, GPU selections, CPU sizes, CUDA versions, cached models."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from factory.emulator.runpod.entities import Cpu
from factory.emulator.runpod.refusals import Refused

MIN_POD_DISK_GB = 10
_CUDA = re.compile(r"\d{1,3}(\.\d{1,3})?", re.ASCII)
_INSTANCE = re.compile(r"([a-z0-9]+)-(\d{1,4})(?:-\d{1,5})?", re.ASCII)
_MODEL = re.compile(
    r"(?:https://huggingface\.co/)?([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*?)(?::([\w./-]+))?/?", re.ASCII
)


class Selection(NamedTuple):
    """What a `gpuIds` says: pools (or GPU names, which match no pool) in order, and types to leave out."""

    pools: list[str]
    excluded: list[str]


class ModelReference(NamedTuple):
    """A cached model: repository and revision."""

    repo: str
    revision: str


def listed(text: str | None) -> list[str]:
    """Return the parts of a comma list; spaces and empty parts don't count."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def selection(gpu_ids: str | None) -> Selection:
    """Return what `ADA_24,AMPERE_24,-NVIDIA GeForce RTX 3090` selects. Nothing is checked, as at RunPod."""
    parts = listed(gpu_ids)
    return Selection([p for p in parts if not p.startswith("-")], [p[1:].strip() for p in parts if p.startswith("-")])


def parsed_instance(instance_id: str) -> Cpu:
    """Return `cpu3c-2-4` as flavour and vCPUs; the memory follows from the flavour. Raises Refused."""
    found = _INSTANCE.fullmatch(instance_id)
    if found is None:
        raise Refused(400, f"instance {instance_id!r} is not one: cpu3c-2-4 is (flavor, vCPUs, GB)")
    return Cpu(found[1], int(found[2]))


def cuda_versions(versions: Iterable[str]) -> list[str]:
    """Return CUDA versions. Raises Refused for what isn't one."""
    held = [version.strip() for version in versions if version.strip()]
    for version in held:
        if not _CUDA.fullmatch(version):
            raise Refused(400, f"CUDA version {version!r} is not one: 12.4 is")
    return held


def parsed_model(reference: str) -> ModelReference:
    """Return `https://huggingface.co/org/name:revision` in its parts; `main` without a revision. Raises Refused."""
    found = _MODEL.fullmatch(reference.strip())
    if found is None:
        raise Refused(400, f"model reference {reference!r} is not one: https://huggingface.co/org/name:main is")
    return ModelReference(found[1], found[2] or "main")


def pod_disk(volume_gb: int, path: str | None) -> dict[str, Any]:
    """Return a pod's own disk as REST v2's `mounts` have it, at /workspace unless said otherwise; nothing for 0 GB.

    Raises Refused below 10 GB ("upstream enforces a 10 GB floor": RunPod's OpenAPI v2, read 2026-11-23).
    """
    if not volume_gb:
        return {}
    if volume_gb < MIN_POD_DISK_GB:
        raise Refused(400, f"volumeInGb must be 0 or at least {MIN_POD_DISK_GB} (got {volume_gb})")
    return {"persistent": {"size": volume_gb, "path": path or "/workspace"}}


def env_of(pairs: Iterable[Mapping[str, Any]] | None) -> dict[str, str]:
    """Return `[{key, value}]` as a dictionary; of two with one key the later counts."""
    return {pair["key"]: pair["value"] for pair in pairs or ()}
