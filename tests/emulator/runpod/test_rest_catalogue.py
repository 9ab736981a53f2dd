"""The catalogue over REST v2: expansions and filters, as RunPod's OpenAPI describes them."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from factory.emulator.runpod.box import Box

STOCK = "include=AVAILABILITY&product=SERVERLESS"
RTX_4090 = "/v2/catalog/gpus/NVIDIA%20GeForce%20RTX%204090"


def ids(client: TestClient, query: str) -> set[str]:
    """Return the data centres that a query lists."""
    return {dc["id"] for dc in client.get(f"/v2/catalog/datacenters?{query}").json()["dataCenters"]}


def test_without_include_it_is_a_price_list(client: TestClient) -> None:
    """No availability, no data centres; the price is per hour and GPU, absent where RunPod lists none."""
    gpus = {gpu["id"]: gpu for gpu in client.get("/v2/catalog/gpus").json()["gpus"]}
    card = gpus["NVIDIA GeForce RTX 4090"]
    assert (card["pool"], card["memory"], card["price"]["serverless"]) == ("ADA_24", 24, 1.116)
    assert not {"availability", "dataCenters", "cudaVersions"} & card.keys()
    assert "serverless" not in gpus["NVIDIA GeForce RTX 5090"]["price"]
    assert gpus["AMD Instinct MI300X OAM"]["pool"] is None


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("include=AVAILABILITY", "product is required"),
        ("product=POD", "product is valid only with include=AVAILABILITY"),
        ("count=2", "count is valid only"),
        ("cloud=SECURE", "cloud is valid only"),
        ("countryCodes=FR", "countryCodes is valid only"),
        ("minCudaVersion=12", "minCudaVersion is valid only"),
        (f"{STOCK}&cudaVersions=12.8&minCudaVersion=12", "mutually exclusive"),
    ],
)
@pytest.mark.parametrize("path", ["/v2/catalog/gpus", RTX_4090])
def test_filters_need_availability(client: TestClient, path: str, query: str, words: str) -> None:
    """A filter without what it filters is a 400, for the list and for one type."""
    answer = client.get(f"{path}?{query}")
    assert (answer.status_code, words in answer.json()["detail"]) == (400, True)


@pytest.mark.parametrize(
    "query",
    [f"{STOCK}&countryCodes=fr", f"{STOCK}&cudaVersions=12", f"{STOCK}&count=0", "include=PRICES", f"{STOCK},BOX"],
)
def test_a_malformed_filter_is_a_422(client: TestClient, query: str) -> None:
    """What its schema forbids isn't guessed at."""
    assert client.get(f"/v2/catalog/gpus?{query}").status_code == 422


@pytest.mark.parametrize(
    ("query", "level", "places"),
    [
        ("", "HIGH", {"EU-RO-1", "EUR-IS-1", "EUR-NO-1", "US-IL-1", "US-NC-1", "US-TX-3", "EU-CZ-1"}),
        ("&countryCodes=IS,NO", "MEDIUM", {"EUR-IS-1", "EUR-NO-1"}),
        ("&countryCodes=JP", "NONE", None),
        ("&count=9", "NONE", None),
        ("&cloud=COMMUNITY", "NONE", None),
        ("&minCudaVersion=13", "HIGH", {"EU-RO-1", "EUR-IS-1", "EUR-NO-1", "US-IL-1", "US-NC-1", "US-TX-3", "EU-CZ-1"}),
        ("&minCudaVersion=13.1", "NONE", None),
        ("&cudaVersions=11.8", "NONE", None),
    ],
)
def test_availability_of_one_type(client: TestClient, query: str, level: str, places: set[str] | None) -> None:
    """A type that a filter excludes is NONE and has no list of data centres."""
    card = client.get(f"{RTX_4090}?{STOCK}{query}").json()
    assert card["availability"] == level
    assert ({dc["id"] for dc in card["dataCenters"]} if "dataCenters" in card else None) == places


def test_a_country_narrows_the_list_of_types(client: TestClient) -> None:
    """On the list a type that isn't sold there is absent."""
    shown = client.get(f"/v2/catalog/gpus?{STOCK}&countryCodes=JP").json()["gpus"]
    assert [gpu["id"] for gpu in shown] == ["NVIDIA H100 80GB HBM3"]


def test_cuda_versions_say_what_is_free(client: TestClient, box: Box) -> None:
    """Offered versions stay listed when the cards are out; hosts without CUDA have no list."""
    box.catalogue.set_stock("ADA_24", "*", "NONE")
    card = client.get(f"{RTX_4090}?{STOCK}&cudaVersions=12.8,13.0").json()
    assert card["cudaVersions"] == [{"version": "12.8", "available": False}, {"version": "13.0", "available": False}]
    assert (card["availability"], "dataCenters" in card) == ("NONE", False)
    amd = client.get("/v2/catalog/gpus/AMD%20Instinct%20MI300X%20OAM?include=AVAILABILITY&product=POD").json()
    assert (amd["availability"], "cudaVersions" in amd) == ("LOW", False)


def test_a_type_without_a_pool_is_not_serverless(client: TestClient) -> None:
    """It has stock as a pod only."""
    path = "/v2/catalog/gpus/AMD%20Instinct%20MI300X%20OAM?include=AVAILABILITY&product="
    levels = {
        product: client.get(path + product).json()["availability"]
        for product in ("SERVERLESS", "POD", "POD,SERVERLESS")
    }
    assert levels == {"SERVERLESS": "NONE", "POD": "LOW", "POD,SERVERLESS": "LOW"}


@pytest.mark.parametrize(
    ("query", "status", "level"),
    [
        ("", 200, None),
        (f"?{STOCK}", 200, "HIGH"),
        (f"?{STOCK}&vcpuCount=4", 200, "HIGH"),
        (f"?{STOCK}&vcpuCount=64", 200, "NONE"),
        (f"?{STOCK}&vcpuCount=6", 400, None),
        ("?vcpuCount=4", 400, None),
        ("?include=AVAILABILITY&product=CLUSTER", 422, None),
    ],
)
def test_cpu_flavours(client: TestClient, query: str, status: int, level: str | None) -> None:
    """The same rules, and a vCPU count that is a power of two."""
    answer = client.get(f"/v2/catalog/cpus/cpu3c{query}")
    assert answer.status_code == status
    assert answer.json().get("availability") == level


def test_data_centers_have_tiers_and_offers(client: TestClient) -> None:
    """GPU and CPU offers only on request; a card that is out is NONE, one that isn't there is absent."""
    plain = client.get("/v2/catalog/datacenters/US-KS-2").json()
    assert plain["networkVolumeTypes"] == ["STANDARD", "HIGH_PERFORMANCE"]
    assert not {"gpuAvailability", "cpuAvailability"} & plain.keys()
    full: dict[str, Any] = client.get(
        "/v2/catalog/datacenters/US-KS-2?include=GPU_AVAILABILITY,CPU_AVAILABILITY"
    ).json()
    offers = {gpu["id"]: gpu["availability"] for gpu in full["gpuAvailability"]}
    assert (offers["NVIDIA H100 PCIe"], "NVIDIA L4" in offers) == ("NONE", False)
    assert "cpuAvailability" not in full


def test_data_center_filters_combine(client: TestClient) -> None:
    """OR within regions, AND within tiers, AND between the families."""
    assert ids(client, "networkVolumeTypes=STANDARD,HIGH_PERFORMANCE") == {"US-KS-2", "US-NC-1"}
    assert ids(client, "regions=ASIA,OCEANIA") == {"AP-JP-1", "OC-AU-1"}
    assert ids(client, "regions=ASIA&networkVolumeTypes=STANDARD") == set()
    assert ids(client, "globalNetwork=false") == {"AP-JP-1", "OC-AU-1"}
    assert ids(client, "compliance=SOC_2_TYPE_2,ISO_IEC_27001&regions=NORTH_AMERICA") == {
        "US-KS-2",
        "CA-MTL-1",
        "CA-MTL-3",
    }
    assert client.get("/v2/catalog/datacenters?regions=MARS").status_code == 422


@pytest.mark.parametrize("path", ["gpus/NVIDIA%20L5", "cpus/cpu9", "datacenters/EU-XX-9"])
def test_what_does_not_exist_is_a_404(client: TestClient, path: str) -> None:
    """A 404 means that the type doesn't exist, nothing else."""
    assert client.get(f"/v2/catalog/{path}").status_code == 404
