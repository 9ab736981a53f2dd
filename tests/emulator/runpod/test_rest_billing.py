"""The bill over REST v2."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.testclient import TestClient

from factory.emulator.runpod.box import Box
from factory.emulator.runpod.clock import StepClock
from factory.emulator.runpod.refusals import Refused
from factory.emulator.runpod.rest_billing import resolved

NOW = datetime(2026, 8, 19, 13, 30, tzinfo=UTC).timestamp()  # a Wednesday


@pytest.mark.parametrize(
    ("query", "start", "end"),
    [
        ({}, "2026-07-20", "2026-08-20"),
        ({"lastN": 1}, "2026-08-19", "2026-08-20"),
        ({"lastN": 3, "bucketSize": "hour"}, "2026-08-19T11", "2026-08-19T14"),
        ({"lastN": 2, "bucketSize": "week"}, "2026-08-10", "2026-08-24"),
        ({"lastN": 8, "bucketSize": "month"}, "2026-01-01", "2026-09-01"),
        ({"lastN": 2, "bucketSize": "year"}, "2025-01-01", "2027-01-01"),
        ({"startTime": "2026-08-01T05:00:00Z"}, "2026-08-01", "2026-08-20"),
        ({"startTime": "2026-08-01T00:00:00Z", "endTime": "2026-08-02T00:00:00Z"}, "2026-08-01", "2026-08-02"),
        ({"startTime": "2026-08-01T01:00:00+02:00", "endTime": "2026-08-01T01:00:00Z"}, "2026-07-31", "2026-08-02"),
    ],
)
def test_the_window_lies_on_bucket_boundaries(query: dict[str, Any], start: str, end: str) -> None:
    """The start is snapped down, the end up; lastN ends with the current bucket."""
    window = resolved(query, NOW)
    assert (window.start, window.end) == tuple(
        datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (start, end)
    )


@pytest.mark.parametrize(
    "query",
    [
        {"lastN": 2, "startTime": "2026-08-01T00:00:00Z"},
        {"startTime": "2026-08-02T00:00:00Z", "endTime": "2026-08-01T00:00:00Z"},
        {"lastN": 10_001},
        {"lastN": 10_000, "bucketSize": "year"},
        {"endTime": "9999-12-31T23:59:59Z"},
        {"endTime": "0001-01-01T00:00:00Z"},
    ],
)
def test_windows_that_cannot_be_are_refused(query: dict[str, Any]) -> None:
    """A 400 each, never an overflow."""
    with pytest.raises(Refused) as refused:
        resolved(query, NOW)
    assert refused.value.status == 400


@pytest.mark.parametrize("family", ["", "/pods", "/serverless", "/endpoints", "/network-volumes", "/clusters"])
def test_nothing_spent_is_an_empty_list_with_totals(client: TestClient, family: str) -> None:
    """Metadata are there all the same."""
    bill = client.get(f"/v2/billing{family}").json()
    assert (bill["records"], bill["metadata"]["recordCount"], bill["metadata"]["totals"]["totalAmount"]) == ([], 0, 0)
    assert bill["metadata"]["query"]["bucketSize"] == "day"


def test_a_volume_is_on_the_bill(client: TestClient, box: Box) -> None:
    """An hour of 1000 GB costs 1000 x 0.07 / 730 dollars, in its own list, in the total, and by its id."""
    clock = box.clock
    assert isinstance(clock, StepClock)
    volume = box.world.create_volume("v", 1000, "EU-RO-1")
    clock.advance(3600)
    box.fleet.bill.settle([])
    expected = pytest.approx(1000 * 0.07 / 730, rel=1e-6)
    bill = client.get(f"/v2/billing/network-volumes?networkVolumeId={volume.id}&lastN=1").json()
    (record,) = bill["records"]
    assert (record["networkVolumeId"], record["standardAmount"], record["highPerformanceAmount"]) == (
        volume.id,
        expected,
        0,
    )
    assert (bill["metadata"]["uniqueNetworkVolumeCount"], bill["metadata"]["totals"]["totalAmount"]) == (1, expected)
    assert bill["metadata"]["query"]["networkVolumeId"] == volume.id
    assert client.get("/v2/billing/network-volumes?networkVolumeId=other").json()["records"] == []
    (whole,) = client.get("/v2/billing?bucketSize=month&lastN=1").json()["records"]
    assert (whole["storageStandardAmount"], whole["totalAmount"], whole["startTime"]) == (
        expected,
        expected,
        "2023-11-01T00:00:00Z",
    )
    assert client.get("/v2/billing/endpoints?lastN=1").json()["records"] == []
