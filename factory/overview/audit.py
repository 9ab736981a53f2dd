"""A whole account: what it costs and why, how long the money lasts, what is bound, left over, adrift."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from factory.account import Balance, Endpoint, Health, Template, Volume
from factory.overview.gap import Gap
from factory.overview.holdings import Drift, Holdings
from factory.overview.prices import pools_of, worker_usd_per_h
from factory.overview.worker_states import counts
from factory.provisioning.costs import HOURS_PER_MONTH, volume_usd_per_month
from factory.provisioning.observed import PoolOffer
from factory.wording import count_text


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that costs money now. `is_avoidable`: it serves nobody, or goes on without a job.

    `usd_per_h` is None where no price is published.
    """

    kind: Literal["volume", "pod", "always on", "workers"]
    name: str
    id: str
    usd_per_h: float | None
    why: str
    is_avoidable: bool


@dataclass(frozen=True, slots=True)
class AuditedEndpoint:
    """An endpoint with its configuration. `is_idle`: no job is known, none was billed in 7 days (None: unknown)."""

    name: str
    id: str
    image: str
    pools: tuple[str, ...]
    data_centers: tuple[str, ...]
    volumes: tuple[str, ...]
    container_disk_gb: int
    workers_min: int
    workers_max: int
    scaler: str
    scaler_value: float
    idle_timeout_s: int | None
    execution_timeout_ms: int
    flashboot: bool
    workers: Mapping[str, int]
    queued: int | None
    usd_7d: float | None
    is_idle: bool | None
    drift: Drift | None


@dataclass(frozen=True, slots=True)
class AuditedTemplate:
    """A template and the endpoints that were made from it. `is_orphan` None: unknown, or a pod's template."""

    name: str
    id: str
    is_serverless: bool
    endpoints: tuple[str, ...]
    is_orphan: bool | None


@dataclass(frozen=True, slots=True)
class AuditedVolume:
    """A volume, its price, who mounts it, and the recipe that means it."""

    name: str
    id: str
    size_gb: int
    data_center: str
    usd_per_month: float
    endpoints: tuple[str, ...]
    pods: tuple[str, ...]
    recipe: str | None
    is_orphan: bool | None


@dataclass(frozen=True, slots=True)
class Audit:
    """The account in one record. None, here and there: it could not be had, and a gap says why."""

    balance: Balance | None
    days_left: float | None
    quota: int | None
    quota_used: int | None
    causes: tuple[Cause, ...]
    endpoints: tuple[AuditedEndpoint, ...] | None
    templates: tuple[AuditedTemplate, ...] | None
    volumes: tuple[AuditedVolume, ...] | None
    gaps: tuple[Gap, ...] = ()


def audit(held: Holdings, gaps: tuple[Gap, ...] = ()) -> Audit:
    """Add up what an account holds."""
    balance, names = held.balance, {volume.id: volume.name for volume in held.volumes or ()}
    spend = balance.spend_usd_per_h if balance else 0.0
    return Audit(
        balance=balance,
        days_left=round(balance.balance_usd / spend / 24, 1) if balance and spend > 0 else None,
        quota=balance.worker_quota if balance else None,
        quota_used=None if held.endpoints is None else sum(e.spec.workers_max for e in held.endpoints),
        causes=tuple(sorted(_causes(held), key=lambda cause: -(cause.usd_per_h or 0))),
        endpoints=_sorted(held.endpoints, lambda e: _endpoint(e, held, names)),
        templates=_sorted(held.templates, lambda t: _template(t, held)),
        volumes=_sorted(held.volumes, lambda v: _volume(v, held)),
        gaps=gaps,
    )


T = TypeVar("T")
R = TypeVar("R", AuditedEndpoint, AuditedTemplate, AuditedVolume)


def _sorted(things: tuple[T, ...] | None, row: Callable[[T], R]) -> tuple[R, ...] | None:
    """Return a row for each thing, by name; None stays None."""
    return None if things is None else tuple(sorted(map(row, things), key=lambda one: (one.name, one.id)))


def is_idle(endpoint: Endpoint, held: Holdings) -> bool | None:
    """Is no job of it known, and nothing billed in 7 days? None where that can't be told."""
    health = held.health.get(endpoint.id)
    if health is None or held.billed is None:
        return None
    return not any(health.jobs.values()) and not any(health.workers.values()) and not held.billed.get(endpoint.id)


def _endpoint(endpoint: Endpoint, held: Holdings, volumes: Mapping[str, str]) -> AuditedEndpoint:
    spec, health = endpoint.spec, held.health.get(endpoint.id)
    return AuditedEndpoint(
        name=spec.name,
        id=endpoint.id,
        image=spec.image,
        pools=spec.pools or spec.cpus,
        data_centers=spec.data_centers,
        volumes=tuple(volumes.get(volume_id, volume_id) for volume_id in spec.volume_ids),
        container_disk_gb=spec.container_disk_gb,
        workers_min=spec.workers_min,
        workers_max=spec.workers_max,
        scaler=spec.scaler,
        scaler_value=spec.scaler_value,
        idle_timeout_s=spec.idle_timeout_s,
        execution_timeout_ms=spec.execution_timeout_ms,
        flashboot=spec.flashboot,
        workers=counts(None, health),
        queued=health.jobs.get("inQueue", 0) if health else None,
        usd_7d=None if held.billed is None else round(held.billed.get(endpoint.id, 0.0), 4),
        is_idle=is_idle(endpoint, held),
        drift=held.drifts.get(spec.name),
    )


def _template(template: Template, held: Holdings) -> AuditedTemplate:
    users = held.users_of(template)
    is_known = held.endpoints is not None and template.is_serverless
    return AuditedTemplate(
        template.spec.name, template.id, template.is_serverless, users, not users if is_known else None
    )


def _volume(volume: Volume, held: Holdings) -> AuditedVolume:
    return AuditedVolume(
        name=volume.name,
        id=volume.id,
        size_gb=volume.size_gb,
        data_center=volume.data_center,
        usd_per_month=volume_usd_per_month(volume.size_gb),
        endpoints=held.endpoints_of(volume),
        pods=held.pods_of(volume),
        recipe=held.kept_volumes.get(volume.name),
        is_orphan=held.is_orphan(volume),
    )


# --- money -----------------------------------------------------------------------------------------------------------
def _causes(held: Holdings) -> Iterator[Cause]:
    for volume in held.volumes or ():
        price = round(volume_usd_per_month(volume.size_gb) / HOURS_PER_MONTH, 5)
        is_orphan = held.is_orphan(volume)
        users = (*held.endpoints_of(volume), *(f"pod {name}" for name in held.pods_of(volume)))
        why = "no endpoint and no pod mounts it" if is_orphan else f"mounted by {', '.join(users) or 'nobody known'}"
        yield Cause("volume", volume.name, volume.id, price, f"{volume.size_gb} GB, {why}", bool(is_orphan))
    for pod in held.pods or ():
        if pod.is_running:
            what = f"{pod.gpu_count} x {pod.gpu}" if pod.gpu else "CPU"
            yield Cause("pod", pod.name, pod.id, pod.usd_per_h, f"{what}: a pod runs until it is stopped", True)
    pools = pools_of(held.gpus or ())
    for endpoint in held.endpoints or ():
        yield from _of_workers(endpoint, held.health.get(endpoint.id), pools)


def _of_workers(endpoint: Endpoint, health: Health | None, pools: Mapping[str, PoolOffer]) -> Iterator[Cause]:
    """Yield what an endpoint's workers cost: those that never stop, and those beyond them that are up now."""
    spec = endpoint.spec
    price = worker_usd_per_h(None, spec, pools)
    found = counts(None, health)
    if spec.workers_min:
        why = f"{count_text(spec.workers_min, 'worker')} always on (workers min {spec.workers_min})"
        yield Cause("always on", spec.name, endpoint.id, _times(price, spec.workers_min), why, True)
    if (up := found.get("running", 0) + found.get("idle", 0) - spec.workers_min) > 0:
        busy = min(found.get("running", 0), health.jobs.get("inProgress", 0) if health else 0)
        why = f"{count_text(up, 'worker')} up now; {count_text(busy, 'job')} under way"
        yield Cause("workers", spec.name, endpoint.id, _times(price, up), why, False)


def _times(price: float | None, number: int) -> float | None:
    return None if price is None else round(price * number, 4)
