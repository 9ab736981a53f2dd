"""What lies before a real registry in tests of its faults: calls are counted, and fail as told."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from factory.emulator.faults import Call, Fault, Faults
from factory.emulator.registry_proxy import Upstream

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class Front:
    """A registry's front where calls fail as told in `faults`; without `may_mount` a mount begins an upload."""

    def __init__(self, upstream: str, *, may_mount: bool = True) -> None:
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self._upstream = Upstream(upstream)
        self._may_mount = may_mount
        self.app = Starlette(
            routes=[Route("/{path:path}", self._serve, methods=METHODS)],
            middleware=[Middleware(Faults, faults=self.faults, calls=self.calls)],
        )

    async def _serve(self, request: Request) -> Response:
        if request.query_params.get("mount") and not self._may_mount:
            request.scope["query_string"] = b""
            request = Request(request.scope, request.receive)
        return await self._upstream.pass_on(request, request.url.path)

    def made(self, method: str) -> int:
        """Count the calls of a method."""
        return sum(call.method == method for call in self.calls)
