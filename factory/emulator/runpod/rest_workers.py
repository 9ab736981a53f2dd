"""/v2/serverless/{id}/workers, /releases, and a worker's log lines as server-sent events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from factory.emulator.runpod.entities import Endpoint, Release, Worker
from factory.emulator.runpod.refusals import Refused
from factory.emulator.runpod.rest_wire import Answer, Ask, Handler, listing
from factory.emulator.runpod.times import exact_time_text, parsed_time, time_text
from factory.emulator.runpod.world import World

if TYPE_CHECKING:
    from factory.emulator.runpod.fleet import Fleet
    from factory.emulator.runpod.worker_logs import LogLine

_STATUSES = ("RUNNING", "IDLE", "INITIALIZING", "THROTTLED", "UNHEALTHY")
EVENT_HEADERS = {"Cache-Control": "no-cache", "Connection": "keep-alive", "X-Accel-Buffering": "no"}
TAIL = 100


class Workers:
    """Handlers of what runs behind an endpoint."""

    def __init__(self, world: World, fleet: Fleet) -> None:
        self._world = world
        self._fleet = fleet

    def handlers(self) -> dict[str, Handler]:
        """Return them by operationId."""
        return {
            "listEndpointWorkers": self.workers,
            "listEndpointReleases": self.releases,
            "getWorkerLogs": self.logs,
        }

    def workers(self, ask: Ask) -> Answer:
        """GET /v2/serverless/{id}/workers: each, and how many have which status."""
        endpoint = self._world.find_endpoint(ask.path["id"])
        workers = self._fleet.workers(endpoint.id)
        summary = {status.lower(): sum(worker.status == status for worker in workers) for status in _STATUSES}
        answer = listing(ask, "workers", [self._view(worker, endpoint) for worker in workers])
        body = {**(answer.body or {}), "summary": {**summary, "total": len(workers)}}
        return Answer(body=body | {"endpointVersion": endpoint.version})

    def releases(self, ask: Ask) -> Answer:
        """GET /v2/serverless/{id}/releases: newest first, and how far the newest has come."""
        endpoint = self._world.find_endpoint(ask.path["id"])
        versions = [worker.version for worker in self._fleet.workers(endpoint.id)]
        on_latest = versions.count(endpoint.version)
        rollout = {
            "inProgress": on_latest < len(versions),
            "workersOnLatest": on_latest,
            "workersTotal": len(versions),
            "percentOnLatest": 100 * on_latest // len(versions) if versions else 0,
        }
        rows = [_release_view(release, versions.count(release.version)) for release in reversed(endpoint.releases)]
        body = listing(ask, "releases", rows).body or {}
        return Answer(body={"endpointVersion": endpoint.version, "rollout": rollout, **body})

    def logs(self, ask: Ask) -> Answer:
        """GET …/workers/{workerId}/logs: what was printed, then what comes, until the worker is gone."""
        endpoint = self._world.find_endpoint(ask.path["id"])
        if self._fleet.find(endpoint.id, ask.path["workerId"]) is None:
            raise Refused(404, "worker not found")
        since, after = _cursor(ask.query)
        lines = self._fleet.follow(
            ask.path["workerId"],
            source=ask.query.get("source"),
            tail=ask.query.get("tail", TAIL),
            since=since,
            after_seq=after,
        )
        return Answer(events=events(lines), headers=dict(EVENT_HEADERS))

    def _view(self, worker: Worker, endpoint: Endpoint) -> dict[str, Any]:
        started = worker.started_at
        return {
            "id": worker.id,
            "status": worker.status,
            "isStale": worker.version != endpoint.version,
            "version": worker.version,
            "gpuCount": worker.gpu_count,
            "image": worker.image,
            "uptimeSeconds": None if started is None else max(0, int(self._world.now() - started)),
            "gpuTypeId": worker.gpu_type,
            "dataCenterId": worker.data_center,
            "startedAt": None if started is None else time_text(started),
        }


def _release_view(release: Release, worker_count: int) -> dict[str, Any]:
    return {
        "id": release.id,
        "version": release.version,
        "source": "MANUAL",
        "buildId": None,
        "createdByUserId": None,
        "workerCount": worker_count,
        "createdAt": time_text(release.created_at),
        "diff": [{"field": change.field, "old": change.old, "new": change.new} for change in release.changes],
    }


def _cursor(query: dict[str, Any] | Any) -> tuple[float | None, int]:
    """Return where a reader goes on: a time, and the number of the last line that it has (0: none).

    Last-Event-ID goes before `since`; our ids are `<time>/<number>`, a bare time is taken as well.
    """
    text, _, number = query.get("Last-Event-ID", query.get("since", "")).partition("/")
    if number.isascii() and number.isdigit():
        return None, int(number)
    return parsed_time(text), 0


async def events(lines: AsyncIterator[LogLine]) -> AsyncIterator[bytes]:
    """Yield log lines as server-sent events, with an id to go on from."""
    async for row in lines:
        ts = exact_time_text(row.ts)
        data = json.dumps({"ts": ts, "source": row.source, "line": row.line}, separators=(",", ":"))
        yield f"id: {ts}/{row.seq:012}\ndata: {data}\n\n".encode()
