"""Media in a job's input: base64, a data URL, or an http(s) URL.

A URL is the caller's, and the worker stands inside RunPod's network: only public addresses are fetched. The name is
resolved once, every address it has must be public, and the connection goes to that very address, so that a name which
resolves differently the second time gains nothing. Each redirect is checked the same way. FACTORY_INPUT_ALLOW opens
`host:port` pairs on purpose.
"""

from __future__ import annotations

import base64
import binascii
import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Sequence
from urllib.parse import SplitResult, urljoin, urlsplit

from worker_runtime.errors import InputRefused, InputUnreadable

MAX_REDIRECTS = 5
CONNECT_S = 10.0
TOTAL_S = 120.0
CHUNK_BYTES = 1 << 20
GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")  # RFC 4291, 2.4


class MediaReader:
    """Reads media inputs within a size limit. `allow` holds `host:port` pairs whose addresses may be private."""

    def __init__(self, *, max_bytes: int, allow: Sequence[str] = ()) -> None:
        self._max_bytes = max_bytes
        self._allow = frozenset(allow)

    def read(self, media: str) -> bytes:
        """Return the bytes behind `media`. Raises InputUnreadable and InputRefused."""
        if media[:7].lower() == "http://" or media[:8].lower() == "https://":
            return self._download(media)
        payload = media
        if media[:5].lower() == "data:":
            header, comma, payload = media.partition(",")
            if not comma or not header.lower().endswith(";base64"):
                raise InputUnreadable("the data URL is not `data:TYPE;base64,…`", fix="encode it as base64")
        if len(payload) * 3 // 4 > self._max_bytes:
            raise self._too_large(len(payload) * 3 // 4)
        try:
            return base64.b64decode("".join(payload.split()), validate=True)
        except binascii.Error as error:
            raise InputUnreadable(f"neither a URL nor base64 ({error})", fix="send base64 or an https URL") from error

    def _too_large(self, size_bytes: int) -> InputRefused:
        return InputRefused(
            f"the file is {size_bytes / 1e6:.1f} MB, and the limit is {self._max_bytes / 1e6:.1f} MB",
            fix="send a smaller file (FACTORY_MAX_INPUT_MB sets the limit)",
        )

    def _download(self, url: str) -> bytes:
        deadline = time.monotonic() + TOTAL_S
        for _ in range(MAX_REDIRECTS + 1):
            place = _shown(url)
            try:
                parts = urlsplit(url)
                connection = self._connect(parts)
            except ValueError as error:
                raise InputUnreadable(f"{place} is no URL ({error})", fix="send an https URL") from error
            except OSError as error:
                raise InputUnreadable(f"no connection to {place} ({error})", fix="check the URL") from error
            try:
                target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                connection.request("GET", target, headers={"User-Agent": "worker_runtime", "Accept": "*/*"})
                answer = connection.getresponse()
                location = answer.getheader("Location")
                if answer.status in (301, 302, 303, 307, 308) and location:
                    url = urljoin(url, location)
                    continue
                if answer.status != 200:
                    raise InputUnreadable(f"{place} answered {answer.status}", fix="check the URL")
                return self._body(answer, place, deadline)
            except (OSError, http.client.HTTPException) as error:
                raise InputUnreadable(f"{place} broke off ({type(error).__name__})", fix="try again") from error
            finally:
                connection.close()
        raise InputUnreadable(f"more than {MAX_REDIRECTS} redirects from {_shown(url)}", fix="send the final URL")

    def _body(self, answer: http.client.HTTPResponse, place: str, deadline: float) -> bytes:
        announced = answer.length
        if announced is not None and announced > self._max_bytes:
            raise self._too_large(announced)
        body = bytearray()
        while chunk := answer.read(CHUNK_BYTES):
            body += chunk
            if len(body) > self._max_bytes:
                raise self._too_large(len(body))
            if time.monotonic() > deadline:
                raise InputUnreadable(f"{place} took longer than {TOTAL_S:.0f} s", fix="serve it from a faster place")
        if announced is not None and len(body) != announced:
            raise InputUnreadable(f"{place} broke off after {len(body)} of {announced} bytes", fix="try again")
        return bytes(body)

    def _connect(self, parts: SplitResult) -> http.client.HTTPConnection:
        """Connect to the one address that was checked. Raises InputRefused, OSError and ValueError."""
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("only http and https, with a host")
        host = parts.hostname
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            raise ValueError(f"{host} does not resolve") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if f"{host}:{port}" not in self._allow:
            for address in addresses:
                if not _is_public(address):
                    raise InputRefused(
                        f"{host} is at the private address {address}", fix="send a public URL, or base64"
                    )
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(host, port, timeout=CONNECT_S)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=CONNECT_S)
        raw = socket.create_connection((addresses[0], port), timeout=CONNECT_S)
        if parts.scheme == "https":
            raw = ssl.create_default_context().wrap_socket(raw, server_hostname=host)
        connection.sock = raw
        return connection


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            ip = ip.ipv4_mapped
        elif ip not in GLOBAL_UNICAST or ip.sixtofour or ip.teredo:  # the rest may carry an IPv4 address inside
            return False
    return ip.is_global and not ip.is_multicast


def _shown(url: str) -> str:
    """Return the URL without credentials and query: a presigned query is a secret."""
    rest = url.partition("://")[2]
    host = rest.split("/", 1)[0].split("?", 1)[0].rpartition("@")[2]
    path = rest.split("?", 1)[0].partition("/")[2]
    return f"{url.partition('://')[0]}://{host}/{path}"[:200]
