"""Money: what workers and volumes cost by the second, taken off the balance, and kept by hour for the billing routes.

| what | price |
| --- | --- |
| GPU worker | the catalogue's flex price per GPU, from its container's start to its end, each run rounded up to 1 s |
| CPU worker | the catalogue's price per vCPU, likewise |
| container disk | $0.10 per GB and month while the worker's container runs |
| volume | $0.07 per GB and month up to 1 TB, $0.05 for what is beyond, while it exists; HIGH_PERFORMANCE $0.14 |

Workers and volumes: docs.runpod.io, "Pricing", read 2026-11-23; image pulls are not billed. The price of
HIGH_PERFORMANCE, a month of 730 h, and disk by the second instead of by 5 minutes are the emulator's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from factory.emulator.runpod.catalogue import Catalogue
from factory.emulator.runpod.entities import Charge, Endpoint, Volume, Worker
from factory.emulator.runpod.world import World

HOUR_S = 3600
MONTH_S = 730 * HOUR_S
DISK_USD_PER_GB_MONTH = 0.10
VOLUME_USD_PER_GB_MONTH = {"STANDARD": (0.07, 0.05), "HIGH_PERFORMANCE": (0.14, 0.14)}
FIRST_TIER_GB = 1000
SETTLE_S = 1.0
"""Money is counted at most so often: each count is a write of the account."""

Kind = Literal["serverless", "volume"]
Bucket = Literal["hour", "day", "week", "month", "year"]


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars per second, by component: gpu, cpu, disk (serverless); standard, high_performance (volume)."""

    by_component: dict[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """All components together."""
        return sum(self.by_component.values())


@dataclass(frozen=True, slots=True)
class Record:
    """What one endpoint or volume cost in one bucket [start, end), by component, in US dollars."""

    start: datetime
    end: datetime
    kind: Kind
    resource_id: str
    amounts: dict[str, float]


@dataclass(slots=True)
class _Run:
    """One run of a worker's container, as far as it is paid."""

    worker_id: str
    started_at: float
    paid_s: int = 0


class Bill:
    """The account's bill."""

    def __init__(self, world: World, catalogue: Catalogue) -> None:
        self._world = world
        self._catalogue = catalogue
        self._runs: dict[str, _Run] = {}
        self._charges: dict[str, Charge] = {c.id: c for c in (world.store.load("charge") if world.store else ())}
        self._settled_at = world.now()
        self._spend_usd_per_h = 0.0

    @property
    def spend_usd_per_h(self) -> float:
        """What runs and exists now, per hour."""
        return self._spend_usd_per_h

    @property
    def storage_usd_per_h(self) -> float:
        """The volumes' part of it."""
        return sum(volume_rates(volume).total for volume in self._world.volumes.values()) * HOUR_S

    def settle(self, workers: Iterable[tuple[Worker, Endpoint]], *, is_last: bool = False) -> None:
        """Charge what has come up since the last time: the running workers, and every volume.

        A worker that is not among them any more has been paid for in full: each second is paid when it begins.
        """
        now = self._world.now()
        running = [(w, e, worker_rates(w, e, self._catalogue)) for w, e in workers if w.started_at is not None]
        self._spend_usd_per_h = sum(rates.total for _, _, rates in running) * HOUR_S + self.storage_usd_per_h
        if now - self._settled_at < SETTLE_S and not is_last:
            return
        total = sum(self._pay_run(worker, endpoint, rates, now) for worker, endpoint, rates in running)
        for volume in self._world.volumes.values():
            total += self._pay("volume", volume.id, volume_rates(volume), max(self._settled_at, volume.created_at), now)
        self._runs = {w.id: self._runs[w.id] for w, _, _ in running}
        self._settled_at = now
        if total:
            self._world.charge(total)

    def ended(self, worker: Worker, endpoint: Endpoint) -> None:
        """Charge a worker's last seconds."""
        if worker.started_at is not None:
            rates = worker_rates(worker, endpoint, self._catalogue)
            if total := self._pay_run(worker, endpoint, rates, self._world.now()):
                self._world.charge(total)
            self._runs.pop(worker.id, None)

    def records(
        self, kind: Kind, *, start: datetime, end: datetime, bucket: Bucket = "day", resource_id: str | None = None
    ) -> list[Record]:
        """Return what was spent in [start, end) by bucket and resource, oldest first; what cost nothing is absent."""
        found: dict[tuple[datetime, str], dict[str, float]] = {}
        for charge in self._charges.values():
            at = datetime.fromtimestamp(charge.hour, UTC)
            if charge.kind == kind and start <= at < end and resource_id in (None, charge.resource_id):
                amounts = found.setdefault((bucket_start(at, bucket), charge.resource_id), {})
                for component, usd in charge.amounts.items():
                    amounts[component] = amounts.get(component, 0.0) + usd
        return [
            Record(at, bucket_end(at, bucket), kind, resource, amounts)
            for (at, resource), amounts in sorted(found.items(), key=lambda item: item[0])
        ]

    def _pay_run(self, worker: Worker, endpoint: Endpoint, rates: Rates, now: float) -> float:
        started_at = worker.started_at if worker.started_at is not None else now
        run = self._runs.get(worker.id)
        if run is None or run.started_at != started_at:
            run = self._runs[worker.id] = _Run(worker.id, started_at)
        due_s = max(1, math.ceil(now - started_at))
        paid = self._pay("serverless", endpoint.id, rates, started_at + run.paid_s, started_at + due_s)
        run.paid_s = max(run.paid_s, due_s)
        return paid

    def _pay(self, kind: Kind, resource_id: str, rates: Rates, start_s: float, end_s: float) -> float:
        """Note what something cost from start to end, hour by hour, and return the sum."""
        total = 0.0
        for hour, seconds in _hours(start_s, end_s):
            charge_id = f"{kind}/{resource_id}/{hour}"
            charge = self._charges.setdefault(charge_id, Charge(charge_id, kind, resource_id, hour))
            for component, usd_per_s in rates.by_component.items():
                charge.amounts[component] = charge.amounts.get(component, 0.0) + usd_per_s * seconds
            total += rates.total * seconds
            if self._world.store:
                self._world.store.put("charge", charge)
        return total


def worker_rates(worker: Worker, endpoint: Endpoint, catalogue: Catalogue) -> Rates:
    """Return what a worker costs while its container runs; a GPU without a serverless price costs its pod's."""
    rates = {"disk": endpoint.container.disk_gb * DISK_USD_PER_GB_MONTH / MONTH_S}
    if worker.gpu_type in catalogue.gpus:
        gpu = catalogue.gpus[worker.gpu_type]
        usd_per_h = gpu.secure_usd_per_h if gpu.serverless_usd_per_h is None else gpu.serverless_usd_per_h
        rates["gpu"] = usd_per_h * max(1, worker.gpu_count) / HOUR_S
    elif endpoint.cpus and endpoint.cpus[0].id in catalogue.cpus:
        cpu = endpoint.cpus[0]
        rates["cpu"] = catalogue.cpus[cpu.id].serverless_usd_per_h * cpu.vcpus / HOUR_S
    return Rates(rates)


def volume_rates(volume: Volume) -> Rates:
    """Return what a volume costs while it exists."""
    first, beyond = VOLUME_USD_PER_GB_MONTH[volume.tier]
    per_month = min(volume.size_gb, FIRST_TIER_GB) * first + max(0, volume.size_gb - FIRST_TIER_GB) * beyond
    return Rates({volume.tier.lower(): per_month / MONTH_S})


def bucket_start(at: datetime, bucket: Bucket) -> datetime:
    """Return the beginning of the bucket (UTC; weeks begin on Monday) that a moment lies in."""
    hour = at.replace(minute=0, second=0, microsecond=0)
    day = hour.replace(hour=0)
    starts = {
        "hour": hour,
        "day": day,
        "week": day - timedelta(days=day.weekday()),
        "month": day.replace(day=1),
        "year": day.replace(month=1, day=1),
    }
    return starts[bucket]


def bucket_end(start: datetime, bucket: Bucket) -> datetime:
    """Return where the bucket that begins there ends."""
    lengths = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}
    if bucket in lengths:
        return start + lengths[bucket]
    return bucket_start(start + timedelta(days=32 if bucket == "month" else 367), bucket)


def _hours(start_s: float, end_s: float) -> Iterator[tuple[int, float]]:
    """Yield each hour (its first second, since the epoch) that an interval touches, and how many seconds of it."""
    while start_s < end_s:
        hour = math.floor(start_s / HOUR_S) * HOUR_S
        stop_s = min(end_s, hour + HOUR_S)
        yield hour, stop_s - start_s
        start_s = stop_s
