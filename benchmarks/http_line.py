"""The leanest HTTP client that a benchmark can have: one keep-alive connection, one call at a time, on loopback."""

from __future__ import annotations

import asyncio
from typing import cast


class Connection(asyncio.Protocol):
    """A connection to a server whose answers carry a Content-Length, or are 204."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[bytes] | None = None
        self._read = b""

    @classmethod
    async def open(cls, port: int, key: str) -> Connection:
        """Connect to a port of this machine."""
        _, line = await asyncio.get_running_loop().create_connection(lambda: cls(key), "127.0.0.1", port)
        return line

    def call(self, method: str, path: str, body: bytes = b"") -> asyncio.Future[bytes]:
        """Send a call; what is returned will hold the answer's body. Anything but 200 and 204 is a RuntimeError."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: {self._key}\r\n"
        self._transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return self._answer

    def close(self) -> None:
        """Hang up."""
        assert self._transport is not None
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        """Read until the answer is whole."""
        self._read += data
        head, separator, body = self._read.partition(b"\r\n\r\n")
        if not separator:
            return
        length = 0
        for line in head.split(b"\r\n")[1:]:
            if line[:15].lower() == b"content-length:":
                length = int(line[15:])
        if len(body) >= length:
            self._read = b""
            assert self._answer is not None
            if head[9:12] in (b"200", b"204"):
                self._answer.set_result(body)
            else:
                self._answer.set_exception(RuntimeError(f"{head[:80]!r} {body[:200]!r}"))

    def connection_lost(self, error: Exception | None) -> None:
        """End the call that waits."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("the emulator hung up"))
