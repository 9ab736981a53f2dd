"""A real registry behind us: one call passed on, both bodies as streams, on the standard library alone."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import anyio.from_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Message

PIECE_BYTES = 256 * 1024
TIMEOUT_S = 60
# Headers of one connection (RFC 9110, 7.6.1); and what the real registry must not see.
_NOT_PASSED_ON = {"connection", "keep-alive", "authorization", "te", "upgrade", "proxy-authorization"}


class Upstream:
    """The registry at `address` (host:port), over plain HTTP."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def pass_on(self, request: Request, path: str) -> Response:
        """Send the request to the registry under `path` and stream its answer back; 502 when there is none."""
        try:
            return await run_in_threadpool(self._exchange, request, path)
        except (OSError, http.client.HTTPException) as error:
            return JSONResponse({"errors": [{"code": "UNAVAILABLE", "message": type(error).__name__}]}, 502)

    def read(self, method: str, path: str, accept: str = "*/*") -> tuple[int, http.client.HTTPMessage, bytes]:
        """Ask the registry ourselves: status, headers and the whole body. Raises OSError. Call it from a thread."""
        connection = http.client.HTTPConnection(self._address, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, headers={"Accept": accept})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def _exchange(self, request: Request, path: str) -> Response:
        headers = {name: value for name, value in request.headers.items() if name not in _NOT_PASSED_ON}
        is_chunked = "transfer-encoding" in headers
        has_body = is_chunked or headers.get("content-length", "0") != "0"
        query = f"?{request.url.query}" if request.url.query else ""
        connection = http.client.HTTPConnection(self._address, timeout=TIMEOUT_S)
        try:
            connection.request(
                request.method,
                path + query,
                body=_body(request) if has_body else None,
                headers=headers,
                encode_chunked=is_chunked,
            )
            answer = connection.getresponse()
        except BaseException:
            connection.close()
            raise
        kept = {name: value for name, value in answer.getheaders() if name.lower() not in _NOT_PASSED_ON}
        kept.pop("Transfer-Encoding", None)
        if request.method == "HEAD":
            connection.close()
            return Response(None, answer.status, kept)
        return StreamingResponse(_pieces(connection, answer), answer.status, kept)


def _body(request: Request) -> Iterator[bytes]:
    """Yield the request's body, from the worker thread that sends it on."""

    async def receive() -> Message:
        return await request.receive()

    is_open = True
    while is_open:
        message = anyio.from_thread.run(receive)
        if message["type"] == "http.disconnect":
            raise ConnectionAbortedError("the client went away in mid-upload")
        yield message.get("body", b"")
        is_open = message.get("more_body", False)


def _pieces(connection: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield the answer's body and close the connection."""
    try:
        while piece := answer.read(PIECE_BYTES):
            yield piece
    finally:
        connection.close()
