"""What workers and volumes cost: to the second, by hour, and off the balance."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runpod_box import an_endpoint

from factory.emulator.runpod.bill import Bill, Bucket, bucket_end, bucket_start, volume_rates, worker_rates
from factory.emulator.runpod.catalogue import Catalogue
from factory.emulator.runpod.clock import StepClock
from factory.emulator.runpod.entities import Container, Cpu, Endpoint, Volume, Worker
from factory.emulator.runpod.store import Store
from factory.emulator.runpod.world import World

HOUR = 3600
MONTH_H = 730
GPU = "NVIDIA GeForce RTX 4090"
DISK_PER_S = 10 * 0.10 / MONTH_H / HOUR


class Account:
    """A world with a bill."""

    def __init__(self, store: Store | None = None) -> None:
        self.clock = StepClock(1_700_000_000 // HOUR * HOUR)
        self.catalogue = Catalogue.snapshot()
        self.world = World(self.clock, self.catalogue, store)
        self.bill = Bill(self.world, self.catalogue)
        self.endpoint = an_endpoint(id="ep")

    def worker(self, name: str = "w", **fields: Any) -> Worker:
        """Return a worker whose container starts now."""
        return Worker(name, "ep", 1, "i", gpu_type=GPU, gpu_count=1, started_at=self.clock.now(), **fields)

    def settle(self, seconds: float, *workers: Worker) -> None:
        """Let time pass and settle."""
        self.clock.advance(seconds)
        self.bill.settle([(worker, self.endpoint) for worker in workers])

    @property
    def spent(self) -> float:
        """What is gone."""
        return 100 - self.world.person.balance_usd

    def amounts(self, kind: Any = "serverless", **window: Any) -> dict[str, float]:
        """Return all that is on the bill, by component."""
        start = datetime(2000, 1, 1, tzinfo=UTC)
        records = self.bill.records(kind, start=start, end=start + timedelta(days=36500), **window)
        found: dict[str, float] = {}
        for record in records:
            for name, usd in record.amounts.items():
                found[name] = found.get(name, 0) + usd
        return found


@pytest.mark.parametrize(
    ("worker", "endpoint", "rates"),
    [
        (Worker("w", "e", 1, "i", gpu_type=GPU, gpu_count=1), an_endpoint(), {"gpu": 0.00031, "disk": DISK_PER_S}),
        (Worker("w", "e", 1, "i", gpu_type=GPU, gpu_count=4), an_endpoint(), {"gpu": 0.00124, "disk": DISK_PER_S}),
        (
            Worker("w", "e", 1, "i"),
            an_endpoint(pools=[], cpus=[Cpu("cpu3c", 4)], container=Container("i", disk_gb=20)),
            {"cpu": None, "disk": 2 * DISK_PER_S},
        ),
    ],
)
def test_what_a_worker_costs(worker: Worker, endpoint: Endpoint, rates: dict[str, float | None]) -> None:
    """GPUs by the catalogue's flex price, CPUs by vCPU, and the container's disk."""
    catalogue = Catalogue.snapshot()
    if "cpu" in rates:
        rates["cpu"] = catalogue.cpus["cpu3c"].serverless_usd_per_h * 4 / HOUR
    assert worker_rates(worker, endpoint, catalogue).by_component == pytest.approx(rates)


@pytest.mark.parametrize(
    ("size_gb", "tier", "component", "usd_per_month"),
    [
        (100, "STANDARD", "standard", 7.0),
        (1000, "STANDARD", "standard", 70.0),
        (3000, "STANDARD", "standard", 170.0),
        (100, "HIGH_PERFORMANCE", "high_performance", 14.0),
    ],
)
def test_what_a_volume_costs(size_gb: int, tier: Any, component: str, usd_per_month: float) -> None:
    """Seven cents per GB and month up to 1 TB, five beyond."""
    rates = volume_rates(Volume("v", "v", size_gb, "EU-RO-1", tier)).by_component
    assert {name: usd * MONTH_H * HOUR for name, usd in rates.items()} == pytest.approx({component: usd_per_month})


def test_a_run_is_rounded_up_to_whole_seconds() -> None:
    """A worker of 12.3 s costs 13 s; so does each of two runs, however often it is counted."""
    account = Account()
    worker = account.worker()
    for _ in range(123):
        account.settle(0.1, worker)
    account.bill.ended(worker, account.endpoint)
    account.settle(100)
    assert account.spent == pytest.approx(13 * (0.00031 + DISK_PER_S))
    worker.started_at = account.clock.now()
    account.clock.advance(0.2)
    account.bill.ended(worker, account.endpoint)
    assert account.spent == pytest.approx(14 * (0.00031 + DISK_PER_S)), "a run that nobody counted is paid too"
    assert account.amounts() == pytest.approx({"gpu": 14 * 0.00031, "disk": 14 * DISK_PER_S})


@given(steps=st.lists(st.floats(0.01, 5000), min_size=1, max_size=30))
def test_however_often_it_is_counted(steps: list[float]) -> None:
    """The sum depends on the time that has passed, and not on the ticks."""
    account = Account()
    worker = account.worker()
    began = account.clock.now()
    for seconds in steps:
        account.settle(seconds, worker)
    account.bill.ended(worker, account.endpoint)
    seconds = max(1, math.ceil(account.clock.now() - began))
    assert account.spent == pytest.approx(seconds * (0.00031 + DISK_PER_S))
    assert sum(account.amounts().values()) == pytest.approx(account.spent)


def test_a_volume_is_paid_while_it_exists() -> None:
    """From its creation on, to its deletion."""
    account = Account()
    account.settle(1000)
    volume = account.world.create_volume("v", 100, "EU-RO-1")
    account.settle(MONTH_H * HOUR)
    assert account.spent == pytest.approx(7.0)
    assert account.bill.spend_usd_per_h == account.bill.storage_usd_per_h == pytest.approx(7 / MONTH_H)
    account.world.delete_volume(volume.id)
    account.settle(1000)
    assert account.spent == pytest.approx(7.0)
    assert account.amounts("volume", resource_id=volume.id) == pytest.approx({"standard": 7.0})
    assert account.amounts("volume", resource_id="other") == {}


def test_spend_per_hour_is_that_of_this_moment() -> None:
    """Workers while they run, and volumes."""
    account = Account()
    first, second = account.worker("a"), account.worker("b")
    account.settle(1, first, second)
    assert account.bill.spend_usd_per_h == pytest.approx(2 * HOUR * (0.00031 + DISK_PER_S))
    account.settle(0.1)
    assert account.bill.spend_usd_per_h == 0


def test_buckets_share_out_the_hours() -> None:
    """A day's run is 24 records by the hour and two by the day; their sums agree."""
    account = Account()
    worker = account.worker()
    account.settle(24 * HOUR, worker)
    start = datetime.fromtimestamp(account.clock.now(), UTC) - timedelta(days=1)
    read = account.bill.records
    hours = read("serverless", start=start, end=start + timedelta(days=1), bucket="hour")
    days = read("serverless", start=start, end=start + timedelta(days=1), bucket="day")
    assert (len(hours), len(days)) == (24, 2)
    assert all(sum(row.amounts.values()) == pytest.approx(HOUR * (0.00031 + DISK_PER_S)) for row in hours)
    assert sum(sum(row.amounts.values()) for row in days) == pytest.approx(account.spent)
    assert [row.start for row in hours] == sorted(row.start for row in hours)
    assert len(read("serverless", start=start, end=start + timedelta(hours=3), bucket="hour")) == 3


@pytest.mark.parametrize(
    ("bucket", "start", "end"),
    [
        ("hour", "2026-11-25T13:00", "2026-11-25T14:00"),
        ("day", "2026-11-25T00:00", "2026-11-26T00:00"),
        ("week", "2026-11-23T00:00", "2026-11-30T00:00"),
        ("month", "2026-11-01T00:00", "2026-12-01T00:00"),
        ("year", "2026-01-01T00:00", "2027-01-01T00:00"),
    ],
)
def test_buckets_begin_and_end_where_calendars_say(bucket: Bucket, start: str, end: str) -> None:
    """Hours, days, weeks from Monday, months, years; in UTC."""
    began = bucket_start(datetime(2026, 11, 25, 13, 37, 11, tzinfo=UTC), bucket)
    assert began == datetime.fromisoformat(f"{start}+00:00")
    assert bucket_end(began, bucket) == datetime.fromisoformat(f"{end}+00:00")


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2999, 1, 1)), st.sampled_from(["hour", "day", "week", "month", "year"])
)
def test_buckets_have_no_gaps(moment: datetime, bucket: Any) -> None:
    """A moment lies in its bucket, and the next bucket begins where it ends."""
    at = moment.replace(tzinfo=UTC)
    start = bucket_start(at, bucket)
    end = bucket_end(start, bucket)
    assert start <= at < end
    assert bucket_start(end, bucket) == end and bucket_start(end - timedelta(seconds=1), bucket) == start


def test_the_bill_outlives_the_emulator(tmp_path: Path) -> None:
    """With a state folder records are there after a restart, and the time between costs nothing."""
    store = Store(tmp_path)
    account = Account(store)
    account.world.create_volume("v", 1000, "EU-RO-1")
    account.settle(HOUR)
    before = account.amounts("volume")
    store.close()
    again = Account(store := Store(tmp_path))
    assert again.amounts("volume") == before
    assert again.spent == pytest.approx(70 / MONTH_H)
    store.close()
