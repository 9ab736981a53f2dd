"""What RunPod tells a client that asked for it: the finished job, posted to the `webhook` of its submission.

Three attempts (docs.runpod.io, serverless/endpoints/send-requests, read 2026-11-23), some ten seconds apart by the
box's clock; anything but 200 is tried again. Only loopback addresses and the hosts that the box was given are called:
a test must not reach strangers. A cancelled job sends none (what RunPod does then is not known).
"""

from __future__ import annotations

import asyncio
import http.client
import ipaddress
import json
import socket
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import SplitResult, urlsplit

import anyio.to_thread

from factory.emulator.runpod.clock import Clock
from factory.emulator.runpod.entities import Job
from factory.emulator.runpod.job_rules import for_webhook

ATTEMPTS = 3
PAUSE_S = 10.0
TIMEOUT_S = 10.0
_REMEMBERED = 1_000
_HEADERS = {"Content-Type": "application/json", "User-Agent": "Go-http-client/2.0"}
_CONNECTIONS = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt: the status that came back, or 0 and why none did."""

    job_id: str
    status: int
    problem: str = ""


class Webhooks:
    """Posts finished jobs. `deliveries` are the last attempts, oldest first."""

    def __init__(self, clock: Clock, hosts: frozenset[str] = frozenset()) -> None:
        self.deliveries: deque[Delivery] = deque(maxlen=_REMEMBERED)
        self._clock = clock
        self._hosts = hosts
        self._tasks: set[asyncio.Task[None]] = set()

    def job_ended(self, job: Job) -> None:
        """Begin to tell whoever the job names, if it names anyone."""
        if url := job.payload.get("webhook"):
            body = json.dumps(for_webhook(job)).encode()
            task = asyncio.get_running_loop().create_task(self._deliver(job.id, url, body))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    @property
    def is_busy(self) -> bool:
        """Is anything still to be delivered?"""
        return bool(self._tasks)

    async def _deliver(self, job_id: str, url: str, body: bytes) -> None:
        for attempt in range(ATTEMPTS):
            if attempt:
                await self._clock.wait(asyncio.Event(), PAUSE_S)
            delivery = await anyio.to_thread.run_sync(partial(self._post, job_id, url, body))
            self.deliveries.append(delivery)
            if delivery.status == 200:
                return

    def _post(self, job_id: str, url: str, body: bytes) -> Delivery:
        try:
            place = urlsplit(url)
            address = self._address(place)
            connection: Any = _CONNECTIONS[place.scheme](address, place.port, timeout=TIMEOUT_S)
            path = (place.path or "/") + (f"?{place.query}" if place.query else "")
            try:
                connection.request("POST", path, body, {**_HEADERS, "Host": place.netloc.rpartition("@")[2]})
                return Delivery(job_id, connection.getresponse().status)
            finally:
                connection.close()
        except (OSError, ValueError, http.client.HTTPException) as error:
            return Delivery(job_id, 0, str(error) or type(error).__name__)

    def _address(self, place: SplitResult) -> str:
        """Return what to connect to. ValueError for a host that may not be called."""
        host = place.hostname or ""
        if place.scheme not in _CONNECTIONS or not host:
            raise ValueError("a webhook is an http or https URL")
        if host in self._hosts:
            return host
        # Connect to the very address that was looked at, so that a name can't lead elsewhere the second time.
        found = str(socket.getaddrinfo(host, place.port or 0, type=socket.SOCK_STREAM)[0][4][0])
        if not ipaddress.ip_address(found).is_loopback:
            raise ValueError(f"{host} is not on loopback: webhooks of the emulator go nowhere else")
        return found
