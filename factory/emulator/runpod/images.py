"""Is an image on its registry? RunPod asks when an endpoint is created or changed (docs.runpod.io, read 2026-11-23).

The emulator asks registries of this machine and its private networks only: it never calls the internet. An image
elsewhere, or on a registry that can't be reached or wants a login that wasn't given, is taken as it is.
"""

from __future__ import annotations

import base64
import http.client
import ipaddress
from typing import NamedTuple
from urllib.parse import quote

import anyio.to_thread

from factory.emulator.runpod.entities import Login
from factory.emulator.runpod.refusals import Refused

TIMEOUT_S = 5
_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)


class Reference(NamedTuple):
    """An image's parts; `version` is a tag or a digest."""

    host: str
    repository: str
    version: str


class LocalRegistries:
    """The registries near by, over plain HTTP."""

    async def check(self, image: str, login: Login | None) -> None:
        """Raise Refused(400) when the image's registry says that it doesn't have it, or when there is no image."""
        if not image.strip():
            raise Refused(400, "image must not be empty")
        reference = parsed(image)
        if is_near(reference.host) and await anyio.to_thread.run_sync(_status, reference, login) == 404:
            raise Refused(400, f"image {image} was not found on its registry {reference.host}")


def parsed(image: str) -> Reference:
    """Split an image's name as Docker does: what precedes the first slash is a host if it looks like one."""
    name, at, digest = image.partition("@")
    first, slash, rest = name.partition("/")
    is_host = bool(slash) and (first == "localhost" or "." in first or ":" in first)
    host, repository = (first, rest) if is_host else ("docker.io", name)
    folder, _, last = repository.rpartition("/")
    last, _, tag = last.partition(":")
    repository = f"{folder}/{last}" if folder else last
    return Reference(host, repository, digest if at else tag or "latest")


def is_near(host: str) -> bool:
    """Is it this machine or a private network?"""
    name = host.rsplit(":", 1)[0].strip("[]")
    try:
        return ipaddress.ip_address(name).is_private
    except ValueError:
        return name in ("localhost", "host.docker.internal")


def _status(reference: Reference, login: Login | None) -> int | None:
    """Return what the registry answers to a HEAD of the manifest; None when it doesn't."""
    headers = {"Accept": _MANIFESTS}
    if login is not None:
        pair = f"{login.username}:{login.password}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    path = f"/v2/{quote(reference.repository)}/manifests/{quote(reference.version, safe=':')}"
    try:
        connection = http.client.HTTPConnection(reference.host, timeout=TIMEOUT_S)
        try:
            connection.request("HEAD", path, headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException):
        return None
