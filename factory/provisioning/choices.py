"""What a recipe leaves open, chosen from the live catalogue: GPU pools, the volume's data centre, the CPU flavour.

A choice stays once it is made: pools that an endpoint has already, and are still good, are not changed because stock
moved. Otherwise every plan would roll the workers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from factory.catalogue import CPU_DATA_CENTER, CPU_INSTANCES, POOLS, SNAPSHOT_DATE, Pool
from factory.provisioning.observed import STOCKS, Observed, PoolOffer, as_pair
from factory.recipe.model import Gpu, Recipe
from factory.recipe.problems import nearest
from factory.records import GB, ModelFiles, PoolFit

# RunPod's console takes up to three GPU types in order of priority (docs.runpod.io, read 2026-11-23); the list is
# cheapest first, so a fourth would only be a dearer surprise.
MOST_POOLS = 3
# The worker refuses to start with less than 4 GiB available (docs/worker.md), so instances of 4 GB are too small.
CPU_MEMORY_LEAST_GB = 8
CPU_WEIGHTS_FACTOR = 1.2  # weights in RAM beside what is read of them


def catalogue(observed: Observed) -> Mapping[str, PoolOffer]:
    """Return the live pools, or the dated snapshot's (without stock) where RunPod listed none."""
    if observed.pools:
        return observed.pools
    return {
        pool.id: PoolOffer(pool.id, pool.vram_gb, pool.flex_usd_per_s, SNAPSHOT_DATE, {}, gpus=pool.gpus)
        for pool in POOLS.values()
    }


def sizing_table(offers: Mapping[str, PoolOffer]) -> Mapping[str, Pool]:
    """Return the pools as the stage `size` judges them."""
    return {o.id: Pool(o.id, o.vram_gb, o.gpus, o.usd_per_s) for o in offers.values()}


def sizable(recipe: Recipe, offers: Mapping[str, PoolOffer]) -> Recipe:
    """Return the recipe with those of its pools that exist: `size` judges them, preflight speaks of the others."""
    gpu = recipe.gpu
    if gpu is None:
        return recipe
    known = tuple(pool for pool in gpu.pools if pool in offers)
    is_large = any(offer.vram_gb >= (gpu.min_vram_gb or 0) for offer in offers.values())
    if known == gpu.pools and (known or is_large):
        return recipe
    return recipe.model_copy(update={"gpu": gpu.model_copy(update={"pools": known}) if known else None})


def pools(
    gpu: Gpu,
    offers: Mapping[str, PoolOffer],
    fits: Sequence[PoolFit],
    data_centers: Collection[str],
    kept: Sequence[str],
) -> tuple[str, ...]:
    """Return the pools to ask for, in order: the recipe's own, else those it has, else what `min_vram_gb` says.

    Of the latter the smallest sufficient first, then by price; those without stock in `data_centers` (all, when empty)
    or without hosts of `min_cuda` come last; three at most. Empty when no pool is large enough.
    """
    if gpu.pools:
        return gpu.pools
    good = _sufficient(gpu, offers, fits)
    if kept and all(pool in good for pool in kept):
        return tuple(kept)

    def order(pool: str) -> tuple[bool, int, float, str]:
        offer = offers[pool]
        has_stock = offer.stock_in(data_centers) != "none" and has_cuda(offer, gpu.min_cuda)
        price = float("inf") if offer.usd_per_s is None else offer.usd_per_s
        return (not has_stock, offer.vram_gb, price, pool)

    return tuple(sorted(good, key=order)[:MOST_POOLS])


def _sufficient(gpu: Gpu, offers: Mapping[str, PoolOffer], fits: Sequence[PoolFit]) -> set[str]:
    too_small = {fit.pool for fit in fits if fit.verdict == "error"}
    least_gb = gpu.min_vram_gb or 0
    return {offer.id for offer in offers.values() if offer.vram_gb >= least_gb and offer.id not in too_small}


class Misnamed(NamedTuple):
    """A pool that isn't one: what it is, what to do, and the pool that was meant (None: nobody knows)."""

    what: str
    fix: str
    meant: str | None


def misnamed(pool: str, offers: Mapping[str, PoolOffer]) -> Misnamed | None:
    """Say what is wrong with a pool's id; None when it is one. RunPod takes any text, and never schedules it."""
    if pool in offers:
        return None
    holder = next((offer.id for offer in offers.values() if pool.lower() in map(str.lower, offer.gpus)), None)
    if holder:
        return Misnamed("is a GPU's name", f"write {holder}, its pool", holder)
    near = nearest(pool, offers)
    fix = f"did you mean {near}?" if near else f"use one of {', '.join(sorted(offers))}"
    return Misnamed("is no pool of RunPod's live catalogue", fix, near)


def has_cuda(offer: PoolOffer, floor: str | None) -> bool:
    """Has a host of the pool this CUDA version or a later one? True where RunPod doesn't say."""
    if floor is None or not offer.cuda_versions:
        return True
    return any(as_pair(version) >= as_pair(floor) for version in offer.cuda_versions)


def usable(pool_ids: Sequence[str], offers: Mapping[str, PoolOffer], floor: str | None) -> tuple[str, ...]:
    """Return the pools whose hosts have the CUDA that is needed; all of them when none has."""
    good = tuple(pool for pool in pool_ids if pool in offers and has_cuda(offers[pool], floor))
    return good or tuple(pool_ids)


def volume_data_center(
    wanted: Sequence[str], pool_ids: Iterable[str], offers: Mapping[str, PoolOffer], observed: Observed
) -> str | None:
    """Return where to make a volume: among the recipe's data centres (all, when empty) those that have storage.

    The first pool's stock decides, then the second's, …, then the name. None when none has storage.
    """
    places = [place for place in observed.storage_data_centers if not wanted or place in wanted]
    known = [offers[pool] for pool in pool_ids if pool in offers]

    def order(place: str) -> tuple[list[int], str]:
        return [-STOCKS.index(offer.stock_in((place,))) for offer in known], place

    return min(places, key=order, default=None)


def places_with_stock(pool_ids: Iterable[str], offers: Mapping[str, PoolOffer], observed: Observed) -> tuple[str, ...]:
    """Return the data centres that have both network volumes and stock of a pool, best first."""
    known = [offers[pool] for pool in pool_ids if pool in offers]

    def best(place: str) -> int:
        return max((STOCKS.index(offer.stock_in((place,))) for offer in known), default=0)

    return tuple(sorted((p for p in observed.storage_data_centers if best(p)), key=lambda place: (-best(place), place)))


def cpu_data_centers(wanted: Sequence[str]) -> tuple[str, ...]:
    """Return where a CPU endpoint may run: the recipe's data centres, else the one that has CPU workers."""
    return tuple(wanted) or (CPU_DATA_CENTER,)


def cpus(disk_gb: int, models: Sequence[ModelFiles]) -> tuple[str, ...]:
    """Return CPU instances: the smallest that holds container disk and weights, and one more of its size to fall back.

    Empty when the disk is larger than any instance allows.
    """
    weights_gb = sum(model.unique_bytes for model in models) * CPU_WEIGHTS_FACTOR / GB
    least_gb = max(CPU_MEMORY_LEAST_GB, 4 + weights_gb)
    fitting = [cpu for cpu in CPU_INSTANCES if cpu.disk_gb >= disk_gb and cpu.memory_gb >= least_gb]
    return tuple(cpu.id for cpu in fitting if cpu.vcpus == fitting[0].vcpus)[:2] if fitting else ()
