"""One GET of a caller's URL, to the addresses that were checked and within the time that is left.

httpcore2 (it comes with huggingface_hub) lets the connection be made by us: it never resolves, reads no proxy from the
environment and follows no redirect by itself. TLS asks for the host of the URL, and so does the Host header.
"""

from __future__ import annotations

import functools
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import certifi
import httpcore2

from worker_runtime.addresses import Resolver, Target, check, follow, system_resolver
from worker_runtime.deadline import Deadline
from worker_runtime.errors import InputUnreadable
from worker_runtime.input_rules import InputRules

MAX_REDIRECTS = 5
CONNECT_S = 10.0
STALL_S = 15.0  # with no byte at all
REDIRECTS = frozenset((301, 302, 303, 307, 308))

# Takes the length that the server announced (None: it did not) and gives what takes each chunk.
Receive = Callable[[int | None], Callable[[bytes], None]]


class _Timed(httpcore2.NetworkStream):
    """A connection whose every step ends with the deadline, so that a trickle can't hold the worker."""

    def __init__(self, inner: httpcore2.NetworkStream, deadline: Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._deadline.wait_s(STALL_S))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._deadline.wait_s(STALL_S))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        left = self._deadline.wait_s(CONNECT_S)
        return _Timed(self._inner.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> object:
        return self._inner.get_extra_info(info)


class _Pinned(httpcore2.NetworkBackend):
    """Connects to the addresses that it was made with, in their order, whatever host it is asked for."""

    def __init__(self, addresses: Iterable[str], deadline: Deadline) -> None:
        self._addresses = tuple(addresses)
        self._deadline = deadline
        self._system = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        failure: Exception = httpcore2.ConnectError("no address")
        for address in self._addresses:
            try:
                return _Timed(self._system.connect_tcp(address, port, self._deadline.wait_s(CONNECT_S)), self._deadline)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure


@functools.cache
def _system_trust() -> ssl.SSLContext:
    trust = httpcore2.default_ssl_context()
    trust.load_verify_locations(certifi.where())  # a base image may have no authorities of its own
    return trust


def download(
    url: str,
    receive: Receive,
    *,
    rules: InputRules,
    deadline: Deadline,
    resolve: Resolver = system_resolver,
    trust: ssl.SSLContext | None = None,
) -> Target:
    """Send the body behind `url` to `receive` chunk by chunk, and return where it was found after redirects.

    Raises InputRefused for an address that isn't public, InputUnreadable for all that goes wrong on the way.
    `trust` None: the certificate authorities of the system.
    """
    for _ in range(MAX_REDIRECTS + 1):
        deadline.wait_s(CONNECT_S)
        target = check(url, rules.allow, resolve)
        with _answer(target, deadline, trust) as answer:
            location = _header(answer, b"location")
            if answer.status not in REDIRECTS or location is None:
                _receive(answer, target, receive)
                return target
        url = follow(target, location)
    raise InputUnreadable(f"more than {MAX_REDIRECTS} redirects from {target.place}", fix="send the final URL")


@contextmanager
def _answer(target: Target, deadline: Deadline, trust: ssl.SSLContext | None) -> Iterator[httpcore2.Response]:
    """Send the request and give the answer; what breaks on the way becomes InputUnreadable."""
    request = httpcore2.Request(
        "GET",
        httpcore2.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path_and_query),
        headers={
            "Host": target.netloc,
            "User-Agent": "worker_runtime",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
        },
    )
    connection = httpcore2.HTTPConnection(
        request.url.origin, ssl_context=trust or _system_trust(), network_backend=_Pinned(target.addresses, deadline)
    )
    try:
        yield connection.handle_request(request)
    except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
        deadline.wait_s(0)
        raise InputUnreadable(f"no connection to {target.place} ({error})", fix="check the URL") from error
    except httpcore2.TimeoutException as error:
        deadline.wait_s(0)
        raise InputUnreadable(f"{target.place} sent nothing for {STALL_S:.0f} s", fix="try again") from error
    except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        raise InputUnreadable(f"{target.place} broke off ({error})", fix="try again") from error
    finally:
        connection.close()


def _header(answer: httpcore2.Response, name: bytes) -> str | None:
    values = [value for key, value in answer.headers if key.lower() == name]
    return values[0].decode("utf-8", "replace").strip() if values else None


def _receive(answer: httpcore2.Response, target: Target, receive: Receive) -> None:
    if answer.status != 200:
        raise InputUnreadable(
            f"{target.place} answered {answer.status}", fix="check the URL, and that it has not expired"
        )
    encoding = _header(answer, b"content-encoding")
    if encoding not in (None, "", "identity"):
        raise InputUnreadable(f"{target.place} is encoded as {encoding}", fix="serve the file as it is")
    length = _header(answer, b"content-length") or ""
    take = receive(int(length) if length.isdecimal() else None)
    for chunk in answer.iter_stream():
        take(chunk)
