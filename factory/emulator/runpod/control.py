"""The box's own controls, for people and tests; nothing of this is RunPod's. JSON in and out, no key asked.

| call below `/_emulator/` | what it does |
| --- | --- |
| `GET state` | a summary: time, money, what exists, workers, jobs, what goes wrong |
| `GET faults` · `POST` one or a list · `DELETE` | HTTP faults, fields as in faults.py; `DELETE` lets held calls go |
| `POST holds/release` `{}` or `{"path": P}` | let the calls go on that `hold` faults (those with `path` P) keep |
| `GET troubles` · `POST` one or a list · `DELETE` | the platform's troubles (troubles.py) |
| `GET clock` · `POST` `{"advance_s": 60}` | the time; moving it ticks the box. 409 with the real clock |
| `GET person` · `POST` `{"balance_usd": 0, "worker_quota": 5}` | the account |
| `POST stock` `{"pool": "ADA_24", "data_center": "EU-RO-1", "availability": "NONE"}` | stock; or `gpu`; `*`: anywhere |
| `GET calls` · `DELETE` | the log of calls, oldest first |

What can't be understood is a 400 `{"error": …}`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from factory.emulator.faults import KINDS, Fault
from factory.emulator.runpod.box import Box
from factory.emulator.runpod.catalogue import LEVELS
from factory.emulator.runpod.clock import StepClock
from factory.emulator.runpod.entities import Endpoint
from factory.emulator.runpod.troubles import NotATrouble, from_json

_FAULT_TYPES: dict[str, tuple[type, ...]] = {
    "kind": (str,),
    "times": (int,),
    "path": (str,),
    "method": (str,),
    "status": (int,),
    "wait_s": (int, float),
    "after_bytes": (int,),
    "after": (bool,),
    "body": (str,),
    "containing": (str,),
}


def create_control(box: Box) -> ASGIApp:
    """Make the face."""
    control = _Control(box)
    at = "/_emulator/"
    return Starlette(
        routes=[
            Route(f"{at}state", control.state),
            Route(f"{at}faults", control.faults, methods=["GET", "POST", "DELETE"]),
            Route(f"{at}holds/release", control.release, methods=["POST"]),
            Route(f"{at}troubles", control.troubles, methods=["GET", "POST", "DELETE"]),
            Route(f"{at}clock", control.clock, methods=["GET", "POST"]),
            Route(f"{at}person", control.person, methods=["GET", "POST"]),
            Route(f"{at}stock", control.stock, methods=["POST"]),
            Route(f"{at}calls", control.calls, methods=["GET", "DELETE"]),
        ],
        exception_handlers={HTTPException: _said},
    )


class _Control:
    def __init__(self, box: Box) -> None:
        self._box = box

    async def state(self, _: Request) -> Response:
        """GET state."""
        world = self._box.world
        return JSONResponse(
            {
                "now": world.now(),
                "url": self._box.url,
                "person": dataclasses.asdict(world.person),
                "volumes": [dataclasses.asdict(volume) for volume in world.volumes.values()],
                "templates": [{"id": t.id, "name": t.name} for t in world.templates.values()],
                "logins": [{"id": login.id, "name": login.name} for login in world.logins.values()],
                "secrets": [{"id": secret.id, "name": secret.name} for secret in world.secrets.values()],
                "endpoints": [self._endpoint(endpoint) for endpoint in world.endpoints.values()],
                "faults": [_fault(fault) for fault in self._box.faults],
                "troubles": self._box.troubles.to_json(),
            }
        )

    def _endpoint(self, endpoint: Endpoint) -> dict[str, Any]:
        workers = self._box.fleet.workers(endpoint.id)
        return {
            "id": endpoint.id,
            "name": endpoint.name,
            "image": endpoint.container.image,
            "version": endpoint.version,
            "jobs": self._box.jobs.counts(endpoint.id),
            "workers": [dataclasses.asdict(worker) for worker in workers],
        }

    async def faults(self, request: Request) -> Response:
        """GET, POST, DELETE faults."""
        if request.method == "POST":
            self._box.faults.extend([_fault_of(item) for item in _list(await _json(request))])
        elif request.method == "DELETE":
            for fault in self._box.faults:
                fault.release()
            self._box.faults.clear()
        return JSONResponse([_fault(fault) for fault in self._box.faults])

    async def release(self, request: Request) -> Response:
        """POST holds/release: also of faults that are spent."""
        path = _only(await _json(request), {"path": (str,)}).get("path")
        held = [fault for fault in self._box.faults if path in (None, fault.path)]
        return JSONResponse({"released": sum(fault.release() for fault in held)})

    async def troubles(self, request: Request) -> Response:
        """GET, POST, DELETE troubles."""
        troubles = self._box.troubles
        if request.method == "POST":
            try:
                for trouble in [from_json(item) for item in _list(await _json(request))]:
                    troubles.add(trouble)
            except NotATrouble as error:
                raise HTTPException(400, str(error)) from error
        elif request.method == "DELETE":
            troubles.clear()
        return JSONResponse(troubles.to_json())

    async def clock(self, request: Request) -> Response:
        """GET, POST clock."""
        clock = self._box.clock
        if request.method == "POST":
            advance_s = _only(await _json(request), {"advance_s": (int, float)}).get("advance_s", 0)
            if not isinstance(clock, StepClock):
                raise HTTPException(409, "this box has the real clock, which can't be moved")
            if advance_s < 0:
                raise HTTPException(400, f"advance_s: a clock doesn't go back (got {advance_s})")
            clock.advance(advance_s)
            await self._box.tick()
        return JSONResponse({"now": clock.now()})

    async def person(self, request: Request) -> Response:
        """GET, POST person."""
        if request.method == "POST":
            given = _only(await _json(request), {"balance_usd": (int, float), "worker_quota": (int,)})
            self._box.world.set_person(**given)
        return JSONResponse(dataclasses.asdict(self._box.world.person))

    async def stock(self, request: Request) -> Response:
        """POST stock."""
        texts = dict.fromkeys(("gpu", "pool", "data_center", "availability"), (str,))
        given = _only(await _json(request), texts)
        named = given.get("gpu") or given.get("pool")
        if not named or given.get("availability") not in LEVELS:
            raise HTTPException(400, f"gpu or pool is needed, and availability, one of {', '.join(LEVELS)}")
        try:
            self._box.catalogue.set_stock(named, given.get("data_center", "*"), given["availability"])
        except KeyError as error:
            raise HTTPException(400, f"the catalogue has no {error.args[0]}") from error
        return JSONResponse(given)

    async def calls(self, request: Request) -> Response:
        """GET, DELETE calls."""
        if request.method == "DELETE":
            self._box.calls.clear()
        return JSONResponse([dataclasses.asdict(call) for call in self._box.calls])


def _fault(fault: Fault) -> dict[str, Any]:
    return {name: getattr(fault, name) for name in (*_FAULT_TYPES, "held")}


def _fault_of(given: object) -> Fault:
    fields = _only(given, _FAULT_TYPES)
    if fields.get("kind") not in KINDS:
        raise HTTPException(400, f"kind: one of {', '.join(KINDS)} is needed (got {fields.get('kind')!r})")
    return Fault(**fields)


async def _json(request: Request) -> object:
    body = await request.body()
    try:
        return json.loads(body or b"{}")
    except ValueError as error:
        raise HTTPException(400, f"the body is no JSON: {error}") from error


def _list(given: object) -> list[object]:
    return given if isinstance(given, list) else [given]


def _only(given: object, types: Mapping[str, tuple[type, ...]]) -> dict[str, Any]:
    """Return an object's fields, all known and of the right types. Raises HTTPException(400) which names the field."""
    if not isinstance(given, dict):
        raise HTTPException(400, f"an object is needed (got {type(given).__name__})")
    for name, value in given.items():
        if name not in types:
            raise HTTPException(400, f"{name}: unknown; known are {', '.join(types)}")
        if not isinstance(value, types[name]) or (isinstance(value, bool) and bool not in types[name]):
            wanted = " or ".join(kind.__name__ for kind in types[name])
            raise HTTPException(400, f"{name}: {wanted} is needed (got {value!r})")
    return given


def _said(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
