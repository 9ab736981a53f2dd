"""What the emulated RunPod has to offer: GPU types, CPU flavours, data centres, and their stock, which can be changed.

`catalogue.json` says beside its figures which are RunPod's (with source and date) and which are the emulator's own:
stock above all. One stock table serves pods, clusters and serverless; there is none on the community cloud.

    catalogue = Catalogue.snapshot()
    catalogue.set_stock("ADA_24", "EU-RO-1", "NONE")
    catalogue.place(endpoint, world.volumes)     # Place(gpu_type="NVIDIA L4", data_center="US-GA-2"), or None
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Literal, NamedTuple

from factory.emulator.runpod.entities import Availability, Container, Endpoint, Template, Volume

Tier = Literal["STANDARD", "HIGH_PERFORMANCE"]
LEVELS: tuple[Availability, ...] = ("NONE", "LOW", "MEDIUM", "HIGH")


@dataclass(slots=True)
class Gpu:
    """A GPU type. Prices are US dollars: per second on a flex worker (None: not published), per hour on a pod."""

    id: str
    name: str
    pool: str | None
    manufacturer: Literal["NVIDIA", "AMD", "UNKNOWN"]
    memory_gb: int
    flex_usd_per_s: float | None
    secure_usd_per_h: float
    community_usd_per_h: float
    max_count_secure: int
    max_count_community: int
    cuda: list[str]  # versions that its hosts report
    stock: dict[str, Availability]  # by data centre; one that is absent doesn't have the card at all

    @property
    def serverless_usd_per_h(self) -> float | None:
        """The price of one GPU on a flex worker, per hour; None where RunPod lists none."""
        return None if self.flex_usd_per_s is None else round(self.flex_usd_per_s * 3600, 6)


@dataclass(slots=True)
class CpuFlavor:
    """A CPU flavour; prices are US dollars per vCPU and hour."""

    id: str
    name: str
    group: str
    min_vcpus: int
    max_vcpus: int
    ram_gb_per_vcpu: float
    secure_usd_per_h: float
    serverless_usd_per_h: float
    stock: dict[str, Availability]

    def has_size(self, vcpus: int) -> bool:
        """Is it sold with so many vCPUs? (a power of two within its bounds)"""
        return self.min_vcpus <= vcpus <= self.max_vcpus and vcpus & (vcpus - 1) == 0


@dataclass(slots=True)
class DataCenter:
    """A data centre; without `tiers` it has no network volumes."""

    id: str
    name: str
    region: str
    tiers: list[Tier]
    compliance: list[str]
    has_global_network: bool

    @property
    def country(self) -> str:
        """The ISO country code where it stands, read from its id (`EU-RO-1` is RO, `US-KS-2` is US)."""
        first, second = self.id.split("-")[:2]
        return second if first in ("EU", "EUR", "AP", "OC") else first

    def is_at(self, place: str) -> bool:
        """Is it meant by a data centre's id or a country code? (GraphQL's `locations` takes both)"""
        return place in (self.id, self.country)


class Place(NamedTuple):
    """Where a worker can start; `gpu_type` is None for a CPU worker."""

    gpu_type: str | None
    data_center: str


@dataclass(slots=True)
class Catalogue:
    """All of it, by id and in order."""

    gpus: dict[str, Gpu] = field(default_factory=dict)
    cpus: dict[str, CpuFlavor] = field(default_factory=dict)
    data_centers: dict[str, DataCenter] = field(default_factory=dict)
    official_templates: dict[str, Template] = field(default_factory=dict)

    @classmethod
    def snapshot(cls) -> Catalogue:
        """Return the catalogue that the package carries; each call makes a new one, so stock is nobody else's."""
        data = json.loads(files(__package__).joinpath("catalogue.json").read_text())
        return cls(
            gpus={row["id"]: Gpu(**row) for row in data["gpus"]},
            cpus={row["id"]: CpuFlavor(**row) for row in data["cpus"]},
            data_centers={row["id"]: DataCenter(**row) for row in data["data_centers"]},
            official_templates={row["id"]: _template(row) for row in data["official_templates"]},
        )

    @property
    def pools(self) -> dict[str, list[Gpu]]:
        """The GPU types of each serverless pool."""
        pools: dict[str, list[Gpu]] = {}
        for gpu in self.gpus.values():
            if gpu.pool is not None:
                pools.setdefault(gpu.pool, []).append(gpu)
        return pools

    def set_stock(self, gpu_or_pool: str, data_center: str, level: Availability) -> None:
        """Change the stock of a GPU type, or of a whole pool, in one data centre (`*`: wherever it is sold).

        Raises KeyError for an id that is not in the catalogue.
        """
        gpus = self.pools[gpu_or_pool] if gpu_or_pool not in self.gpus else [self.gpus[gpu_or_pool]]
        for gpu in gpus:
            places = list(gpu.stock) if data_center == "*" else [self.data_centers[data_center].id]
            gpu.stock.update(dict.fromkeys(places, level))

    def place(self, endpoint: Endpoint, volumes: Mapping[str, Volume]) -> Place | None:
        """Say where the endpoint's next worker can start: pools in their order, then the data centre with most stock.

        The endpoint's own data centres, those of its volumes, its exclusions and its CUDA constraint all hold. Unknown
        pools match nothing, as at RunPod. None: nowhere.
        """
        allowed = self._allowed(endpoint, volumes)
        if endpoint.cpus:
            flavors = [self.cpus[cpu.id] for cpu in endpoint.cpus if cpu.id in self.cpus]
            return next((Place(None, dc) for flavor in flavors for dc in best_first(flavor.stock, allowed)), None)
        return next(
            (Place(gpu.id, dc) for gpu in self._fitting(endpoint) for dc in best_first(gpu.stock, allowed)), None
        )

    def _allowed(self, endpoint: Endpoint, volumes: Mapping[str, Volume]) -> set[str]:
        places = endpoint.data_centers
        allowed = {dc.id for dc in self.data_centers.values() if not places or any(dc.is_at(place) for place in places)}
        if endpoint.volume_ids:
            allowed &= {volumes[key].data_center for key in endpoint.volume_ids if key in volumes}
        return allowed

    def _fitting(self, endpoint: Endpoint) -> Iterator[Gpu]:
        for pool in endpoint.pools:
            for gpu in self.pools.get(pool, ()):
                if gpu.id in endpoint.excluded_gpus or endpoint.gpu_count > gpu.max_count_secure:
                    continue
                if fits_cuda(gpu.cuda, endpoint.allowed_cuda, endpoint.min_cuda):
                    yield gpu


def best_first(stock: Mapping[str, Availability], allowed: Iterable[str]) -> list[str]:
    """Return the allowed data centres that have any stock, most first."""
    there = [dc for dc in stock if dc in set(allowed) and stock[dc] != "NONE"]
    return sorted(there, key=lambda dc: -LEVELS.index(stock[dc]))


def fits_cuda(offered: Iterable[str], allowed: Iterable[str], minimum: str | None) -> bool:
    """Is a host with one of these CUDA versions acceptable? `12.11` is above `12.2`; a bare `12` is any 12."""
    return bool(cuda_matches(offered, allowed, minimum)) or not (set(allowed) or minimum)


def cuda_matches(offered: Iterable[str], allowed: Iterable[str], minimum: str | None) -> list[str]:
    """Return the offered CUDA versions that satisfy an exact set and a floor; an empty set or no floor asks nothing."""
    exact = set(allowed)
    floor = _numbers(minimum) if minimum else ()
    return [version for version in offered if (not exact or version in exact) and _numbers(version) >= floor]


def _numbers(version: str) -> tuple[tuple[int, str], ...]:
    """Return a version's parts in an order that compares as numbers do, however long they are."""
    return tuple((len(digits), digits) for digits in (part.lstrip("0") for part in version.split(".")))


def _template(row: dict[str, Any]) -> Template:
    container = Container(image=row["image"], disk_gb=row["disk_gb"], ports=row["ports"])
    return Template(id=row["id"], name=row["name"], container=container, is_public=True)
