"""The emulator's catalogue: where a worker can be placed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runpod_box import an_endpoint

from factory.emulator.runpod.catalogue import Catalogue, Place, cuda_matches, fits_cuda
from factory.emulator.runpod.entities import Availability, Cpu, Volume

VOLUMES = {
    "ro": Volume("ro", "v", 10, "EU-RO-1"),
    "ks": Volume("ks", "v", 10, "US-KS-2"),
    "wa": Volume("wa", "v", 10, "US-WA-1"),
}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Place("NVIDIA GeForce RTX 4090", "EU-RO-1")),
        ({"data_centers": ["US-NC-1"]}, Place("NVIDIA GeForce RTX 4090", "US-NC-1")),
        ({"data_centers": ["US"]}, Place("NVIDIA GeForce RTX 4090", "US-IL-1")),
        ({"data_centers": ["RO"]}, Place("NVIDIA GeForce RTX 4090", "EU-RO-1")),
        ({"data_centers": ["US-WA-1"]}, None),
        ({"pools": ["BLACKWELL_180", "ADA_24"]}, Place("NVIDIA B200", "US-CA-2")),
        ({"pools": ["BLACKWELL_180", "ADA_24"], "data_centers": ["RO"]}, Place("NVIDIA GeForce RTX 4090", "EU-RO-1")),
        ({"pools": ["NVIDIA GeForce RTX 4090"]}, None),
        ({"pools": ["AMPERE_48"], "excluded_gpus": ["NVIDIA A40"]}, Place("NVIDIA RTX A6000", "EUR-IS-1")),
        ({"pools": ["AMPERE_80"], "min_cuda": "13.0"}, None),
        ({"pools": ["AMPERE_80", "HOPPER_141"], "min_cuda": "13.0"}, Place("NVIDIA H200", "US-CA-2")),
        ({"pools": ["AMPERE_80"], "allowed_cuda": ["12.9"]}, None),
        ({"pools": ["AMPERE_80"], "allowed_cuda": ["12.9", "12.8"]}, Place("NVIDIA A100 80GB PCIe", "US-KS-2")),
        ({"gpu_count": 9}, None),
        ({"volume_ids": ["ro"]}, Place("NVIDIA GeForce RTX 4090", "EU-RO-1")),
        ({"volume_ids": ["wa"]}, None),
        ({"pools": ["ADA_24", "AMPERE_80"], "volume_ids": ["ks"]}, Place("NVIDIA A100 80GB PCIe", "US-KS-2")),
        ({"pools": ["ADA_24"], "volume_ids": ["ks", "ro"]}, Place("NVIDIA GeForce RTX 4090", "EU-RO-1")),
        ({"volume_ids": ["ro"], "data_centers": ["US-IL-1"]}, None),
        ({"pools": [], "cpus": [Cpu("cpu3c", 4)]}, Place(None, "EU-RO-1")),
        ({"pools": [], "cpus": [Cpu("cpu3c", 4)], "data_centers": ["US-KS-2"]}, None),
        ({"pools": [], "cpus": [Cpu("cpu9", 4)]}, None),
    ],
)  # fmt: skip
def test_where_a_worker_is_placed(fields: dict[str, Any], expected: Place | None) -> None:
    """Pools in their order, then most stock; data centres, volumes, exclusions and CUDA all hold."""
    assert Catalogue.snapshot().place(an_endpoint(**fields), VOLUMES) == expected


@pytest.mark.parametrize(
    ("what", "where", "level", "expected"),
    [
        ("ADA_24", "EU-RO-1", "NONE", Place("NVIDIA GeForce RTX 4090", "US-IL-1")),
        ("NVIDIA GeForce RTX 4090", "*", "NONE", None),
        ("ADA_24", "US-WA-1", "HIGH", Place("NVIDIA GeForce RTX 4090", "EU-RO-1")),
    ],
)
def test_stock_can_be_changed(what: str, where: str, level: Availability, expected: Place | None) -> None:
    """By pool or type, in one place or in all; and only in this catalogue."""
    catalogue = Catalogue.snapshot()
    catalogue.set_stock(what, where, level)
    assert catalogue.place(an_endpoint(), {}) == expected
    assert Catalogue.snapshot().place(an_endpoint(), {}) == Place("NVIDIA GeForce RTX 4090", "EU-RO-1")


@pytest.mark.parametrize(("what", "where"), [("ADA_25", "EU-RO-1"), ("ADA_24", "EU-XX-9")])
def test_stock_of_nothing_is_an_error(what: str, where: str) -> None:
    """A slip in a test's id is found."""
    with pytest.raises(KeyError):
        Catalogue.snapshot().set_stock(what, where, "NONE")


@pytest.mark.parametrize(
    ("allowed", "minimum", "matching"),
    [
        ([], None, ["12.2", "12.11", "13.0"]),
        ([], "12.11", ["12.11", "13.0"]),
        ([], "12.3", ["12.11", "13.0"]),
        ([], "12", ["12.2", "12.11", "13.0"]),
        ([], "13.1", []),
        (["12.2", "9.9"], None, ["12.2"]),
    ],
)
def test_cuda_versions_compare_as_numbers(allowed: list[str], minimum: str | None, matching: list[str]) -> None:
    """12.11 is above 12.2."""
    assert cuda_matches(["12.2", "12.11", "13.0"], allowed, minimum) == matching


def test_a_host_that_reports_no_cuda_fits_only_who_asks_nothing() -> None:
    """AMD hosts have no CUDA version."""
    assert fits_cuda([], [], None)
    assert not fits_cuda([], [], "12.0")


@given(st.from_regex(r"\A[0-9]{1,6000}\.[0-9]{1,3}\Z"))
def test_a_version_of_any_length_can_be_compared(version: str) -> None:
    """The OpenAPI's pattern has no limit, so neither has the comparison."""
    assert cuda_matches([version], [], version) == [version]


def test_the_snapshot_is_whole() -> None:
    """Eleven pools, prices where RunPod lists them, stock only in data centres that exist, the S3 ones with storage."""
    catalogue = Catalogue.snapshot()
    assert len(catalogue.pools) == 11
    assert {gpu.id for gpu in catalogue.pools["ADA_32_PRO"] if gpu.serverless_usd_per_h is None} == {
        "NVIDIA GeForce RTX 5090"
    }
    assert catalogue.gpus["NVIDIA GeForce RTX 4090"].serverless_usd_per_h == 1.116
    stocks = [gpu.stock for gpu in catalogue.gpus.values()] + [cpu.stock for cpu in catalogue.cpus.values()]
    places = {data_center for stock in stocks for data_center in stock}
    assert places <= catalogue.data_centers.keys()
    assert sum(bool(dc.tiers) for dc in catalogue.data_centers.values()) == 15
    assert {catalogue.data_centers[dc].country for dc in ("EU-RO-1", "EUR-IS-1", "US-KS-2", "CA-MTL-1", "AP-JP-1")} == {
        "RO", "IS", "US", "CA", "JP"
    }  # fmt: skip
