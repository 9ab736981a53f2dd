"""size: ModelFiles (+ image) → DiskPlan. Pure: it shows its arithmetic, and asks nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from factory.catalogue import POOLS, Pool
from factory.errors import SizeError, VramTooSmall
from factory.recipe.model import Recipe
from factory.records import DiskPlan, ImageSize, ModelFiles, PoolFit
from factory.sizing import disks, vram


def size(
    recipe: Recipe,
    models: Sequence[ModelFiles],
    *,
    image: ImageSize | None = None,
    neighbours: Sequence[tuple[str, Sequence[ModelFiles]]] = (),
    pools: Mapping[str, Pool] = POOLS,
) -> DiskPlan:
    """Size both disks and judge each GPU pool.

    Without `image` the container disk is an estimate and says so. `neighbours` are the other recipes on the same
    volume. `pools` are those of the dated snapshot, unless RunPod's live ones are at hand. Raises
    ContainerDiskTooSmall, VolumeTooSmall, VolumeTooLarge, and VramTooSmall when no pool can hold the weights.
    """
    container = disks.container(recipe, models, image)
    volume = disks.volume(recipe, models, neighbours)
    return DiskPlan(container, volume, _fits(recipe, models, pools), disks.warnings(container, volume))


def gpu_pools(recipe: Recipe, pools: Mapping[str, Pool] = POOLS) -> tuple[str, ...]:
    """Return the pool ids of a recipe, in order: its own, else all with `min_vram_gb` per GPU, cheapest first.

    A pool without a published price comes last. Empty for a CPU worker. Raises VramTooSmall when no pool has that
    much memory, SizeError for an unknown pool.
    """
    if recipe.gpu is None:
        return ()
    if recipe.gpu.pools:
        return tuple(_pool(name, pools).id for name in recipe.gpu.pools)
    least_gb = recipe.gpu.min_vram_gb or 0
    found = [pool for pool in pools.values() if pool.vram_gb >= least_gb]
    if not found:
        largest = max(pools.values(), key=lambda pool: pool.vram_gb)
        raise VramTooSmall(
            f"no GPU pool has {least_gb:g} GB per GPU, the largest is {largest.id} with {largest.vram_gb} GB",
            where="gpu.min_vram_gb",
            fix="ask for less, and for more GPUs with gpu.count",
        )
    return tuple(pool.id for pool in sorted(found, key=_price))


def _fits(recipe: Recipe, models: Sequence[ModelFiles], pools: Mapping[str, Pool]) -> tuple[PoolFit, ...]:
    if recipe.gpu is None:
        return ()
    gpu, loaded = recipe.gpu, vram.resident(models)
    fits = tuple(vram.fit(pools[name], recipe, gpu, loaded) for name in gpu_pools(recipe, pools))
    if all(found.verdict == "error" for found in fits):
        others = [vram.fit(pool, recipe, gpu, loaded) for pool in sorted(pools.values(), key=_price)]
        others.sort(key=lambda found: ("fine", "warning", "error").index(found.verdict))
        raise VramTooSmall(
            "no GPU pool of the recipe holds the weights: " + "; ".join(found.sentence for found in fits),
            where="gpu",
            fix="load a smaller dtype, or set gpu.offload"
            if others[0].verdict == "error"
            else f"use {others[0].pool}, load a smaller dtype, or set gpu.offload",
            details={
                "weights_bytes": loaded.total_bytes,
                "usable_bytes": {found.pool: found.usable_bytes for found in fits},
            },
        )
    return fits


def _pool(name: str, pools: Mapping[str, Pool]) -> Pool:
    """Return a pool by id. Raises SizeError with the likeliest one when there is none."""
    if name not in pools:
        close = get_close_matches(name.upper(), pools, n=1, cutoff=0)
        raise SizeError(f"no such GPU pool ({name})", where="gpu.pools", fix=f"did you mean {close[0]}?")
    return pools[name]


def _price(pool: Pool) -> tuple[float, int]:
    return (float("inf") if pool.flex_usd_per_s is None else pool.flex_usd_per_s, pool.vram_gb)
