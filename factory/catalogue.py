"""A dated snapshot of what RunPod Serverless offers: GPU pools with memory and price, data centres with storage.

It is the fallback for work without an account or a network; whoever prints a figure from here says `SNAPSHOT_DATE`
beside it. RunPod's live catalogue (`GET /v2/catalog/gpus`, `GET /v2/catalog/datacenters`) is right where they differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

SNAPSHOT_DATE = "2026-11-23"


@dataclass(frozen=True, slots=True)
class Pool:
    """A serverless GPU pool.

    `vram_gb` is the nominal memory (GB) of the pool's *smallest* card, since a worker may land on any of them;
    `flex_usd_per_s` the price of one GPU on a flex worker in US dollars per second, None where it is not published.
    """

    id: str
    vram_gb: int
    gpus: tuple[str, ...]
    flex_usd_per_s: float | None


def _table(*pools: Pool) -> Mapping[str, Pool]:
    return MappingProxyType({pool.id: pool for pool in pools})


# Pool ids, cards and nominal memory: docs.runpod.io/flash/configuration/gpu-types; prices: RunPod's serverless pricing
# table. Both read 2026-11-23. Ordered by memory, then price, so that "the first that fits" is a fair choice.
POOLS: Mapping[str, Pool] = _table(
    Pool("AMPERE_16", 16, ("RTX A4000", "RTX A4500", "RTX 4000 Ada", "RTX 2000 Ada"), 0.00016),
    Pool("AMPERE_24", 24, ("L4", "RTX A5000", "RTX 3090"), 0.00019),
    Pool("ADA_24", 24, ("RTX 4090",), 0.00031),
    Pool("ADA_32_PRO", 32, ("RTX 5090",), None),
    Pool("AMPERE_48", 48, ("A40", "RTX A6000"), 0.00034),
    Pool("ADA_48_PRO", 48, ("L40", "L40S", "RTX 6000 Ada"), 0.00053),
    Pool("AMPERE_80", 80, ("A100 PCIe", "A100 SXM"), 0.00076),
    Pool("ADA_80_PRO", 80, ("H100 PCIe", "H100 SXM", "H100 NVL"), 0.00116),
    Pool("BLACKWELL_96", 96, ("RTX PRO 6000 Server", "RTX PRO 6000 Workstation", "RTX PRO 6000 Max-Q"), 0.00111),
    Pool("HOPPER_141", 141, ("H200",), 0.00155),
    Pool("BLACKWELL_180", 180, ("B200",), 0.00240),
)

# Data centres that offer network volumes with the S3 API, in RunPod's documentation read 2026-11-23. RunPod's
# catalogue counted 18 with storage on 2026-08-20, so an id that is absent here is doubtful, not wrong.
DATA_CENTERS: frozenset[str] = frozenset(
    {
        "EU-CZ-1",
        "EU-RO-1",
        "EUR-IS-1",
        "EUR-NO-1",
        "US-CA-2",
        "US-GA-2",
        "US-IL-1",
        "US-KS-2",
        "US-MD-1",
        "US-MO-1",
        "US-MO-2",
        "US-NC-1",
        "US-NC-2",
        "US-NE-1",
        "US-WA-1",
    }
)

# The other ids that RunPod's clients have known (the enumeration in runpod-sdk 0.6.2, docs.rs, read 2026-11-24): they
# have GPUs or had them, and no network volume with the S3 API.
OTHER_DATA_CENTERS: frozenset[str] = frozenset(
    {
        "AP-IN-1",
        "AP-JP-1",
        "CA-MTL-1",
        "CA-MTL-2",
        "CA-MTL-3",
        "EU-FR-1",
        "EU-NL-1",
        "EU-SE-1",
        "EUR-IS-2",
        "EUR-IS-3",
        "OC-AU-1",
        "US-DE-1",
        "US-GA-1",
        "US-KS-3",
        "US-TX-1",
        "US-TX-3",
        "US-TX-4",
    }
)

# CPU endpoints run in one data centre only: runpod-flash, read 2026-11-23.
CPU_DATA_CENTER = "EU-RO-1"


@dataclass(frozen=True, slots=True)
class CpuInstance:
    """A CPU worker's size: `id` is what an endpoint names (`cpu3c-4-8`), `disk_gb` its largest container disk."""

    id: str
    vcpus: int
    memory_gb: int
    disk_gb: int


def _cpu(flavor: str, vcpus: int, memory_gb: int, disk_gb_per_vcpu: int) -> CpuInstance:
    return CpuInstance(f"{flavor}-{vcpus}-{memory_gb}", vcpus, memory_gb, vcpus * disk_gb_per_vcpu)


# Instance ids (flavour, vCPUs, GB of memory) and the disk per vCPU: 10 GB on cpu3, 15 GB on cpu5c (runpod-flash, read
# 2026-11-23); REST v2 sells 2 to 32 vCPUs, in powers of two. Ordered by vCPUs, then by memory.
CPU_INSTANCES: tuple[CpuInstance, ...] = tuple(
    instance
    for vcpus in (2, 4, 8, 16, 32)
    for instance in (
        _cpu("cpu3c", vcpus, vcpus * 2, 10),
        _cpu("cpu5c", vcpus, vcpus * 2, 15),
        _cpu("cpu3g", vcpus, vcpus * 4, 10),
    )
)
