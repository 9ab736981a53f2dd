"""A TCP proxy before a registry that counts what comes in, and breaks uploads off half-way."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

METHODS = (b"GET /", b"HEAD /", b"POST /", b"PUT /", b"PATCH /", b"DELETE /")


@dataclass
class CuttingProxy:
    """Passes bytes on to `upstream` (host:port). The next `cuts` PATCHes end after `after_bytes` of their body.

    `received_bytes` counts what clients sent, `patches` how many uploads were streamed. `on_request` hears each
    request's first line before it is passed on, `on_cut` that an upload is about to end.
    """

    upstream: str
    cuts: int = 0
    after_bytes: int = 0
    address: str = ""
    received_bytes: int = 0
    patches: int = 0
    on_request: Callable[[str], None] = lambda _line: None
    on_cut: Callable[[], None] = lambda: None
    _open: list[socket.socket] = field(default_factory=list)

    def serve(self, listener: socket.socket) -> None:
        """Take connections until the listener is closed."""
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        host, port = self.upstream.split(":")
        try:
            registry = socket.create_connection((host, int(port)))
        except OSError:
            client.close()
            return
        self._open += [client, registry]
        threading.Thread(target=_copy, args=(registry, client), daemon=True).start()
        with suppress(OSError):
            self._copy_requests(client, registry)
        _end(client, registry)

    def _copy_requests(self, client: socket.socket, registry: socket.socket) -> None:
        left = None
        while data := client.recv(1 << 16):
            self.received_bytes += len(data)
            if data.startswith(METHODS):
                self.on_request(data.split(b"\r\n", 1)[0].decode("latin-1"))
            if data.startswith(b"PATCH "):
                self.patches += 1
                left = self.after_bytes if self.cuts else None
                self.cuts -= self.cuts > 0
            if left is not None:
                left -= len(data)
                if left <= 0:
                    self.on_cut()
                    return
            registry.sendall(data)

    def close(self) -> None:
        """End every connection."""
        _end(*self._open)


@contextmanager
def cutting_proxy(upstream: str, *, cuts: int = 0, after_bytes: int = 0) -> Iterator[CuttingProxy]:
    """Serve on a free port of loopback while the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = CuttingProxy(upstream, cuts, after_bytes, f"127.0.0.1:{listener.getsockname()[1]}")
        threading.Thread(target=proxy.serve, args=(listener,), daemon=True).start()
        try:
            yield proxy
        finally:
            proxy.close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    _end(source, target)


def _end(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
