"""RunPod's job API (https://api.runpod.ai/v2/{endpoint}/…), and the door to the worker protocol beside it.

| route | checked against |
| --- | --- |
| `POST run`, `POST runsync?wait=`, `GET|POST status/{job}`, `GET|POST stream/{job}` | client: the unmodified SDK |
| `POST cancel/{job}`, `POST purge-queue`, `GET health` | client: the unmodified SDK |
| `POST retry/{job}` | documented (docs.runpod.io, serverless/endpoints/job-operations, read 2026-11-23) |
| `GET requests`, `GET metrics` | documented by name only; the shape is the emulator's |

"The SDK" is runpod 1.12.0, `runpod.Endpoint`, over loopback, 2026-11-25. Not done: `openai/…` (a proxy into the
worker) and `batch` (beta): 404. A load-balancing endpoint has no queue: 400.

The dispatch is by hand, since every call of every worker goes through it (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Receive, Scope, Send

from factory.emulator.runpod import job_http as http
from factory.emulator.runpod import job_rules as rules
from factory.emulator.runpod.box import Box
from factory.emulator.runpod.entities import Endpoint, Job
from factory.emulator.runpod.job_http import Answer
from factory.emulator.runpod.job_limits import RateLimits
from factory.emulator.runpod.refusals import Refused
from factory.emulator.runpod.webhooks import Webhooks
from factory.emulator.runpod.worker_protocol import WorkerProtocol

WAIT_MS = (1_000, 90_000, 300_000)
"""Least, default and most that /runsync waits (docs.runpod.io, read 2026-11-23)."""
_NEVER_QUEUES = frozenset({"health"})


@dataclass(frozen=True, slots=True)
class _Operation:
    """One of RunPod's words behind the endpoint's id: how it may be called, and who answers."""

    methods: tuple[str, ...]
    has_job: bool
    answer: Callable[[Endpoint, str, Scope, Receive], Awaitable[Answer]]


class JobApi:
    """The application. Worker calls go on to `WorkerProtocol`."""

    def __init__(self, box: Box, webhook_hosts: frozenset[str] = frozenset()) -> None:
        self._box = box
        self._jobs = box.jobs
        self._limits = RateLimits()
        self._workers = WorkerProtocol(box)
        self.webhooks = Webhooks(box.clock, webhook_hosts)
        box.jobs.on_end.append(self.webhooks.job_ended)
        box.jobs.loses = lambda job: box.troubles.loses_job(box.world.endpoints[job.endpoint_id])
        both = ("GET", "POST")
        self._operations = {
            "run": _Operation(("POST",), False, self._run),
            "runsync": _Operation(("POST",), False, self._runsync),
            "status": _Operation(both, True, self._status),
            "stream": _Operation(both, True, self._stream),
            "cancel": _Operation(("POST",), True, self._cancel),
            "retry": _Operation(("POST",), True, self._retry),
            "purge-queue": _Operation(("POST",), False, self._purge),
            "health": _Operation(("GET",), False, self._health),
            "requests": _Operation(("GET",), False, self._requests),
            "metrics": _Operation(("GET",), False, self._metrics),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        parts = scope["path"].split("/")  # "", "v2", endpoint, operation, job or worker, job
        operation = self._operations.get(parts[3]) if len(parts) > 3 else None
        try:
            if operation is not None:
                answer = await self._client_call(operation, parts, scope, receive)
            else:
                answer = await self._workers.answer(parts, scope, receive)
        except Refused as refused:
            answer = http.problem(refused.status, refused.message)
        await http.send_answer(send, answer)

    async def _client_call(self, operation: _Operation, parts: list[str], scope: Scope, receive: Receive) -> Answer:
        if len(parts) != 4 + operation.has_job:
            return http.NOT_FOUND
        if scope["method"] not in operation.methods:
            return http.problem(405, f"{parts[3]} is called by {' or '.join(operation.methods)}")
        if not self._box.accepts(scope):
            return http.problem(401, "no valid API key")
        endpoint = self._box.world.endpoints.get(parts[2])
        if endpoint is None:
            return http.problem(404, "endpoint not found")
        if self._box.troubles.hides(endpoint):
            return http.NOT_FOUND
        if endpoint.kind == "LOAD_BALANCER" and parts[3] not in _NEVER_QUEUES:
            return http.problem(400, "a load-balancing endpoint has no queue")
        counts = self._limits.enter(endpoint.id, parts[3], self._box.clock.now())
        try:
            return await operation.answer(endpoint, parts[-1], scope, receive)
        finally:
            self._limits.leave(counts)

    async def _run(self, endpoint: Endpoint, _: str, scope: Scope, receive: Receive) -> Answer:
        payload, _size = await http.read_json(receive, rules.RUN_BYTES)
        job = self._jobs.submit(endpoint.id, payload, is_sync=False)
        return 200, {"id": job.id, "status": "IN_QUEUE"}

    async def _runsync(self, endpoint: Endpoint, _: str, scope: Scope, receive: Receive) -> Answer:
        wait_s = _wait_s(scope)
        payload, _size = await http.read_json(receive, rules.RUNSYNC_BYTES)
        job = self._jobs.submit(endpoint.id, payload, is_sync=True)
        if await self._jobs.wait_end(job, wait_s):
            return 200, rules.status_of(job)
        self._job(endpoint, job.id)  # it may have been purged
        return 200, {"id": job.id, "status": job.status}

    async def _status(self, endpoint: Endpoint, job_id: str, scope: Scope, receive: Receive) -> Answer:
        if self._box.troubles.hides_status(endpoint, job_id):
            raise Refused(404, "job not found")
        return 200, rules.status_of(self._job(endpoint, job_id))

    async def _stream(self, endpoint: Endpoint, job_id: str, scope: Scope, receive: Receive) -> Answer:
        job = self._job(endpoint, job_id)
        chunks = self._jobs.take_chunks(job)
        return 200, {"id": job.id, "status": job.status, "stream": [{"output": chunk} for chunk in chunks]}

    async def _cancel(self, endpoint: Endpoint, job_id: str, scope: Scope, receive: Receive) -> Answer:
        job = self._jobs.cancel(endpoint.id, job_id)
        return 200, {"id": job.id, "status": job.status}

    async def _retry(self, endpoint: Endpoint, job_id: str, scope: Scope, receive: Receive) -> Answer:
        return 200, {"id": self._jobs.retry(endpoint.id, job_id).id, "status": "IN_QUEUE"}

    async def _purge(self, endpoint: Endpoint, _: str, scope: Scope, receive: Receive) -> Answer:
        return 200, {"removed": self._jobs.purge(endpoint.id), "status": "completed"}

    async def _health(self, endpoint: Endpoint, _: str, scope: Scope, receive: Receive) -> Answer:
        return 200, {"jobs": self._jobs.counts(endpoint.id), "workers": self._box.fleet.counts(endpoint.id)}

    async def _requests(self, endpoint: Endpoint, _: str, scope: Scope, receive: Receive) -> Answer:
        return 200, {"requests": [rules.status_of(job) for job in self._jobs.of(endpoint.id)]}

    async def _metrics(self, endpoint: Endpoint, _: str, scope: Scope, receive: Receive) -> Answer:
        ready = [w.id for w in self._box.fleet.workers(endpoint.id) if w.status in ("IDLE", "RUNNING")]
        return 200, {"readyWorkers": ready, "workers": self._box.fleet.counts(endpoint.id)}

    def _job(self, endpoint: Endpoint, job_id: str) -> Job:
        job = self._jobs.get(endpoint.id, job_id)
        if job is None:
            raise Refused(404, "job not found")
        return job


def create_job_api(box: Box, *, webhook_hosts: frozenset[str] = frozenset()) -> ASGIApp:
    """Make the job API and the worker protocol over a box. Webhooks go to loopback and to `webhook_hosts` only."""
    return JobApi(box, webhook_hosts)


def _wait_s(scope: Scope) -> float:
    least, usual, most = WAIT_MS
    if not scope["query_string"]:
        return usual / 1000
    given: Any = parse_qs(http.query_of(scope)).get("wait", [str(usual)])[0]
    if not given.isdecimal() or not least <= int(given) <= most:
        raise Refused(400, f"wait must be {least} to {most} ms")
    return int(given) / 1000
