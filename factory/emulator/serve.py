"""Serve one of the emulators over HTTP, in the foreground or beside a test.

serve(create_hub(Path("models")), host="127.0.0.1", port=8090, on_ready=print)   # until Ctrl-C
with running(create_hub(Path("models"))) as url: ...                             # a free port, a thread
"""

from __future__ import annotations

import gc
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import uvicorn
from starlette.types import ASGIApp


@runtime_checkable
class Served(Protocol):
    """An application that begins and ends with its server (ASGI's lifespan) and wants to know its own URL."""

    def served_at(self, url: str) -> None:
        """Hear the URL, before the first call."""
        ...


class _Server(uvicorn.Server):
    """Uvicorn's server, which says when it answers."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()


def serve(
    app: ASGIApp, host: str = "127.0.0.1", port: int = 0, on_ready: Callable[[str], None] = lambda _url: None
) -> None:
    """Serve until Ctrl-C; `on_ready` gets the URL. Port 0 takes a free one; OSError when the port is taken."""
    # The process is ours, and holds many small things for long (jobs, calls): to look at them again after every 700 new
    # ones, Python's default, costs a seventh of the CPU time under load (2026-11-25).
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    with _listening(host, port) as listener:
        url = _url(listener, host)
        _Server(_config(app, url), lambda: on_ready(url)).run(sockets=[listener])


@contextmanager
def running(app: ASGIApp, *, host: str = "127.0.0.1") -> Iterator[str]:
    """Serve on a free port in a thread while the block runs, and give its URL."""
    is_ready = threading.Event()
    with _listening(host, 0) as listener:
        url = _url(listener, host)
        server = _Server(_config(app, url), is_ready.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="emulator", daemon=True)
        thread.start()
        try:
            if not is_ready.wait(timeout=30):
                raise RuntimeError("the emulator did not start within 30 s")
            yield url
        finally:
            server.should_exit = True
            thread.join(timeout=30)


def _config(app: ASGIApp, url: str) -> uvicorn.Config:
    whole: object = app
    if is_whole := isinstance(whole, Served):
        whole.served_at(url)
    # A stalled answer (a fault we play) must not hold up the end: one second's grace, then connections are cut.
    return uvicorn.Config(
        app,
        lifespan="on" if is_whole else "off",
        access_log=False,
        proxy_headers=False,
        log_level="critical",
        timeout_graceful_shutdown=1,
    )


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
        yield listener


def _url(listener: socket.socket, host: str) -> str:
    port: int = listener.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
