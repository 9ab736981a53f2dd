"""What a recipe's endpoint costs: while it idles, per second of work, and at full scale. US dollars.

Prices of volume and container disk: docs.runpod.io (pricing), read 2026-11-23. GPU prices: the live catalogue, else the
dated snapshot; each says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from factory.account import EndpointSpec
from factory.provisioning.desired import Desired
from factory.provisioning.observed import PoolOffer
from factory.wording import money_text

VOLUME_USD_PER_GB_MONTH = 0.07
VOLUME_USD_PER_GB_MONTH_BEYOND = 0.05  # what lies beyond the first 1,000 GB
VOLUME_FIRST_GB = 1000
DISK_USD_PER_GB_MONTH = 0.10  # container disk, while a worker exists
HOURS_PER_MONTH = 730


@dataclass(frozen=True, slots=True)
class PoolCost:
    """A worker's price in one pool (None: not published), and that of all workers at once for an hour."""

    pool: str
    usd_per_s: float | None
    usd_per_h_at_max: float | None
    source: str


@dataclass(frozen=True, slots=True)
class Costs:
    """Dollars; `sums` show how the monthly ones came about. `always_on_usd_per_month` is None without a price."""

    volume_usd_per_month: float
    always_on_usd_per_month: float | None
    disk_usd_per_month_and_worker: float
    pools: tuple[PoolCost, ...]
    sums: tuple[str, ...]

    @property
    def idle_usd_per_month(self) -> float:
        """What is billed when no job comes, as far as prices are known."""
        return self.volume_usd_per_month + (self.always_on_usd_per_month or 0)


def volume_usd_per_month(size_gb: int) -> float:
    """Return the monthly price of a network volume, used or not."""
    first = min(size_gb, VOLUME_FIRST_GB)
    return round(first * VOLUME_USD_PER_GB_MONTH + (size_gb - first) * VOLUME_USD_PER_GB_MONTH_BEYOND, 2)


def costs(desired: Desired, volume_gb: int, offers: Mapping[str, PoolOffer]) -> Costs:
    """Add up. `volume_gb` is the size that the volume will have (0: none), which may be more than is needed."""
    endpoint = desired.endpoint
    pools = tuple(_pool_cost(pool, endpoint, offers.get(pool)) for pool in endpoint.pools)
    disk = endpoint.container_disk_gb * DISK_USD_PER_GB_MONTH
    volume = volume_usd_per_month(volume_gb)
    always_on, sums = _always_on(endpoint, pools, disk)
    if volume_gb:
        sums = (f"volume {_volume_sum(volume_gb)} = {money_text(volume)} a month", *sums)
    return Costs(volume, always_on, round(disk, 2), pools, sums)


def _volume_sum(size_gb: int) -> str:
    if size_gb <= VOLUME_FIRST_GB:
        return f"{size_gb} GB x ${VOLUME_USD_PER_GB_MONTH:.2f}"
    beyond = size_gb - VOLUME_FIRST_GB
    first = f"{VOLUME_FIRST_GB} GB x ${VOLUME_USD_PER_GB_MONTH:.2f}"
    return f"{first} + {beyond} GB x ${VOLUME_USD_PER_GB_MONTH_BEYOND:.2f}"


def _pool_cost(pool: str, endpoint: EndpointSpec, offer: PoolOffer | None) -> PoolCost:
    if offer is None or offer.usd_per_s is None:
        return PoolCost(pool, None, None, offer.source if offer else "unknown")
    per_s = offer.usd_per_s * endpoint.gpu_count
    return PoolCost(pool, round(per_s, 9), round(per_s * 3600 * endpoint.workers_max, 2), offer.source)


def _always_on(
    endpoint: EndpointSpec, pools: tuple[PoolCost, ...], disk_usd: float
) -> tuple[float | None, tuple[str, ...]]:
    """Return what workers that never stop cost in a month, in the first pool, and the sum."""
    count = endpoint.workers_min
    if not count:
        return 0.0, ()
    price = pools[0].usd_per_s if pools else None
    if price is None:
        return None, (f"{count} always on: no price is published for {endpoint.pools[0] if pools else 'CPU workers'}",)
    per_h = price * 3600
    total = count * (per_h * HOURS_PER_MONTH + disk_usd)
    disk_sum = f"{endpoint.container_disk_gb} GB disk x ${DISK_USD_PER_GB_MONTH:.2f}"
    sum_text = (
        f"{count} always on x ({money_text(per_h)} an hour x {HOURS_PER_MONTH} h + {disk_sum}) "
        f"= {money_text(total)} a month in {pools[0].pool}"
    )
    return round(total, 2), (sum_text,)
