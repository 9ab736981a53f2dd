"""What workers cost: the live price of their GPU, else the dated snapshot's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from factory.account import Balance, CloudWorker, EndpointSpec, GpuOffer
from factory.provisioning.observed import Observed, PoolOffer

BILLED = ("RUNNING", "IDLE")
"""RunPod bills start-up code, jobs and the idle time-out; of an image's pull its pages say both (read 2026-11-23)."""


def pools_of(gpus: Iterable[GpuOffer]) -> Mapping[str, PoolOffer]:
    """Return the pools of a catalogue by id."""
    return Observed(Balance(0.0, 0.0), gpus=tuple(gpus)).pools


def worker_usd_per_h(gpu: str | None, spec: EndpointSpec, pools: Mapping[str, PoolOffer]) -> float | None:
    """Return what a worker costs an hour: of its GPU's pool, else the endpoint's first; None without a price."""
    own = next((pool for pool in pools.values() if gpu is not None and gpu in pool.gpus), None)
    pool = own or (pools.get(spec.pools[0]) if spec.pools else None)
    if pool is None or pool.usd_per_s is None:
        return None
    return round(pool.usd_per_s * 3600 * spec.gpu_count, 4)


def workers_usd_per_h(
    workers: Iterable[CloudWorker], spec: EndpointSpec, pools: Mapping[str, PoolOffer]
) -> float | None:
    """Return what the workers that are up cost an hour together; None when the price of one isn't known."""
    prices = [worker_usd_per_h(worker.gpu, spec, pools) for worker in workers if worker.status in BILLED]
    known = [price for price in prices if price is not None]
    return round(sum(known), 4) if len(known) == len(prices) else None
