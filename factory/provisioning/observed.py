"""What the account and the registry hold now: looked at once, for any number of recipes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import TypeVar

from factory.account import (
    Balance,
    DataCenter,
    Endpoint,
    EndpointSpec,
    GpuOffer,
    Login,
    Stock,
    Template,
    TemplateSpec,
    Volume,
)
from factory.catalogue import POOLS, SNAPSHOT_DATE
from factory.records import ImageSize

T = TypeVar("T", Volume, Login, Template, Endpoint)
NEW = "(new)"  # the id of what this run will have made by the time it is needed
STOCKS: tuple[Stock, ...] = ("none", "low", "medium", "high")


@dataclass(frozen=True, slots=True)
class ImageState:
    """The image as its registry has it. `reference` is by digest once it is there, by tag before.

    `is_public`: may anybody pull it (None: nobody asked)? `has_login`: has this machine a login for its registry?
    `problem` is why the registry could not be asked. `is_out_of_reach`: it is on this machine, and RunPod is not.
    """

    reference: str
    is_pushed: bool = True
    platform: str = "linux/amd64"
    cuda: str | None = None  # major.minor that the image was built for
    size: ImageSize | None = None
    is_public: bool | None = None
    has_login: bool = False
    problem: str = ""
    is_out_of_reach: bool = False


@dataclass(frozen=True, slots=True)
class PoolOffer:
    """A GPU pool as a whole: its smallest card's memory, one GPU's price and where that is from, the best stock.

    `source` is `live`, or the date of the snapshot that the price is from.
    """

    id: str
    vram_gb: int
    usd_per_s: float | None
    source: str
    stock: Mapping[str, Stock]
    cuda_versions: tuple[str, ...] = ()
    gpus: tuple[str, ...] = ()

    def stock_in(self, data_centers: Collection[str]) -> Stock:
        """Return the best stock in these data centres; in all of them when none is named."""
        levels = [stock for place, stock in self.stock.items() if not data_centers or place in data_centers]
        return max(levels, key=STOCKS.index, default="none")


@dataclass(frozen=True)
class Observed:
    """One look at an account."""

    balance: Balance
    gpus: tuple[GpuOffer, ...] = ()
    data_centers: tuple[DataCenter, ...] = ()
    secrets: tuple[str, ...] = ()
    volumes: tuple[Volume, ...] = ()
    logins: tuple[Login, ...] = ()
    templates: tuple[Template, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()

    @cached_property
    def pools(self) -> Mapping[str, PoolOffer]:
        """The live pools by id; a price that RunPod doesn't say is the snapshot's."""
        members: dict[str, list[GpuOffer]] = {}
        for gpu in self.gpus:
            if gpu.pool is not None:
                members.setdefault(gpu.pool, []).append(gpu)
        return {pool: _offer(pool, gpus) for pool, gpus in members.items()}

    @property
    def storage_data_centers(self) -> tuple[str, ...]:
        """The data centres that have network volumes, sorted."""
        return tuple(sorted(center.id for center in self.data_centers if center.volume_tiers))

    def with_planned(
        self, volume: Volume | None, login: Login | None, template: TemplateSpec, endpoint: EndpointSpec
    ) -> Observed:
        """Return the account as it will be when this has been made: what the next recipe's plan stands on."""
        return replace(
            self,
            volumes=_put(self.volumes, volume),
            logins=_put(self.logins, login),
            templates=_put(self.templates, Template(_id(self.templates, template.name), template, is_serverless=True)),
            endpoints=_put(self.endpoints, Endpoint(_id(self.endpoints, endpoint.name), endpoint, is_queue=True)),
        )


def name_of(thing: Volume | Login | Template | Endpoint) -> str:
    """Return what it is called at RunPod."""
    return thing.name if isinstance(thing, (Volume, Login)) else thing.spec.name


def _offer(pool: str, gpus: Sequence[GpuOffer]) -> PoolOffer:
    stock: dict[str, Stock] = {}
    for gpu in gpus:
        for place, level in gpu.stock.items():
            stock[place] = max(level, stock.get(place, "none"), key=STOCKS.index)
    prices = [gpu.usd_per_h / 3600 for gpu in gpus if gpu.usd_per_h is not None]
    known = POOLS.get(pool)
    price = max(prices) if prices else known.flex_usd_per_s if known else None
    says_cuda = all(gpu.cuda_versions for gpu in gpus)
    return PoolOffer(
        id=pool,
        vram_gb=min(gpu.vram_gb for gpu in gpus),
        usd_per_s=None if price is None else round(price, 9),
        source="live" if prices else SNAPSHOT_DATE,
        stock=stock,
        cuda_versions=tuple(sorted({v for gpu in gpus for v in gpu.cuda_versions}, key=as_pair)) if says_cuda else (),
        gpus=tuple(name for gpu in gpus for name in (gpu.id, gpu.name)),
    )


def as_pair(version: str) -> tuple[int, ...]:
    """Return `12.4` as (12, 4), so that versions compare."""
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def _id(things: Sequence[Template] | Sequence[Endpoint], name: str) -> str:
    return next((thing.id for thing in things if thing.spec.name == name), NEW)


def _put(things: tuple[T, ...], thing: T | None) -> tuple[T, ...]:
    """Put it in the place of what has its id and name (what is new has no id of its own yet)."""
    if thing is None:
        return things
    key = (thing.id, name_of(thing))
    return tuple(chain((other for other in things if (other.id, name_of(other)) != key), (thing,)))
