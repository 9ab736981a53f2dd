"""A server on loopback that answers as it is told, one step per request, and keeps what it was asked."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread


@dataclass(frozen=True)
class Step:
    """What one request gets. `ends` is `whole`, `cut` (after the body's first half), `hang_up` (no byte) or `stall`."""

    status: int = 200
    body: object = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()
    ends: str = "whole"


@dataclass(frozen=True)
class Asked:
    """One request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class ScriptedSite:
    """The server: `steps` still to come (the last stays) or what chooses them, and `asked` so far."""

    url: str
    steps: list[Step]
    choose: Callable[[Asked], Step] | None = None
    asked: list[Asked] = field(default_factory=list)

    def next_step(self, asked: Asked) -> Step:
        """Return what a request gets."""
        if self.choose:
            return self.choose(asked)
        return self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]


def hang_up() -> Step:
    """The connection closes before a byte of the answer."""
    return Step(ends="hang_up")


def stall() -> Step:
    """No answer comes."""
    return Step(ends="stall")


def refuse(status: int, **headers: str) -> Step:
    """An answer with this status; `Retry_After` becomes Retry-After."""
    return Step(status, {"error": "no"}, tuple((name.replace("_", "-"), text) for name, text in headers.items()))


@contextmanager
def scripted(*steps: Step, port: int = 0, choose: Callable[[Asked], Step] | None = None) -> Iterator[ScriptedSite]:
    """Serve these steps, in their order, the last for ever; or what `choose` says for each request."""
    is_over = Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet: the second would wait 40 ms for the first one's acknowledgement

        def answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("content-length", "0")))
            headers = {name.lower(): text for name, text in self.headers.items()}
            site.asked.append(Asked(self.command, self.path, headers, sent))
            self.play(site.next_step(site.asked[-1]))

        def play(self, step: Step) -> None:
            if step.ends in ("hang_up", "stall"):
                if step.ends == "stall":
                    is_over.wait(30)
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            body = step.body if isinstance(step.body, bytes) else json.dumps(step.body).encode()
            self.send_response(step.status)
            for name, text in {"Content-Length": str(len(body)), **dict(step.headers)}.items():
                self.send_header(name, text)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body if step.ends == "whole" else body[: len(body) // 2])
            if step.ends == "cut":
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.answer)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Stay silent: a client that leaves early is part of the tests."""

    with Server(("127.0.0.1", port), Handler) as server:
        site = ScriptedSite(f"http://127.0.0.1:{server.server_address[1]}", list(steps), choose)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield site
        finally:
            is_over.set()
            server.shutdown()
            thread.join()
