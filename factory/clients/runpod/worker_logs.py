"""A worker's log lines: server-sent events of REST v2, taken up again by `Last-Event-ID` when the connection breaks.

`GET /v2/serverless/{id}/workers/{workerId}/logs?tail=` sends the last lines at once and then waits for more: its end is
no part of the protocol (RunPod's OpenAPI 2.0.0, read 2026-11-23). So without `follow` we stop at the asked number of
lines, or after `quiet_s` of silence.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
from httpx_sse import EventSource, SSEError

from factory.account import LogLine
from factory.clients.runpod.errors import cloud_error, no_sense, unreachable
from factory.clients.runpod.transport import RunPodClient
from factory.clients.runpod.wire import read_log_line

MOST_LINES = 5000  # RunPod's maximum of `tail`
SILENCE_S = 60.0  # while following: a connection that says nothing for so long may be dead, and is opened anew
EMPTY_TRIES = 5  # connections in a row without a line: the worker is gone


@dataclass(slots=True)
class _Place:
    """How far the reader has come."""

    last_id: str = ""
    lines: int = 0


class WorkerLogs:
    """Reads logs for both clouds: GraphQL has none."""

    def __init__(
        self, client: RunPodClient, *, quiet_s: float = 3.0, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._http = client.http
        self._quiet_s = quiet_s
        self._sleep = sleep

    def read(self, endpoint_id: str, worker_id: str, *, tail: int = 100, follow: bool = False) -> Iterator[LogLine]:
        """Yield the last `tail` lines (at most 5000), and with `follow` each that comes, until the worker is gone.

        Raises CloudRefused when there is no such worker, and the rest of the tree below ProvisionError.
        """
        where = f"worker {worker_id} of endpoint {endpoint_id}"
        path = f"/v2/serverless/{endpoint_id}/workers/{worker_id}/logs"
        tail = min(tail, MOST_LINES)
        place = _Place()
        empty = 0
        while empty < EMPTY_TRIES:
            before = place.lines
            try:
                with self._http.stream(
                    "GET",
                    path,
                    params={"tail": tail},
                    headers=_headers(place),
                    timeout=httpx.Timeout(SILENCE_S if follow else self._quiet_s, connect=10.0),
                    extensions={"factory.stream": True},
                ) as answer:
                    if answer.status_code == 404 and place.lines:
                        return  # the worker has ended meanwhile, and its lines with it
                    if not answer.is_success:
                        raise cloud_error(answer, where, "rest")
                    yield from self._lines(answer, place, where, None if follow else tail)
            except httpx.ReadTimeout:
                pass
            except httpx.TransportError as error:
                if not follow or isinstance(error, httpx.ConnectError):
                    raise unreachable(error, where, self._http.base_url.host) from error
            if not follow:
                return
            empty = 0 if place.lines > before else empty + 1
            self._sleep(min(2.0**empty * 0.25, 5.0))

    @staticmethod
    def _lines(answer: httpx.Response, place: _Place, where: str, most: int | None) -> Iterator[LogLine]:
        """Yield the lines of one connection, without the one that we had last."""
        try:
            for event in EventSource(answer).iter_sse():
                if event.id and event.id == place.last_id:
                    continue
                try:
                    line = read_log_line(json.loads(event.data), event.id)
                except (ValueError, KeyError, TypeError, AttributeError):
                    continue  # a comment or a sign of life: no line
                place.last_id = event.id or place.last_id
                place.lines += 1
                yield line
                if most is not None and place.lines >= most:
                    return
        except SSEError as error:
            answer.read()
            raise no_sense(answer, where) from error


def _headers(place: _Place) -> dict[str, str]:
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    return {**headers, "Last-Event-ID": place.last_id} if place.last_id else headers
