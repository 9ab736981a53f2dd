"""What an account at RunPod holds, as factory sees it: frozen nouns, the same from REST v2 and from GraphQL.

Sizes are whole GB (10^9 bytes), times seconds unless the name says ms, money US dollars.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Stock = Literal["none", "low", "medium", "high"]
JobState = Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT", "EXPIRED"]
FINAL_STATES: frozenset[JobState] = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT", "EXPIRED"})


# --- the account and its catalogue -------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Balance:
    """Money, and how many workers all endpoints may have together (None: RunPod didn't say)."""

    balance_usd: float
    spend_usd_per_h: float
    is_under_balance: bool = False
    worker_quota: int | None = None


@dataclass(frozen=True, slots=True)
class GpuOffer:
    """One type of GPU: its pool (None: in none), memory, price on a flex worker, stock where there is any."""

    id: str
    name: str
    pool: str | None
    vram_gb: int
    usd_per_h: float | None
    stock: Mapping[str, Stock]  # data centre id → stock; one without stock is absent
    cuda_versions: tuple[str, ...] = ()  # of hosts that have this GPU; empty: RunPod didn't say


@dataclass(frozen=True, slots=True)
class DataCenter:
    """A data centre; `volume_tiers` is empty where there are no network volumes."""

    id: str
    region: str
    volume_tiers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pod:
    """A rented pod, billed by the hour while it `is_running` (0 US dollars an hour while it isn't)."""

    id: str
    name: str
    is_running: bool
    usd_per_h: float
    gpu: str | None = None
    gpu_count: int = 0
    data_center: str | None = None
    volume_ids: tuple[str, ...] = ()


# --- what provisioning makes -------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Volume:
    """A network volume. RunPod lets names repeat."""

    id: str
    name: str
    data_center: str
    size_gb: int


@dataclass(frozen=True, slots=True)
class Login:
    """A registry login at RunPod; its password can't be read back."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class TemplateSpec:
    """What a serverless template must say. `env` may hold secret references, never a secret."""

    name: str
    image: str
    container_disk_gb: int
    env: Mapping[str, str] = field(default_factory=dict)
    login_id: str | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """A template as it is. `args` is GraphQL's `dockerArgs`; `is_bound`: the platform made it for one endpoint."""

    id: str
    spec: TemplateSpec
    is_serverless: bool
    args: str = ""
    is_bound: bool = False


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """What an endpoint must say. Exactly one of `pools` (in order of preference) and `cpus` is not empty.

    `idle_timeout_s` is None where RunPod has none (a queue with the scaler `request_count`). `scaler_value` is seconds
    (`queue_delay`) or jobs per worker (`request_count`). `cpus` are flavour ids with vCPUs: `cpu3c-2-4`.
    """

    name: str
    image: str
    container_disk_gb: int
    env: Mapping[str, str] = field(default_factory=dict)
    login_id: str | None = None
    pools: tuple[str, ...] = ()
    gpu_count: int = 1
    min_cuda: str | None = None
    cpus: tuple[str, ...] = ()
    workers_min: int = 0
    workers_max: int = 3
    idle_timeout_s: int | None = 10
    scaler: Literal["queue_delay", "request_count"] = "queue_delay"
    scaler_value: float = 4
    data_centers: tuple[str, ...] = ()
    volume_ids: tuple[str, ...] = ()
    execution_timeout_ms: int = 600_000
    flashboot: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint as it is. `version` counts its container configurations; None where the API doesn't say.

    `template_id` is the template that it is linked to (GraphQL) or None (REST v2 keeps no link). `extra` is what we
    don't manage and must not lose on a full replace: excluded GPUs, allowed CUDA versions, model references.
    """

    id: str
    spec: EndpointSpec
    is_queue: bool
    version: int | None = None
    template_id: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Holdings:
    """What an account holds of all that factory makes, in one look. Volumes and logins: none where nobody asked."""

    endpoints: tuple[Endpoint, ...]
    templates: tuple[Template, ...]
    volumes: tuple[Volume, ...] = ()
    logins: tuple[Login, ...] = ()


@dataclass(frozen=True, slots=True)
class CloudWorker:
    """A worker. `is_stale` says that it runs an older configuration than the endpoint's."""

    id: str
    status: Literal["RUNNING", "IDLE", "INITIALIZING", "THROTTLED", "UNHEALTHY"]
    is_stale: bool
    version: int | None = None
    image: str | None = None
    gpu: str | None = None
    data_center: str | None = None
    uptime_s: int | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """One version of an endpoint's container configuration: (field, old, new) of what changed."""

    version: int | None
    created_at: str
    worker_count: int
    changes: tuple[tuple[str, object, object], ...] = ()


@dataclass(frozen=True, slots=True)
class Rollout:
    """How far the current configuration has come."""

    version: int | None
    on_latest: int
    total: int
    is_in_progress: bool


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a worker printed, or that the platform says of it.

    `id` is where a reader goes on (`<ts>/<seq>`): the same line has the same one each time it is read. Empty where
    RunPod sends none.
    """

    ts: str
    source: Literal["container", "system"]
    line: str
    id: str = field(default="", compare=False)


# --- jobs ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class JobRequest:
    """A job to submit. `ttl_s` is the whole life of the job, `execution_timeout_s` what one attempt may take."""

    input: Mapping[str, Any]
    webhook: str | None = None
    execution_timeout_s: int | None = None
    ttl_s: int | None = None
    is_low_priority: bool = False


@dataclass(frozen=True, slots=True)
class JobResult:
    """A job as it is now. `output` is the last progress while the job runs; `error` is always text."""

    id: str
    state: JobState
    output: Any = None
    error: str | None = None
    delay_ms: int | None = None
    execution_ms: int | None = None
    worker_id: str | None = None
    retries: int = 0

    @property
    def is_final(self) -> bool:
        """Has it ended?"""
        return self.state in FINAL_STATES


@dataclass(frozen=True, slots=True)
class Health:
    """An endpoint's counts: jobs by state and workers by state, in RunPod's words."""

    jobs: Mapping[str, int]
    workers: Mapping[str, int]


# --- network volumes through S3 ----------------------------------------------------------------------------------
# RunPod's documentation of its S3 API, 2026-08-20.
S3_DATA_CENTERS = (
    *("EU-CZ-1", "EU-RO-1", "EUR-IS-1", "EUR-NO-1", "US-CA-2", "US-GA-2", "US-IL-1", "US-KS-2"),
    *("US-MD-1", "US-MO-1", "US-MO-2", "US-NC-1", "US-NC-2", "US-NE-1", "US-WA-1"),
)
"""Data centres whose volumes can be reached through S3."""
S3_PUT_LIMIT_BYTES = 500_000_000
"""A larger file must come in parts."""
S3_PART_LIMIT_BYTES = 500_000_000
"""The largest part; there is no smallest one."""
S3_FILE_LIMIT_BYTES = 4_000_000_000_000
S3_PARTS_LIMIT = 10_000
"""S3's own (docs.aws.amazon.com, multipart upload limits, read 2026-11-23); RunPod says no other number."""
S3_COPY_LIMIT_BYTES = 5_000_000_000
"""S3's own for one CopyObject (the same page)."""


def s3_url(data_center: str) -> str | None:
    """Return the address of RunPod's S3 API for the volumes of a data centre, None where there is none."""
    return f"https://s3api-{data_center.lower()}.runpod.io" if data_center in S3_DATA_CENTERS else None
