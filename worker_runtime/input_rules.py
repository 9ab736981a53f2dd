"""What a job's inputs may be: sizes, times, and the hosts, networks and ports that an operator opens on purpose."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from worker_runtime.errors import SettingsError

Network = IPv4Network | IPv6Network
ANY_PORT = 0

_ENTRY = re.compile(r"(?P<what>\[[^\]]+\](?:/\d+)?|[^:\[\]]+)(?::(?P<port>\d{1,5}|\*))?")
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")


@dataclass(frozen=True, slots=True)
class _Entry:
    """`what` is a name or a network; `port` None: the scheme's own, ANY_PORT: each."""

    what: str | Network
    port: int | None

    def has_port(self, port: int, *, is_default_port: bool) -> bool:
        return is_default_port if self.port is None else self.port in (ANY_PORT, port)


@dataclass(frozen=True, slots=True)
class AllowList:
    """Entries HOST, ADDRESS or NETWORK, each with an optional `:PORT` or `:*`; IPv6 stands in brackets.

    Without a port an entry opens 80 and 443. A name is compared as it stands in the URL, whatever it resolves to.
    """

    entries: tuple[_Entry, ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> AllowList:
        """Read `files.internal`, `10.1.2.0/24:9000`, `[fd00::/8]:*`. Raises SettingsError naming the entry."""
        return cls(tuple(_entry(text.strip().lower()) for text in texts if text.strip()))

    def has_host(self, host: str, port: int, *, is_default_port: bool) -> bool:
        """Whether this very name is open at this port."""
        return any(
            entry.what == host and entry.has_port(port, is_default_port=is_default_port) for entry in self.entries
        )

    def has_address(self, address: IPv4Address | IPv6Address, port: int, *, is_default_port: bool) -> bool:
        """Whether this address is open at this port."""
        return any(
            not isinstance(entry.what, str)
            and address.version == entry.what.version
            and address in entry.what
            and entry.has_port(port, is_default_port=is_default_port)
            for entry in self.entries
        )


@dataclass(frozen=True, slots=True)
class InputRules:
    """Limits of media inputs: bytes of one file and of all files of a job, seconds of one `files` or `read`.

    `connections` bounds the downloads that run at once. `allow` opens addresses that are refused by default.
    """

    max_file_bytes: int = 200_000_000
    max_job_bytes: int = 1_000_000_000
    total_s: float = 120
    connections: int = 8
    allow: AllowList = AllowList()


def _entry(text: str) -> _Entry:
    found = _ENTRY.fullmatch(text)
    port = None if found is None or found["port"] is None else ANY_PORT if found["port"] == "*" else int(found["port"])
    what = found["what"].replace("[", "").replace("]", "") if found else ""
    if found is not None and (port is None or found["port"] == "*" or 0 < port < 65536):
        try:
            return _Entry(ip_network(what), port)
        except ValueError:
            if _NAME.fullmatch(what) and not what.replace(".", "").isdigit():
                return _Entry(what.rstrip("."), port)
    raise SettingsError(
        f"{text!r} in the allow-list for inputs is no host, address or network",
        fix="write files.internal, 10.1.2.0/24:9000 or [fd00::/8]:*",
    )
