"""Pods, clusters and ECR delegations as an account has them on paper: no pod of the emulator ever runs.

They are here so that REST v2 is whole: created, listed, changed, acted on and deleted, with RunPod's rules.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from factory.emulator.runpod.entities import Container

PodStatus = Literal["PROVISIONING", "STARTING", "RUNNING", "EXITED", "ERROR", "TERMINATED"]


@dataclass(slots=True)
class Pod:
    """A pod that was asked for. It stays PROVISIONING until it is stopped: nothing starts it."""

    id: str
    name: str
    container: Container
    status: PodStatus = "PROVISIONING"
    gpu_type: str | None = None
    gpu_count: int = 0
    cpu_id: str | None = None
    vcpus: int = 0
    cloud: Literal["SECURE", "COMMUNITY"] = "SECURE"
    data_center: str | None = None
    mounts: dict[str, Any] = field(default_factory=dict)  # as REST v2 has them
    is_locked: bool = False
    has_global_network: bool = False
    cluster_id: str | None = None
    rank: int | None = None
    role: str | None = None  # in SLURM and RAY clusters
    created_at: float = 0.0


@dataclass(slots=True)
class Cluster:
    """Equal pods that were asked for together."""

    id: str
    name: str
    kind: Literal["APPLICATION", "TRAINING", "SLURM", "RAY"]
    gpu_type: str
    gpus_per_pod: int
    pod_count: int
    data_center: str | None = None
    created_at: float = 0.0


@dataclass(slots=True)
class Delegation:
    """An ECR repository that RunPod was let into."""

    id: str
    name: str | None
    aws_account: str
    repository: str
    tag: str
    region: str
    created_at: float = 0.0
