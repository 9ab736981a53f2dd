"""/v2/catalog: GPU types, CPU flavours and data centres, with availability where it is asked for.

Filters and their prose are those of RunPod's OpenAPI. The emulator has one stock table for POD, CLUSTER and SERVERLESS
(a GPU type without a pool isn't in SERVERLESS) and no stock on the community cloud.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from factory.emulator.runpod.catalogue import LEVELS, Catalogue, CpuFlavor, DataCenter, Gpu, cuda_matches
from factory.emulator.runpod.entities import Availability
from factory.emulator.runpod.refusals import Refused
from factory.emulator.runpod.rest_wire import Answer, Ask, Handler, listing

_GPU_FILTERS = ("product", "count", "cloud", "countryCodes", "cudaVersions", "minCudaVersion")
_CPU_FILTERS = ("product", "vcpuCount")
T = TypeVar("T")


class CatalogueRoutes:
    """Handlers of the catalogue; /v2/catalog/templates is with the templates."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def handlers(self) -> dict[str, Handler]:
        """Return them by operationId."""
        return {
            "listGpuTypes": self.gpus,
            "getGpuType": self.gpu,
            "listCpuTypes": self.cpus,
            "getCpuType": self.cpu,
            "listDataCenters": self.data_centers,
            "getDataCenter": self.data_center,
        }

    def gpus(self, ask: Ask) -> Answer:
        """GET /v2/catalog/gpus: with countryCodes only what is sold in those countries."""
        _check_filters(ask.query, _GPU_FILTERS)
        if {"cudaVersions", "minCudaVersion"} <= ask.query.keys():
            raise Refused(400, "cudaVersions and minCudaVersion are mutually exclusive")
        countries = ask.query.get("countryCodes", ())
        shown = [g for g in self._catalogue.gpus.values() if not countries or self._in_countries(g.stock, countries)]
        return listing(ask, "gpus", [self._gpu_view(gpu, ask.query) for gpu in shown])

    def gpu(self, ask: Ask) -> Answer:
        """GET /v2/catalog/gpus/{id}: a type that the filters exclude is still there, with availability NONE."""
        gpu = _found(self._catalogue.gpus, ask.path["id"], "gpu type")
        _check_filters(ask.query, _GPU_FILTERS)
        if {"cudaVersions", "minCudaVersion"} <= ask.query.keys():
            raise Refused(400, "cudaVersions and minCudaVersion are mutually exclusive")
        return Answer(body=self._gpu_view(gpu, ask.query))

    def cpus(self, ask: Ask) -> Answer:
        """GET /v2/catalog/cpus."""
        _check_filters(ask.query, _CPU_FILTERS)
        return listing(ask, "cpus", [self._cpu_view(flavor, ask.query) for flavor in self._catalogue.cpus.values()])

    def cpu(self, ask: Ask) -> Answer:
        """GET /v2/catalog/cpus/{id}."""
        flavor = _found(self._catalogue.cpus, ask.path["id"], "cpu type")
        _check_filters(ask.query, _CPU_FILTERS)
        return Answer(body=self._cpu_view(flavor, ask.query))

    def data_centers(self, ask: Ask) -> Answer:
        """GET /v2/catalog/datacenters: OR within regions, AND within tiers and compliance, AND between them."""
        query = ask.query
        shown = [
            dc
            for dc in self._catalogue.data_centers.values()
            if (not query.get("regions") or dc.region in query["regions"])
            and set(query.get("networkVolumeTypes", ())) <= set(dc.tiers)
            and set(query.get("compliance", ())) <= set(dc.compliance)
            and query.get("globalNetwork", dc.has_global_network) == dc.has_global_network
        ]
        return listing(ask, "dataCenters", [self._data_center_view(dc, query) for dc in shown])

    def data_center(self, ask: Ask) -> Answer:
        """GET /v2/catalog/datacenters/{id}."""
        dc = _found(self._catalogue.data_centers, ask.path["id"], "data center")
        return Answer(body=self._data_center_view(dc, ask.query))

    # --- to a body ----------------------------------------------------------------------------------------------
    def _gpu_view(self, gpu: Gpu, query: Mapping[str, Any]) -> dict[str, Any]:
        price: dict[str, float] = {"secure": gpu.secure_usd_per_h, "community": gpu.community_usd_per_h}
        if gpu.serverless_usd_per_h is not None:
            price["serverless"] = gpu.serverless_usd_per_h
        view: dict[str, Any] = {
            "id": gpu.id,
            "name": gpu.name,
            "pool": gpu.pool,
            "manufacturer": gpu.manufacturer,
            "memory": gpu.memory_gb,
            "secure": True,
            "community": True,
            "price": price,
            "maxCount": {"secure": gpu.max_count_secure, "community": gpu.max_count_community},
        }
        if "AVAILABILITY" not in query.get("include", ()):
            return view
        versions = cuda_matches(gpu.cuda, query.get("cudaVersions", ()), query.get("minCudaVersion"))
        stock = self._within(gpu.stock if _is_offered(gpu, query, versions) else {}, query.get("countryCodes", ()))
        view |= self._stock_view(stock)
        if versions:
            view["cudaVersions"] = [{"version": v, "available": view["availability"] != "NONE"} for v in versions]
        return view

    def _cpu_view(self, flavor: CpuFlavor, query: Mapping[str, Any]) -> dict[str, Any]:
        view: dict[str, Any] = {
            "id": flavor.id,
            "name": flavor.name,
            "group": flavor.group,
            "vcpu": {"min": flavor.min_vcpus, "max": flavor.max_vcpus},
            "ramGbPerVcpu": flavor.ram_gb_per_vcpu,
            "price": {"securePerVcpu": flavor.secure_usd_per_h, "serverlessPerVcpu": flavor.serverless_usd_per_h},
        }
        if "AVAILABILITY" not in query.get("include", ()):
            return view
        vcpus = query.get("vcpuCount", flavor.min_vcpus)
        if vcpus & (vcpus - 1):
            raise Refused(400, f"vcpuCount must be a power of two (got {vcpus})")
        return view | self._stock_view(flavor.stock if flavor.has_size(vcpus) else {})

    def _data_center_view(self, dc: DataCenter, query: Mapping[str, Any]) -> dict[str, Any]:
        view: dict[str, Any] = {
            "id": dc.id,
            "name": dc.name,
            "region": dc.region,
            "globalNetwork": dc.has_global_network,
            "networkVolumeTypes": list(dc.tiers),
            "compliance": list(dc.compliance),
        }
        include = query.get("include", ())
        gpus = _offers(self._catalogue.gpus.values(), dc.id) if "GPU_AVAILABILITY" in include else []
        cpus = _offers(self._catalogue.cpus.values(), dc.id) if "CPU_AVAILABILITY" in include else []
        return view | ({"gpuAvailability": gpus} if gpus else {}) | ({"cpuAvailability": cpus} if cpus else {})

    def _stock_view(self, stock: Mapping[str, Availability]) -> dict[str, Any]:
        """Return the overall level, and each data centre that has any (none at all: no list)."""
        places = [
            {"id": dc, "name": self._catalogue.data_centers[dc].name, "availability": level}
            for dc, level in stock.items()
            if level != "NONE"
        ]
        overall = max(stock.values(), key=LEVELS.index, default="NONE")
        return {"availability": overall} | ({"dataCenters": places} if places else {})

    def _within(self, stock: Mapping[str, Availability], countries: Iterable[str]) -> dict[str, Availability]:
        wanted = set(countries)
        centers = self._catalogue.data_centers
        return {dc: level for dc, level in stock.items() if not wanted or centers[dc].country in wanted}

    def _in_countries(self, stock: Mapping[str, Availability], countries: Iterable[str]) -> bool:
        return bool(self._within(stock, countries))


def _check_filters(query: Mapping[str, Any], filters: Iterable[str]) -> None:
    """Availability needs a product, and what narrows it needs availability (400 either way)."""
    is_asked = "AVAILABILITY" in query.get("include", ())
    if is_asked and not query.get("product"):
        raise Refused(400, "product is required with include=AVAILABILITY")
    for name in filters:
        if name in query and not is_asked:
            raise Refused(400, f"{name} is valid only with include=AVAILABILITY")


def _is_offered(gpu: Gpu, query: Mapping[str, Any], versions: list[str]) -> bool:
    """Is the type there at all in the configuration that was asked for?"""
    has_product = gpu.pool is not None or set(query["product"]) != {"SERVERLESS"}
    has_cuda = bool(versions) or not {"cudaVersions", "minCudaVersion"} & query.keys()
    has_cloud = query.get("cloud", "SECURE") == "SECURE"
    return has_product and has_cuda and has_cloud and query.get("count", 1) <= gpu.max_count_secure


def _offers(things: Iterable[Gpu] | Iterable[CpuFlavor], data_center: str) -> list[dict[str, Any]]:
    return [
        {"id": thing.id, "name": thing.name, "availability": thing.stock[data_center]}
        for thing in things
        if data_center in thing.stock
    ]


def _found(held: Mapping[str, T], key: str, what: str) -> T:
    try:
        return held[key]
    except KeyError:
        raise Refused(404, f"{what} not found") from None
