"""REST v2, the management API, as RunPod's OpenAPI says: every path, every request and every answer held against it.

    create_rest(box, quota=Quota(minute=3)) -> ASGIApp

A call goes: key (401) → rate limit (429) → path (404, 405) → parameters and body (400, 422) → handler → its answer,
checked. The table of handlers is by operationId and must have all of them. An answer that breaks the OpenAPI is a bug
of the emulator and leaves as a 500 that says so.
"""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from factory.emulator.runpod.images import LocalRegistries
from factory.emulator.runpod.openapi import Match, NoSuchPath, OpenApi, WrongMethod, published
from factory.emulator.runpod.refusals import Refused
from factory.emulator.runpod.rest_account import Account
from factory.emulator.runpod.rest_billing import Billing
from factory.emulator.runpod.rest_catalogue import CatalogueRoutes
from factory.emulator.runpod.rest_clusters import Clusters
from factory.emulator.runpod.rest_limits import Limits, Quota, reset_s
from factory.emulator.runpod.rest_pods import PodRoutes
from factory.emulator.runpod.rest_read import read_ask
from factory.emulator.runpod.rest_registries import Registries
from factory.emulator.runpod.rest_serverless import Serverless
from factory.emulator.runpod.rest_templates import Templates
from factory.emulator.runpod.rest_volumes import Volumes
from factory.emulator.runpod.rest_wire import Answer, Handler, problem, send_answer
from factory.emulator.runpod.rest_workers import Workers

if TYPE_CHECKING:
    from factory.emulator.runpod.box import Box

OPENAPI_PATH = "/v2/openapi.json"


def create_rest(box: Box, *, quota: Quota | None = None) -> ASGIApp:
    """Make the face. Raises LookupError when an operation of the OpenAPI has no handler, or a handler no operation."""
    return Rest(box, published(), handlers(box), Limits(quota or Quota()))


def handlers(box: Box) -> dict[str, Handler]:
    """Return every handler by the operationId that it answers."""
    images = LocalRegistries()
    pods = PodRoutes(box.world, box.catalogue)
    return {
        **Account(box.world).handlers(),
        **Volumes(box.world).handlers(),
        **Templates(box.world, box.catalogue).handlers(),
        **Registries(box.world, pods.pods).handlers(),
        **Serverless(box.world, box.catalogue, images).handlers(),
        **Workers(box.world, box.fleet).handlers(),
        **CatalogueRoutes(box.catalogue).handlers(),
        **pods.handlers(),
        **Clusters(box.world, box.catalogue, pods).handlers(),
        **Billing(box.world, box.fleet.bill).handlers(),
    }


class Rest:
    """The face as an ASGI application."""

    def __init__(self, box: Box, law: OpenApi, table: Mapping[str, Handler], limits: Limits) -> None:
        if table.keys() != law.operations.keys():
            raise LookupError(f"handlers and operations differ: {sorted(table.keys() ^ law.operations.keys())}")
        self._box = box
        self._law = law
        self._handlers = table
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        request = Request(scope, receive)
        if request.method == "GET" and request.url.path == OPENAPI_PATH:
            answer = Answer(body=self._law.document)
        else:
            answer = await self._answer(request)
        answer.headers.setdefault("x-request-id", secrets.token_hex(16))
        await send_answer(answer, scope, receive, send)

    async def _answer(self, request: Request) -> Answer:
        """Let a call through key, limit and path; the answer carries the rate headers."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            return problem(Refused(401, "missing bearer token"))
        if not self._box.accepts(request.scope):
            return problem(Refused(401, "invalid bearer token"))
        now = self._box.clock.now()
        window = self._limits.exceeded(key, now)
        if window is not None:
            refused = Refused(429, f"rate limit exceeded for the {window} window")
            answer = problem(refused, Retry_After=str(reset_s(window, now)))
        else:
            answer = await self._routed(request)
        answer.headers.update(self._limits.headers(key, now))
        return answer

    async def _routed(self, request: Request) -> Answer:
        raw_path = request.scope.get("raw_path") or request.url.path.encode()
        try:
            match = self._law.find(request.method, raw_path.decode("latin-1").split("?")[0])
        except NoSuchPath:
            return problem(Refused(404, "resource not found"))
        except WrongMethod as wrong:
            refused = Refused(405, "The requested method is not allowed for this path.")
            return problem(refused, Allow=", ".join(wrong.allowed))
        try:
            answer = await self._handled(request, match)
        except Refused as refused:
            answer = problem(refused)
        return _lawful(answer, match)

    async def _handled(self, request: Request, match: Match) -> Answer:
        ask = await read_ask(request, match)
        given = self._handlers[match.operation.id](ask)
        return await given if inspect.isawaitable(given) else given


def _lawful(answer: Answer, match: Match) -> Answer:
    """Return the answer, or the 500 that tells what the OpenAPI holds against it."""
    problems = match.operation.answer_problems(answer.status, answer.media_type, answer.body)
    if not problems:
        return answer
    return problem(Refused(500, "The emulator's own answer breaks RunPod's OpenAPI.", tuple(problems)))
