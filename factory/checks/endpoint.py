"""GPUs, data centres, timeouts and workers: what RunPod accepts in silence and never schedules."""

from __future__ import annotations

import re
from collections.abc import Iterator

from factory.catalogue import CPU_DATA_CENTER, DATA_CENTERS, OTHER_DATA_CENTERS, POOLS, SNAPSHOT_DATE
from factory.checks.finding import Found
from factory.checks.packages import requirements
from factory.recipe import RecipeFile
from factory.recipe.problems import nearest

# RunPod's own default when an endpoint names no CUDA version (read off created endpoints, 2026-08).
_DEFAULT_CUDA = "12.0"
_CUDA_PACKAGES = frozenset({"torch", "tensorflow", "jax", "vllm", "cupy-cuda12x", "onnxruntime-gpu", "flash-attn"})


def gpu_pool(file: RecipeFile) -> Iterator[Found]:
    """Find GPU ids that are no pool: RunPod accepts any text and never schedules what it doesn't know."""
    gpu = file.recipe.gpu
    for index, pool in enumerate(gpu.pools if gpu else ()):
        if pool in POOLS:
            continue
        key = f"gpu.pools.{index}"
        if holder := _pool_of(pool):
            yield Found(
                key, f"{pool!r} is a GPU's name, which RunPod accepts and never schedules", f"write {holder}, its pool"
            )
        elif re.fullmatch(r"[A-Z]+_\d+(_[A-Z]+)?", pool):
            near = nearest(pool, POOLS)
            fix = f"did you mean {near}?" if near else f"known: {', '.join(POOLS)}"
            yield Found(key, f"no pool {pool} in the catalogue of {SNAPSHOT_DATE}", fix, "warning")
        else:
            near = nearest(pool, POOLS)
            fix = f"did you mean {near}?" if near else f"use one of {', '.join(POOLS)}"
            yield Found(key, f"{pool!r} is no GPU pool, and RunPod would never schedule it", fix)
    largest = max(pool.vram_gb for pool in POOLS.values())
    if gpu and gpu.min_vram_gb and not gpu.pools and gpu.min_vram_gb > largest:
        yield Found(
            "gpu.min_vram_gb",
            f"no pool has {gpu.min_vram_gb:g} GB per GPU (the largest has {largest}, catalogue of {SNAPSHOT_DATE})",
            "raise gpu.count, and load the weights across GPUs",
        )


def _pool_of(name: str) -> str | None:
    """Return the pool that holds a GPU by its product name, `NVIDIA A100 80GB PCIe` → AMPERE_80."""
    words = set(re.findall(r"[a-z0-9]+", name.lower()))
    matches = {
        pool.id: max(len(wanted) for wanted in wanteds)
        for pool in POOLS.values()
        if (
            wanteds := [
                w for gpu in pool.gpus if (w := set(re.findall(r"[a-z0-9]+", gpu.lower())) - _FORM) and w <= words
            ]
        )
    }
    return max(matches, key=lambda pool: matches[pool]) if matches else None


_FORM = frozenset({"rtx", "pcie", "sxm", "nvl", "server", "workstation", "max", "q"})


def gpu_twice(file: RecipeFile) -> Iterator[Found]:
    """Find a pool that is listed twice."""
    pools = file.recipe.gpu.pools if file.recipe.gpu else ()
    for index, pool in enumerate(pools):
        if pool in pools[:index]:
            yield Found(f"gpu.pools.{index}", f"{pool} is there twice", "keep the first")


def data_center(file: RecipeFile) -> Iterator[Found]:
    """Find data centres that nobody knows, or that lack what the recipe needs."""
    recipe = file.recipe
    centers = recipe.endpoint.data_centers
    needs_volume = any(model.placement == "volume" for model in recipe.models) or recipe.volume is not None
    for index, center in enumerate(centers):
        key = f"endpoint.data_centers.{index}"
        if center not in DATA_CENTERS | OTHER_DATA_CENTERS:
            near = nearest(center, DATA_CENTERS | OTHER_DATA_CENTERS)
            fix = f"did you mean {near}?" if near else "look it up in RunPod's console"
            yield Found(key, f"no data centre {center} in the catalogue of {SNAPSHOT_DATE}", fix)
        elif needs_volume and center not in DATA_CENTERS:
            sentence = f"{center} had no network volumes in the catalogue of {SNAPSHOT_DATE}"
            yield Found(key, sentence, f"choose one of {', '.join(sorted(DATA_CENTERS))}")
    if recipe.gpu is None and centers and CPU_DATA_CENTER not in centers:
        yield Found("endpoint.data_centers", f"CPU workers run in {CPU_DATA_CENTER} only", f"add {CPU_DATA_CENTER}")


def min_cuda(file: RecipeFile) -> Iterator[Found]:
    """Find a CUDA that the host's driver may not have: by default RunPod takes hosts from CUDA 12.0 on."""
    recipe = file.recipe
    if recipe.gpu is None:
        return
    needed = _cuda_of(file)
    floor = recipe.gpu.min_cuda or _DEFAULT_CUDA
    if needed and _as_pair(floor) < _as_pair(needed):
        said = f"gpu.min_cuda is {floor}" if recipe.gpu.min_cuda else f"RunPod takes hosts from CUDA {floor} on"
        key = "gpu.min_cuda" if recipe.gpu.min_cuda else "gpu"
        yield Found(key, f"the image is made for CUDA {needed}, and {said}", f"write min_cuda: '{needed}'", "warning")
    elif not needed and not recipe.gpu.min_cuda and any(item.name in _CUDA_PACKAGES for item in requirements(file)):
        yield Found(
            "gpu",
            f"no min_cuda, so a worker may land on a host whose driver ends at CUDA {_DEFAULT_CUDA}",
            "write the CUDA version that the packages are built for, e.g. min_cuda: '12.4'",
        )


def _cuda_of(file: RecipeFile) -> str | None:
    """Return the highest CUDA version that the base's tag or a package's local version tells of."""
    tag = (file.recipe.image.base or "").rpartition("/")[2]
    found = [f"{m[1]}.{m[2]}" for m in re.finditer(r"cuda[:_-]?(\d{2})\.(\d)", tag)]
    for item in requirements(file):
        found += [f"{m[1]}.{m[2]}" for m in re.finditer(r"\+cu(\d{2})(\d)\b", item.version or "")]
    return max(found, key=_as_pair, default=None)


def _as_pair(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def timeouts(file: RecipeFile) -> Iterator[Found]:
    """Find tests that the endpoint would cut off."""
    limit = file.recipe.endpoint.execution_timeout_s
    for index, test in enumerate(file.recipe.tests):
        if test.timeout_s > limit:
            yield Found(
                f"tests.{index}.timeout_s",
                f"the test may take {test.timeout_s} seconds, and the endpoint ends a job after {limit}",
                "raise endpoint.execution_timeout_s, or lower timeout_s",
            )


def workers(file: RecipeFile) -> Iterator[Found]:
    """Find an endpoint without workers."""
    if file.recipe.endpoint.workers.max == 0:
        yield Found("endpoint.workers.max", "with no workers a job waits for ever", "write at least 1")


def always_on(file: RecipeFile) -> Iterator[Found]:
    """Say what workers that never stop cost."""
    recipe = file.recipe
    count = recipe.endpoint.workers.min
    if count == 0:
        return
    prices = [POOLS[pool].flex_usd_per_s for pool in (recipe.gpu.pools if recipe.gpu else ()) if pool in POOLS]
    price = prices[0] if prices else None
    per_day = count * (recipe.gpu.count if recipe.gpu else 1) * price * 86_400 if price else None
    cost = f", about ${per_day:,.0f} a day at the flex price of {SNAPSHOT_DATE}" if per_day else ""
    yield Found(
        "endpoint.workers.min", f"{count} worker(s) run and are billed day and night{cost}", "write 0 to scale to zero"
    )


def idle_timeout(file: RecipeFile) -> Iterator[Found]:
    """Find an idle timeout beside a scaler that RunPod refuses it with (REST v2 answers 422, read 2026-11-23)."""
    if file.recipe.endpoint.scaler.type == "request_count" and "endpoint.idle_timeout_s" in file.lines:
        yield Found(
            "endpoint.idle_timeout_s",
            "RunPod refuses an idle timeout together with request_count",
            "remove one of the two",
        )
