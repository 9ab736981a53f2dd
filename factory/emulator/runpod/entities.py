"""What an emulated RunPod account holds: plain, mutable, and the same for every face.

Sizes are GB (10^9 bytes), times are seconds since the epoch on the emulator's clock (`created_at`) unless the name
says ms. Every entity goes to the store as JSON and comes back by its own class (`store.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

WorkerStatus = Literal["INITIALIZING", "RUNNING", "IDLE", "THROTTLED", "UNHEALTHY"]
JobStatus = Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"]
FINAL: frozenset[JobStatus] = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"})
Availability = Literal["NONE", "LOW", "MEDIUM", "HIGH"]


@dataclass(slots=True)
class Person:
    """The account itself: money, and how many workers it may have in all (the sum of `workers_max`)."""

    id: str = "user_emulated"
    email: str = "you@example.com"
    balance_usd: float = 100.0
    spend_limit_usd_per_h: float = 80.0
    worker_quota: int = 10
    lifetime_spend_usd: float = 0.0
    public_key: str = ""


@dataclass(slots=True)
class Volume:
    """A network volume. Its name is not unique; its data centre and tier never change; its size only grows."""

    id: str
    name: str
    size_gb: int
    data_center: str
    tier: Literal["STANDARD", "HIGH_PERFORMANCE"] = "STANDARD"
    created_at: float = 0.0


@dataclass(slots=True)
class Container:
    """What runs: shared by templates and endpoints. `login_id` names the registry login that pulls the image."""

    image: str
    args: str = ""
    disk_gb: int = 10
    env: dict[str, str] = field(default_factory=dict)
    ports: list[str] = field(default_factory=list)
    login_id: str | None = None


@dataclass(slots=True)
class Template:
    """A container's recipe at RunPod; the name is unique in an account. `volume_gb` is a pod's, 0 for serverless."""

    id: str
    name: str
    container: Container
    is_serverless: bool = False
    is_public: bool = False
    category: Literal["NVIDIA", "AMD", "CPU"] = "NVIDIA"
    readme: str = ""
    start_ssh: bool = True
    start_jupyter: bool = True
    allowed_cuda: list[str] = field(default_factory=list)
    volume_gb: int = 0
    mount_path: str = ""
    mounts: dict[str, Any] = field(default_factory=dict)  # REST v2's `mounts`, as it was sent
    bound_endpoint_id: str | None = None  # made by the platform for one endpoint; goes with it, and is not listed
    created_at: float = 0.0


@dataclass(slots=True)
class Cpu:
    """One CPU configuration that a worker may have."""

    id: str
    vcpus: int


@dataclass(slots=True)
class Change:
    """One field that a release changed; the values are what REST v2 shows."""

    field: str
    old: Any
    new: Any


@dataclass(slots=True)
class Release:
    """One version of an endpoint's container configuration."""

    id: str
    version: int
    created_at: float
    changes: list[Change] = field(default_factory=list)


@dataclass(slots=True)
class Endpoint:
    """A scaled queue (or load balancer) before workers.

    `container` is the resolved copy that new workers start from. `template_id` is GraphQL's link: a change of the
    template reaches `container` only when the endpoint is saved again. `version` counts container configurations.
    Exactly one of `pools` and `cpus` is not empty.
    """

    id: str
    name: str
    kind: Literal["QUEUE", "LOAD_BALANCER"]
    container: Container
    template_id: str | None = None
    pools: list[str] = field(default_factory=list)
    excluded_gpus: list[str] = field(default_factory=list)
    gpu_count: int = 1
    allowed_cuda: list[str] = field(default_factory=list)
    min_cuda: str | None = None
    cpus: list[Cpu] = field(default_factory=list)
    workers_min: int = 0
    workers_max: int = 3
    idle_timeout_s: int | None = 10  # None where it does not apply: QUEUE with REQUEST_COUNT
    scaler: Literal["QUEUE_DELAY", "REQUEST_COUNT"] = "QUEUE_DELAY"
    scaler_value: float = 4.0
    data_centers: list[str] = field(default_factory=list)
    volume_ids: list[str] = field(default_factory=list)
    execution_timeout_ms: int = 0  # 0: none of its own
    flashboot: Literal["OFF", "FLASHBOOT", "PRIORITY_FLASHBOOT"] = "OFF"
    model_references: list[str] = field(default_factory=list)
    own_env: dict[str, str] = field(default_factory=dict)  # what GraphQL's `env` laid over the template's
    version: int = 1
    releases: list[Release] = field(default_factory=list)
    created_at: float = 0.0


@dataclass(slots=True)
class Login:
    """A registry login. The password never leaves the emulator again."""

    id: str
    name: str
    username: str
    password: str = field(repr=False)
    created_at: float = 0.0


@dataclass(slots=True)
class Secret:
    """A secret that env values name as `{{ RUNPOD_SECRET_name }}`."""

    id: str
    name: str
    value: str = field(repr=False)
    description: str = ""
    created_at: float = 0.0


@dataclass(slots=True)
class Worker:
    """One container (or process) of an endpoint; `version` is the endpoint's when it was started."""

    id: str
    endpoint_id: str
    version: int
    image: str
    status: WorkerStatus = "INITIALIZING"
    gpu_type: str | None = None
    gpu_count: int = 0
    data_center: str | None = None
    created_at: float = 0.0
    started_at: float | None = None  # when its process began
    joined_at: float | None = None  # when it first asked for a job
    idle_since: float | None = None
    is_leaving: bool = False  # takes no new job; ends after its last
    restarts: int = 0
    exit_code: int | None = None
    problem: str = ""  # why it is UNHEALTHY or THROTTLED


@dataclass(slots=True)
class Charge:
    """What one endpoint or volume cost in one hour, by component, in US dollars (bill.py)."""

    id: str
    kind: Literal["serverless", "volume"]
    resource_id: str
    hour: int  # its first second, since the epoch
    amounts: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Job:
    """One job, from `run` to the end of its retention. `payload` is the whole body as it was sent."""

    id: str
    endpoint_id: str
    payload: dict[str, Any]
    is_sync: bool
    created_at: float
    queued_at: float
    status: JobStatus = "IN_QUEUE"
    started_at: float | None = None
    finished_at: float | None = None
    worker_id: str | None = None
    output: Any = None
    has_output: bool = False
    error: Any = None
    retries: int = 0
    stream: list[Any] = field(default_factory=list)  # chunks that nobody has fetched yet
    is_streaming: bool = False

    @property
    def is_final(self) -> bool:
        """Has it ended?"""
        return self.status in FINAL
