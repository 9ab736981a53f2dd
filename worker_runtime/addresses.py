"""Which URL of a caller may be fetched, and from which address.

The worker stands inside RunPod's network, so a caller's URL may only lead out of it. One strict reading of the URL is
the only reading: what was checked is what is connected to, and a spelling that some other parser might take for
another host is refused, not interpreted. A name is resolved once, every address it has must be public, and the
connection goes to those very addresses, so a name that resolves differently the second time gains nothing.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import quote, urljoin

from worker_runtime.errors import InputRefused, InputUnreadable
from worker_runtime.input_rules import AllowList, Network

Address = IPv4Address | IPv6Address
# A host name and a port → its addresses, as text. Raises OSError.
Resolver = Callable[[str, int], Sequence[str]]

DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_URL_CHARACTERS = 8192

# Not public, by the IANA special-purpose registries (RFC 6890 and its updates) and what clouds say of their metadata.
# `is_global` is asked as well, not alone: Python 3.11.7 calls 192.0.0.192, 192.88.99.1 and 2002::1 global.
_NOT_PUBLIC: tuple[Network, ...] = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; Alibaba's metadata 100.100.100.200
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's host agent: looks public, answers inside only
        "169.254.0.0/16",  # link-local; the metadata service of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # Oracle's metadata 192.0.0.192
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",  # IETF protocols, with Teredo, which holds an IPv4 address
        "2001:db8::/32",
        "2002::/16",  # 6to4, which holds an IPv4 address
        "3fff::/20",
    )
)
# The only IPv6 block that is handed out. Mapped, compatible, NAT64, unique-local, link-local and multicast lie outside.
_IPV6_UNICAST = ip_network("2000::/3")

_URL = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<target>[^#]*)(?:#.*)?", re.IGNORECASE | re.DOTALL)
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_PORT = re.compile(r"[0-9]{1,5}")
# WHATWG's "ends in a number": browsers and inet_aton read such a host as an address (0x7f.1, 2130706433, 017700000001).
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_INTERNAL = re.compile(r"(?:.*\.)?(?:localhost|local|internal|intranet|lan|home\.arpa)")


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that was checked. `addresses` are the only ones to connect to; `host` goes into Host and SNI."""

    scheme: str
    host: str
    port: int
    path_and_query: str
    addresses: tuple[str, ...]

    @property
    def netloc(self) -> str:
        """Host and port, as the Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL in its one spelling, without the fragment."""
        return f"{self.scheme}://{self.netloc}{self.path_and_query}"

    @property
    def place(self) -> str:
        """The URL for people: without the query, which may be a presigned secret."""
        return self.url.partition("?")[0][:200]


def system_resolver(host: str, port: int) -> list[str]:
    """Ask the system's resolver. Raises OSError when the name does not resolve."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label that its IDNA codec can't take
        raise OSError(str(error)) from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: Address) -> bool:
    """Whether an address belongs to a host of the public internet, and holds no other address in it."""
    if isinstance(address, IPv6Address) and (address.scope_id is not None or address not in _IPV6_UNICAST):
        return False
    if any(address.version == network.version and address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not address.is_multicast


def check(url: str, allow: AllowList, resolve: Resolver = system_resolver) -> Target:
    """Return where `url` leads, or raise InputRefused; InputUnreadable when its name does not resolve.

    `allow` opens hosts, networks and ports on purpose. Nothing is connected to; only an ordinary public-looking name
    is asked of the resolver.
    """
    scheme, host, port, path_and_query = _parse(url)
    is_default_port = port in DEFAULT_PORTS.values()
    is_host_allowed = allow.has_host(host, port, is_default_port=is_default_port)
    literal = _literal(host)
    if literal is not None:
        addresses: tuple[Address, ...] = (literal,)
    else:
        if not is_host_allowed and ("." not in host or _INTERNAL.fullmatch(host)):
            raise _refused(f"{host} is not a public name")
        addresses = _resolved(host, port, resolve)
    for address in () if is_host_allowed else addresses:
        if not is_public(address) and not allow.has_address(address, port, is_default_port=is_default_port):
            at = "" if literal else f"{host} is at "
            raise _refused(f"{at}{address}, which is not a public address")
    is_port_open = is_default_port or is_host_allowed
    if not is_port_open and not all(allow.has_address(a, port, is_default_port=False) for a in addresses):
        raise _refused(f"port {port} of {host} is neither 80 nor 443")
    return Target(scheme, host, port, path_and_query, tuple(str(address) for address in addresses))


def follow(origin: Target, location: str) -> str:
    """Return the URL that a redirect leads to, which has yet to be checked. Raises InputRefused for what is no URL."""
    try:
        return urljoin(origin.url, location)
    except ValueError as error:
        raise _refused("it redirects to something that is no URL") from error


def _refused(why: str) -> InputRefused:
    return InputRefused(f"the URL was not fetched: {why}", fix="send an ordinary public https URL, or base64")


def _parse(url: str) -> tuple[str, str, int, str]:
    """Split a URL into scheme, host, port, and path with query, or raise InputRefused."""
    if len(url) > MAX_URL_CHARACTERS:
        raise _refused(f"it has {len(url)} characters, and the limit is {MAX_URL_CHARACTERS}")
    if "\\" in url or any(character < " " or character == "\x7f" for character in url):
        raise _refused("it has a backslash or a control character in it")
    found = _URL.fullmatch(url)
    if found is None:
        raise _refused("it is not http:// or https:// with a host")
    scheme, authority = found["scheme"].lower(), found["authority"].lower()
    if "@" in authority:
        raise _refused("it has a user name or password in it")
    host, port = _split_port(authority, DEFAULT_PORTS[scheme])
    target = found["target"] if found["target"].startswith("/") else "/" + found["target"]
    return scheme, _host(host), port, quote(target, safe="/?%:@!$&'()*+,;=-._~[]|", errors="replace")


def _split_port(authority: str, default: int) -> tuple[str, int]:
    if authority.startswith("["):
        host, bracket, rest = authority.partition("]")
        host += bracket
    else:
        host, colon, rest = authority.partition(":")
        rest = colon + rest
    if not rest or rest == ":":
        return host, default
    if rest[0] != ":" or not _PORT.fullmatch(rest[1:]) or not 0 < int(rest[1:]) < 65536:
        raise _refused("its port is not a number from 1 to 65535")
    return host, int(rest[1:])


def _host(text: str) -> str:
    """Return a host in its one spelling: a lower-case name, a dotted-decimal address, or an IPv6 address."""
    if text.startswith("["):
        try:
            address = IPv6Address(text[1:-1] if text.endswith("]") else text)
        except ValueError as error:
            raise _refused("its IPv6 address is malformed") from error
        if address.scope_id is not None:
            raise _refused("its IPv6 address has a zone")
        return str(address)
    name = text[:-1] if text.endswith(".") else text
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise _refused("its host is not a plain ASCII name or address")
    if _NUMERIC.fullmatch(name):
        try:
            return str(IPv4Address(name))
        except ValueError as error:
            raise _refused("its host is an address in an unusual spelling") from error
    return name


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _resolved(host: str, port: int, resolve: Resolver) -> tuple[Address, ...]:
    try:
        texts = resolve(host, port)
    except OSError as error:
        raise InputUnreadable(f"{host} does not resolve", fix="check the URL") from error
    try:
        addresses = tuple(dict.fromkeys(ip_address(text) for text in texts))
    except ValueError as error:
        raise _refused(f"{host} resolves to something that is no address") from error
    if not addresses:
        raise InputUnreadable(f"{host} has no address", fix="check the URL")
    return addresses
