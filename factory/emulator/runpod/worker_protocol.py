"""How workers take jobs and give results back: the routes that RunPod's SDK calls from within a container.

| route | checked against |
| --- | --- |
| `GET job-take/{worker}`, `GET job-take-batch/{worker}?batch_size=` (long polls) | worker: the unmodified SDK |
| `POST job-done/{worker}/{job}`, `POST job-stream/{worker}/{job}` | worker: the unmodified SDK |
| `GET job-stop/{worker}` (long poll), `GET ping/{worker}?job_id=` | worker: the unmodified SDK |

"The SDK" is runpod 1.12.0, `runpod.serverless.start`, over loopback, 2026-11-25. It asks again at once after anything
but a job, hundreds of times a second: so a take without a job is held for 20 s, and one that is refused for 1 s.
A worker that the fleet didn't start joins by asking for a job.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from starlette.types import Receive, Scope

from factory.emulator.runpod import job_http as http
from factory.emulator.runpod import job_rules as rules
from factory.emulator.runpod.box import Box
from factory.emulator.runpod.entities import Worker
from factory.emulator.runpod.job_http import NOTHING, Answer
from factory.emulator.runpod.refusals import Refused

REFUSAL_HOLD_S = 1.0
"""Real seconds that a refused take is held back (the emulator's own, against workers without back-off)."""
MOST_AT_ONCE = 1_000
_Route = Callable[[str, str, str, Scope, Receive], Awaitable[Answer]]


class WorkerProtocol:
    """Answers workers."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._jobs = box.jobs
        self._routes: dict[tuple[str, str, int], _Route] = {
            ("GET", "job-take", 5): self._take,
            ("GET", "job-take-batch", 5): self._take_batch,
            ("GET", "job-stop", 5): self._stop,
            ("GET", "ping", 5): self._ping,
            ("POST", "job-done", 6): self._done,
            ("POST", "job-stream", 6): self._chunk,
        }

    async def answer(self, parts: list[str], scope: Scope, receive: Receive) -> Answer:
        """Answer a call by the parts of its path: "", "v2", endpoint, operation, worker, and a job where one is."""
        route = self._routes.get((scope["method"], parts[3], len(parts))) if len(parts) > 3 else None
        if route is None:
            return http.NOT_FOUND
        try:
            if not self._box.accepts(scope):
                raise Refused(401, "no valid API key")
            if parts[2] not in self._box.world.endpoints:
                raise Refused(404, "endpoint not found")
            return await route(parts[2], parts[4], parts[-1], scope, receive)
        except Refused:
            if parts[3].startswith("job-take"):
                await asyncio.sleep(REFUSAL_HOLD_S)
            raise

    async def _take(self, endpoint_id: str, worker_id: str, _: str, scope: Scope, receive: Receive) -> Answer:
        jobs = await self._taken(await self._joined(endpoint_id, worker_id), 1, scope, receive)
        return (200, jobs[0]) if jobs else NOTHING

    async def _take_batch(self, endpoint_id: str, worker_id: str, _: str, scope: Scope, receive: Receive) -> Answer:
        size = parse_qs(http.query_of(scope)).get("batch_size", ["1"])[0]
        if not size.isdecimal() or not 1 <= int(size) <= MOST_AT_ONCE:
            raise Refused(400, f"batch_size must be 1 to {MOST_AT_ONCE}")
        jobs = await self._taken(await self._joined(endpoint_id, worker_id), int(size), scope, receive)
        return (200, jobs) if jobs else NOTHING

    async def _taken(self, worker: Worker, count: int, scope: Scope, receive: Receive) -> list[dict[str, Any]]:
        if b"job_in_progress=0" in scope["query_string"]:
            self._jobs.heard(worker.endpoint_id, worker.id, ())
        taker = self._jobs.ask(worker, count)
        is_gone = False

        def leave() -> None:
            nonlocal is_gone
            is_gone = True
            taker.event.set()

        if not taker.jobs:
            watcher = http.watch(receive, leave)
            try:
                await self._box.clock.wait(taker.event, rules.POLL_S)
            except asyncio.CancelledError:  # the server ends
                leave()
                raise
            finally:
                watcher.cancel()
                jobs = self._jobs.close(taker, is_gone=is_gone)
        else:
            jobs = self._jobs.close(taker)
        return [rules.for_worker(job) for job in jobs]

    async def _done(self, endpoint_id: str, worker_id: str, job_id: str, scope: Scope, receive: Receive) -> Answer:
        body, size = await http.read_json(receive)
        if not isinstance(body, dict):
            raise Refused(400, "the result must be a JSON object")
        if body.get("status") == "IN_PROGRESS":
            self._jobs.progress(endpoint_id, worker_id, job_id, body.get("output"))
            return 200, {}
        self._jobs.finish(endpoint_id, worker_id, job_id, body, size_bytes=size)
        if body.get("stopPod") is True:
            self._box.fleet.replace(worker_id)
        return 200, {}

    async def _chunk(self, endpoint_id: str, worker_id: str, job_id: str, scope: Scope, receive: Receive) -> Answer:
        body, size = await http.read_json(receive)
        if not isinstance(body, dict) or "output" not in body:
            raise Refused(400, "a chunk must be an object with an output")
        self._jobs.add_chunk(endpoint_id, worker_id, job_id, body["output"], size_bytes=size)
        return 200, {}

    async def _stop(self, endpoint_id: str, worker_id: str, _: str, scope: Scope, receive: Receive) -> Answer:
        job_ids = await self._jobs.stops.wait(endpoint_id, worker_id, rules.POLL_S)
        return (200, {"jobsToStop": job_ids}) if job_ids else NOTHING

    async def _ping(self, endpoint_id: str, worker_id: str, _: str, scope: Scope, receive: Receive) -> Answer:
        query = parse_qs(http.query_of(scope))
        problem = None
        if query.get("status") == ["unhealthy"]:
            problem = ": ".join(query.get("check", []) + query.get("reason", [])) or "unhealthy"
        if self._box.fleet.find(endpoint_id, worker_id) is not None:  # another endpoint may have one of that name
            self._box.fleet.heartbeat(worker_id, unhealthy=problem)
        self._jobs.heard(endpoint_id, worker_id, query.get("job_id", [""])[0].split(","))
        return 200, {}

    async def _joined(self, endpoint_id: str, worker_id: str) -> Worker:
        """Return the worker that asks for a job: it joins with its first question, foreign or not, and is seen anew."""
        try:
            return self._box.fleet.joined(worker_id, endpoint_id)
        except Refused:  # its container was stopped, and hasn't noticed
            await asyncio.sleep(REFUSAL_HOLD_S)
            raise
