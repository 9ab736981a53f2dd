"""What GraphQL shows of the catalogue: GPU types with prices and stock, pools, CPU flavours, data centres.

Prices are those of pods, US dollars per hour: GraphQL has none of serverless GPUs. Spot and reserved prices are null:
the emulator's catalogue has none. Stock is one table for pods and serverless, and there is none on the community cloud.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from factory.emulator.runpod.catalogue import Catalogue, CpuFlavor, DataCenter, Gpu, best_first, fits_cuda
from factory.emulator.runpod.entities import Availability
from factory.emulator.runpod.graphql_values import cuda_versions, parsed_instance

Shape = dict[str, Any]
STOCK: Mapping[Availability, str | None] = {"NONE": None, "LOW": "Low", "MEDIUM": "Medium", "HIGH": "High"}
REGIONS = {"EUROPE": "Europe", "NORTH_AMERICA": "North America"}


def gpu_types(catalogue: Catalogue, wanted: Mapping[str, Any] | None) -> list[Shape]:
    """Return GpuTypes: all, or those with the given ids; an unknown id gives nothing."""
    wanted = wanted or {}
    ids = set(wanted.get("ids") or ()) | ({wanted["id"]} if wanted.get("id") else set())
    return [gpu_shape(catalogue, gpu) for gpu in catalogue.gpus.values() if not ids or gpu.id in ids]


def gpu_shape(catalogue: Catalogue, gpu: Gpu) -> Shape:
    """Return a GpuType."""
    return {
        "id": gpu.id,
        "displayName": gpu.name,
        "manufacturer": "Nvidia" if gpu.manufacturer == "NVIDIA" else gpu.manufacturer,
        "memoryInGb": gpu.memory_gb,
        "secureCloud": gpu.max_count_secure > 0,
        "communityCloud": gpu.max_count_community > 0,
        "securePrice": gpu.secure_usd_per_h,
        "communityPrice": gpu.community_usd_per_h,
        "maxGpuCount": max(gpu.max_count_secure, gpu.max_count_community),
        "maxGpuCountSecureCloud": gpu.max_count_secure,
        "maxGpuCountCommunityCloud": gpu.max_count_community,
        "minPodGpuCount": 1,
        "lowestPrice": lambda _, asked=None: _lowest_price(catalogue, gpu, asked or {}),
    }


def _lowest_price(catalogue: Catalogue, gpu: Gpu, asked: Mapping[str, Any]) -> Shape:
    """Return a LowestPrice of the place with most stock; a card that isn't there has neither price nor stock."""
    count = asked.get("gpuCount") or 1
    places = best_first(gpu.stock, _places(catalogue, asked))
    allowed = [*(asked.get("allowedCudaVersions") or ()), *([asked["cudaVersion"]] if asked.get("cudaVersion") else ())]
    is_fit = count <= gpu.max_count_secure and fits_cuda(gpu.cuda, cuda_versions(allowed), None)
    if not places or not is_fit or asked.get("secureCloud") is False:
        return {"gpuTypeId": gpu.id}
    return {
        "gpuTypeId": gpu.id,
        "uninterruptablePrice": round(gpu.secure_usd_per_h * count, 4),
        "stockStatus": STOCK[gpu.stock[places[0]]],
        "maxUnreservedGpuCount": gpu.max_count_secure,
        "availableGpuCounts": list(range(1, gpu.max_count_secure + 1)),
        "countryCode": catalogue.data_centers[places[0]].country,
    }


def _places(catalogue: Catalogue, asked: Mapping[str, Any]) -> list[str]:
    data_center, country = asked.get("dataCenterId"), asked.get("countryCode")
    compliance = set(asked.get("compliance") or ())
    return [
        dc.id
        for dc in catalogue.data_centers.values()
        if data_center in (None, dc.id) and country in (None, dc.country) and compliance <= set(dc.compliance)
    ]


def pools(catalogue: Catalogue) -> list[Shape]:
    """Return ServerlessGpuPools."""
    return [{"id": pool, "gpuTypeIds": [gpu.id for gpu in gpus]} for pool, gpus in catalogue.pools.items()]


# --- data centres ----------------------------------------------------------------------------------------------------
def data_centers(catalogue: Catalogue) -> list[Shape]:
    """Return DataCenters."""
    return [data_center_shape(catalogue, data_center) for data_center in catalogue.data_centers.values()]


def data_center_shape(catalogue: Catalogue, data_center: DataCenter) -> Shape:
    """Return a DataCenter."""
    return {
        "id": data_center.id,
        "name": data_center.id,
        "location": REGIONS.get(data_center.region, data_center.region),
        "region": data_center.region,
        "listed": True,
        "storageSupport": bool(data_center.tiers),
        "compliance": list(data_center.compliance),
        "gpuAvailability": lambda _, asked=None: _availability(catalogue, data_center, asked or {}),
    }


def _availability(catalogue: Catalogue, data_center: DataCenter, asked: Mapping[str, Any]) -> list[Shape]:
    """Return GpuAvailability of every type; one that can't be had here is there without a stock status."""
    count = asked.get("gpuCount") or 1
    rows = []
    for gpu in catalogue.gpus.values():
        is_possible = count <= gpu.max_count_secure and asked.get("secureCloud") is not False
        level: Availability = gpu.stock.get(data_center.id, "NONE") if is_possible else "NONE"
        rows.append(
            {
                "available": level != "NONE",
                "stockStatus": STOCK[level],
                "gpuTypeId": gpu.id,
                "displayName": gpu.name,
            }
        )
    return rows


def country_codes(catalogue: Catalogue) -> list[str]:
    """Return the countries that have a data centre."""
    return sorted({data_center.country for data_center in catalogue.data_centers.values()})


# --- CPU -------------------------------------------------------------------------------------------------------------
def cpu_flavors(catalogue: Catalogue, wanted: Mapping[str, Any] | None) -> list[Shape]:
    """Return CpuFlavors: all, or the one with the given id."""
    flavor_id = (wanted or {}).get("id")
    return [_flavor_shape(flavor) for flavor in catalogue.cpus.values() if flavor_id in (None, flavor.id)]


def _flavor_shape(flavor: CpuFlavor) -> Shape:
    return {
        "id": flavor.id,
        "groupId": flavor.id[:4],
        "groupName": flavor.group,
        "displayName": flavor.name,
        "minVcpu": flavor.min_vcpus,
        "maxVcpu": flavor.max_vcpus,
        "ramMultiplier": flavor.ram_gb_per_vcpu,
        "specifics": lambda _, asked=None: _specifics(flavor, asked or {}),
    }


def _specifics(flavor: CpuFlavor, asked: Mapping[str, Any]) -> Shape:
    """Return CpuSpecifics of a size (the smallest when none is named), in a data centre or the best."""
    vcpus = parsed_instance(asked["instanceId"]).vcpus if asked.get("instanceId") else flavor.min_vcpus
    wanted: Iterable[str] = [asked["dataCenterId"]] if asked.get("dataCenterId") else flavor.stock
    places = best_first(flavor.stock, wanted)
    if not places or not flavor.has_size(vcpus):
        return {"stockStatus": None, "securePrice": None, "slsPrice": None}
    return {
        "stockStatus": STOCK[flavor.stock[places[0]]],
        "securePrice": round(flavor.secure_usd_per_h * vcpus, 4),
        "slsPrice": round(flavor.serverless_usd_per_h * vcpus, 4),
    }
