"""The catalogue over GraphQL: GPU types with prices and stock, pools, data centres, CPU flavours; no key needed."""

from __future__ import annotations

from typing import Any

import pytest
from graphql_calls import data
from starlette.testclient import TestClient

from factory.emulator.runpod.box import Box

PRICE = """query Price($gpu: String, $asked: GpuLowestPriceInput) {
  gpuTypes(input: {id: $gpu}) { lowestPrice(input: $asked) {
    uninterruptablePrice minimumBidPrice stockStatus maxUnreservedGpuCount countryCode
  } }
}"""
NOTHING = dict.fromkeys(
    ("uninterruptablePrice", "minimumBidPrice", "stockStatus", "maxUnreservedGpuCount", "countryCode")
)


def price(client: TestClient, gpu: str, **asked: Any) -> dict[str, Any]:
    """Return the lowest price of a GPU type."""
    [found] = data(client, PRICE, {"gpu": gpu, "asked": asked})["gpuTypes"]
    shown: dict[str, Any] = found["lowestPrice"]
    return shown


def test_gpu_types_by_id(box: Box, client: TestClient) -> None:
    """All of them, one, several, and none for an id that isn't there."""
    query = "query G($input: GpuTypeFilter) { gpuTypes(input: $input) { id memoryInGb } }"
    assert len(data(client, query)["gpuTypes"]) == len(box.catalogue.gpus)
    l4 = {"id": "NVIDIA L4", "memoryInGb": 24}
    assert data(client, query, {"input": {"id": "NVIDIA L4"}})["gpuTypes"] == [l4]
    several = data(client, query, {"input": {"ids": ["NVIDIA L4", "NVIDIA A40", "none"]}})["gpuTypes"]
    assert {row["id"] for row in several} == {"NVIDIA L4", "NVIDIA A40"}
    assert data(client, query, {"input": {"id": "none"}})["gpuTypes"] == []


def test_the_lowest_price_is_where_most_stock_is(box: Box, client: TestClient) -> None:
    """Price for the count, stock and country of the best data centre."""
    for data_center in list(box.catalogue.gpus["NVIDIA L4"].stock):
        box.catalogue.set_stock("NVIDIA L4", data_center, "NONE")
    assert price(client, "NVIDIA L4") == NOTHING
    box.catalogue.set_stock("NVIDIA L4", "US-KS-2", "LOW")
    box.catalogue.set_stock("NVIDIA L4", "EU-RO-1", "MEDIUM")
    usd_per_h = box.catalogue.gpus["NVIDIA L4"].secure_usd_per_h
    best = price(client, "NVIDIA L4", gpuCount=2)
    assert (best["uninterruptablePrice"], best["stockStatus"], best["countryCode"]) == (usd_per_h * 2, "Medium", "RO")


@pytest.mark.parametrize(
    ("asked", "stock"),
    [
        ({}, "Medium"),
        ({"dataCenterId": "US-KS-2"}, "Low"),
        ({"dataCenterId": "EU-CZ-1"}, None),
        ({"countryCode": "US"}, "Low"),
        ({"countryCode": "CZ"}, None),
        ({"gpuCount": 100}, None),
        ({"secureCloud": True}, "Medium"),
        ({"secureCloud": False}, None),  # nothing on the community cloud
        ({"cudaVersion": "12.4"}, "Medium"),
        ({"allowedCudaVersions": ["9.0"]}, None),
        ({"compliance": ["NOT_A_STANDARD"]}, None),
        ({"minMemoryInGb": 8, "minVcpuCount": 2, "totalDisk": 20}, "Medium"),
    ],
)
def test_what_is_asked_narrows_the_stock(
    box: Box, client: TestClient, asked: dict[str, Any], stock: str | None
) -> None:
    """A card that isn't there, by place, count, cloud or CUDA, has neither price nor stock."""
    for data_center in box.catalogue.data_centers:
        box.catalogue.set_stock("NVIDIA L4", data_center, "NONE")
    box.catalogue.set_stock("NVIDIA L4", "US-KS-2", "LOW")
    box.catalogue.set_stock("NVIDIA L4", "EU-RO-1", "MEDIUM")
    found = price(client, "NVIDIA L4", **asked)
    assert found["stockStatus"] == stock
    assert (found == NOTHING) is (stock is None)


def test_pools_hold_the_types(client: TestClient) -> None:
    """`serverlessGpuPools`: what a pool's id stands for."""
    pools = {
        row["id"]: row["gpuTypeIds"]
        for row in data(client, "{ serverlessGpuPools { id gpuTypeIds } }")["serverlessGpuPools"]
    }
    assert pools["ADA_24"] == ["NVIDIA GeForce RTX 4090"]
    assert set(pools["AMPERE_24"]) == {"NVIDIA L4", "NVIDIA RTX A5000", "NVIDIA GeForce RTX 3090"}


def test_data_centers_show_storage_and_stock(box: Box, client: TestClient) -> None:
    """Stock of every type in every place; a count or cloud that can't be had leaves none."""
    box.catalogue.set_stock("NVIDIA L4", "EU-RO-1", "HIGH")
    query = """query D($input: GpuAvailabilityInput) { dataCenters {
      id storageSupport gpuAvailability(input: $input) { gpuTypeId available stockStatus }
    } }"""
    for asked, shown in (({}, (True, "High")), ({"gpuCount": 1, "secureCloud": True}, (True, "High")),
                         ({"gpuCount": 100}, (False, None)), ({"secureCloud": False}, (False, None))):  # fmt: skip
        rows = {row["id"]: row for row in data(client, query, {"input": asked})["dataCenters"]}
        types = {row["gpuTypeId"]: row for row in rows["EU-RO-1"]["gpuAvailability"]}
        assert (types["NVIDIA L4"]["available"], types["NVIDIA L4"]["stockStatus"]) == shown
        assert types.keys() == box.catalogue.gpus.keys()
    stores = {dc.id for dc in box.catalogue.data_centers.values() if dc.tiers}
    assert {key for key, row in rows.items() if row["storageSupport"]} == stores
    assert "RO" in data(client, "{ countryCodes }")["countryCodes"]


def test_cpu_flavors_by_size(client: TestClient) -> None:
    """Price per size and stock per place; a size or place that isn't sold has neither."""
    query = """query C($flavor: String, $asked: CpuSpecificsInput) { cpuFlavors(input: {id: $flavor}) {
      id groupId minVcpu specifics(input: $asked) { stockStatus securePrice slsPrice }
    } }"""

    def specifics(**asked: str) -> dict[str, Any]:
        [found] = data(client, query, {"flavor": "cpu3c", "asked": asked})["cpuFlavors"]
        shown: dict[str, Any] = found["specifics"]
        return shown

    one, two = specifics(instanceId="cpu3c-2-4"), specifics(instanceId="cpu3c-4-8", dataCenterId="EU-RO-1")
    assert one["stockStatus"] == "High"
    assert two["slsPrice"] == pytest.approx(2 * one["slsPrice"])
    nothing = {"stockStatus": None, "securePrice": None, "slsPrice": None}
    assert specifics(instanceId="cpu3c-3-6") == nothing
    assert specifics(dataCenterId="US-KS-2") == nothing
