"""RunPod in a box as one ASGI application: faces by path over one `Box`.

    app = create_runpod(launcher=None)            # app.state.box, app.state.faults, app.state.calls
    with running(app) as url: …                   # RUNPOD_API_BASE_URL=url, RUNPOD_ENDPOINT_BASE_URL=url/v2

`/v2/` followed by a word that REST v2 uses is the management API, by anything else the job API and the worker protocol
(the real service has two hosts for that); `/graphql`; `/_emulator/` is the box's own control; the rest is the hub, when
one is given.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from starlette.datastructures import State
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from factory.emulator.faults import Call, Fault, Faults
from factory.emulator.hub import create_hub
from factory.emulator.runpod.box import Box, make_box
from factory.emulator.runpod.catalogue import Catalogue
from factory.emulator.runpod.clock import Clock, RealClock
from factory.emulator.runpod.control import create_control
from factory.emulator.runpod.entities import Person
from factory.emulator.runpod.graphql_face import create_graphql
from factory.emulator.runpod.job_api import create_job_api
from factory.emulator.runpod.launcher import Launcher
from factory.emulator.runpod.rest import create_rest
from factory.emulator.runpod.store import Store
from factory.emulator.runpod.world import World

MANAGEMENT = frozenset(
    {"serverless", "templates", "network-volumes", "registries", "catalog", "billing", "pods", "clusters", "account"}
    | {"openapi.json"}
)
"""The first segments below /v2/ that are REST v2's; an endpoint's id never is one of them."""


class Runpod:
    """The application: sends each call to its face, and runs the box while it is served."""

    def __init__(self, box: Box, faces: dict[str, ASGIApp]) -> None:
        self.state = State({"box": box, "faults": box.faults, "calls": box.calls})
        self._box = box
        self._faces = faces
        self._faulty = Faults(self._dispatch, box.faults, box.calls)

    def served_at(self, url: str) -> None:
        """Hear under which URL the application is being served."""
        self._box.serve_at(url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a call, or begin and end with the server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            # The control face answers whatever faults are on: it is how they are taken away.
            is_control = scope["path"].startswith("/_emulator/")
            await (self._faces["control"] if is_control else self._faulty)(scope, receive, send)

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        parts = scope["path"].split("/", 3)
        if parts[1] == "v2" and len(parts) > 2:
            face = "rest" if parts[2] in MANAGEMENT else "jobs"
        else:
            face = "graphql" if parts[1] == "graphql" else "hub"
        await self._faces.get(face, _nothing)(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        running = asyncio.create_task(self._box.run())
        await asyncio.sleep(0)  # let it begin
        await send({"type": "lifespan.startup.complete"})
        await receive()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await self._box.close()
        await send({"type": "lifespan.shutdown.complete"})


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse({"message": "Not Found"}, 404)(scope, receive, send)


def create_runpod(
    *,
    launcher: Launcher | None = None,
    hub: Path | None = None,
    state: Path | None = None,
    clock: Clock | None = None,
    keys: frozenset[str] | None = None,
    person: Person | None = None,
    catalogue: Catalogue | None = None,
    faults: list[Fault] | None = None,
    calls: list[Call] | None = None,
) -> Runpod:
    """Make the application: a new account, or the one that `state` holds.

    `launcher` starts the workers (None: only foreign ones join); `hub` is a folder of model repositories to serve as
    well; `keys` are the valid API keys (None: any). Raises StateInUse, NotADirectoryError (`hub`), OSError.
    """
    clock = clock or RealClock()
    catalogue = catalogue or Catalogue.snapshot()
    world = World(clock, catalogue, Store(state) if state else None, person)
    box = make_box(clock, world, catalogue, launcher, keys=keys, faults=faults, calls=calls)
    box.has_hub = hub is not None
    faces = {
        "rest": create_rest(box),
        "graphql": create_graphql(box),
        "jobs": create_job_api(box),
        "control": create_control(box),
    }
    if hub:
        faces["hub"] = models = create_hub(hub)
        box.models = models.state.repositories
    return Runpod(box, faces)
