"""/v2/billing: what the fleet's bill noted, by time bucket. Only serverless workers and volumes cost anything here.

/v2/billing/endpoints is RunPod's *public* endpoints (a trap: v1's route of that name was serverless); like pods and
clusters they are never billed here, so those lists are empty. RunPod's bill lags behind; this one doesn't.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from factory.emulator.runpod.bill import Bill, Bucket, Kind, Record, bucket_end, bucket_start
from factory.emulator.runpod.refusals import Refused
from factory.emulator.runpod.rest_wire import Answer, Ask, Handler
from factory.emulator.runpod.times import parsed_time
from factory.emulator.runpod.world import World

DEFAULT_DAYS = 30
MAX_LAST_N = 10_000
"""The emulator's own; RunPod's isn't published."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Window:
    """The half-open time that a query means, on bucket boundaries."""

    start: datetime
    end: datetime
    bucket: Bucket


@dataclass(frozen=True, slots=True)
class Family:
    """One sort of resource on the bill: how its records are called, and which amount is which component of ours."""

    id_key: str
    count_key: str
    amounts: Mapping[str, str]  # amount's name → component on the bill
    kind: Kind | None = None  # None: never billed here


SERVERLESS = Family(
    "serverlessId",
    "uniqueServerlessCount",
    {"gpuAmount": "gpu", "cpuAmount": "cpu", "diskAmount": "disk", "feeAmount": "fee"},
    "serverless",
)
VOLUMES = Family(
    "networkVolumeId",
    "uniqueNetworkVolumeCount",
    {"standardAmount": "standard", "highPerformanceAmount": "high_performance"},
    "volume",
)
PODS = Family("podId", "uniquePodCount", {"gpuAmount": "gpu", "cpuAmount": "cpu", "diskAmount": "disk"})
CLUSTERS = Family(
    "clusterId", "uniqueClusterCount", {"gpuAmount": "gpu", "diskAmount": "disk", "networkingAmount": "networking"}
)
PUBLIC = Family("", "", {})
# The aggregate's names, by family.
_ALL: tuple[tuple[Family, Mapping[str, str]], ...] = (
    (PODS, {"podGpuAmount": "gpu", "podCpuAmount": "cpu", "podDiskAmount": "disk"}),
    (
        SERVERLESS,
        {
            "serverlessGpuAmount": "gpu",
            "serverlessCpuAmount": "cpu",
            "serverlessDiskAmount": "disk",
            "serverlessFeeAmount": "fee",
        },
    ),
    (VOLUMES, {"storageStandardAmount": "standard", "storageHighPerformanceAmount": "high_performance"}),
    (PUBLIC, {"endpointAmount": "endpoint"}),
    (
        CLUSTERS,
        {"clusterGpuAmount": "gpu", "clusterDiskAmount": "disk", "clusterNetworkingAmount": "networking"},
    ),
)


class Billing:
    """Handlers of the bill."""

    def __init__(self, world: World, bill: Bill) -> None:
        self._world = world
        self._bill = bill

    def handlers(self) -> dict[str, Handler]:
        """Return them by operationId."""
        return {
            "listBilling": self.all,
            "listPodBilling": lambda ask: self.family(ask, PODS),
            "listServerlessBilling": lambda ask: self.family(ask, SERVERLESS),
            "listEndpointBilling": lambda ask: self.family(ask, PUBLIC),
            "listNetworkVolumeBilling": lambda ask: self.family(ask, VOLUMES),
            "listClusterBilling": lambda ask: self.family(ask, CLUSTERS),
        }

    def all(self, ask: Ask) -> Answer:
        """GET /v2/billing: everything, one record a bucket."""
        window = resolved(ask.query, self._world.now())
        rows: dict[datetime, dict[str, float]] = {}
        for family, names in _ALL:
            for record in self._records(family, window, None):
                row = rows.setdefault(record.start, dict.fromkeys(_all_names(), 0.0))
                for name, component in names.items():
                    row[name] += record.amounts.get(component, 0.0)
        records = [
            {**_range(start, bucket_end(start, window.bucket)), **_with_total(rows[start])} for start in sorted(rows)
        ]
        totals = _totals(records, _all_names())
        metadata = {"query": _query(window), "recordCount": len(records), "totals": totals}
        return Answer(body={"records": records, "metadata": metadata})

    def family(self, ask: Ask, family: Family) -> Answer:
        """GET /v2/billing/{family}: one record a bucket and resource."""
        window = resolved(ask.query, self._world.now())
        wanted = ask.query.get(family.id_key)
        found = self._records(family, window, wanted)
        records = [_row(record, family) for record in found]
        query = _query(window) | ({family.id_key: wanted} if family.id_key else {})
        totals = _totals(records, family.amounts)
        metadata: dict[str, Any] = {"query": query, "recordCount": len(records), "totals": totals}
        if family.count_key:
            metadata[family.count_key] = len({record.resource_id for record in found})
        return Answer(body={"records": records, "metadata": metadata})

    def _records(self, family: Family, window: Window, resource_id: str | None) -> list[Record]:
        if family.kind is None:
            return []
        return self._bill.records(
            family.kind, start=window.start, end=window.end, bucket=window.bucket, resource_id=resource_id
        )


def resolved(query: Mapping[str, Any], now: float) -> Window:
    """Return the window of a query. Raises Refused(400) for lastN beside a time, and for a window that can't be."""
    bucket = cast("Bucket", query.get("bucketSize", "day"))
    if "lastN" in query and {"startTime", "endTime"} & query.keys():
        raise Refused(400, "lastN and startTime/endTime are mutually exclusive")
    try:
        moment = _moment(now)
        if "lastN" in query:
            return Window(
                _last(query["lastN"], bucket, moment), bucket_end(bucket_start(moment, bucket), bucket), bucket
            )
        end = _moment(parsed_time(query["endTime"]) or 0.0) if "endTime" in query else moment
        start = end - timedelta(days=DEFAULT_DAYS)
        if "startTime" in query:
            start = _moment(parsed_time(query["startTime"]) or 0.0)
        window = Window(bucket_start(start, bucket), _snapped_up(end, bucket), bucket)
    except OverflowError:
        raise Refused(400, "the billing period is out of range") from None
    if window.end <= window.start:
        raise Refused(400, "startTime must be before endTime")
    return window


def _last(count: int, bucket: Bucket, now: datetime) -> datetime:
    if count > MAX_LAST_N:
        raise Refused(400, f"lastN must be at most {MAX_LAST_N}")
    start = bucket_start(now, bucket)
    for _ in range(count - 1):
        start = bucket_start(start - timedelta(seconds=1), bucket)
    return start


def _snapped_up(at: datetime, bucket: Bucket) -> datetime:
    start = bucket_start(at, bucket)
    return at if start == at else bucket_end(start, bucket)


def _moment(seconds: float) -> datetime:
    return _EPOCH + timedelta(seconds=seconds)


def _range(start: datetime, end: datetime) -> dict[str, Any]:
    return {"startTime": _text(start), "endTime": _text(end)}


def _query(window: Window) -> dict[str, Any]:
    return {**_range(window.start, window.end), "bucketSize": window.bucket}


def _text(at: datetime) -> str:
    return f"{at.isoformat(timespec='seconds').removesuffix('+00:00')}Z"


def _row(record: Record, family: Family) -> dict[str, Any]:
    amounts = {name: record.amounts.get(component, 0.0) for name, component in family.amounts.items()}
    return {**_range(record.start, record.end), family.id_key: record.resource_id, **_with_total(amounts)}


def _with_total(amounts: Mapping[str, float]) -> dict[str, float]:
    return {"totalAmount": round(sum(amounts.values()), 8)} | {name: round(usd, 8) for name, usd in amounts.items()}


def _totals(records: Iterable[Mapping[str, Any]], names: Iterable[str]) -> dict[str, float]:
    rows = list(records)
    return _with_total({name: sum(row[name] for row in rows) for name in names})


def _all_names() -> list[str]:
    return [name for _, names in _ALL for name in names]
