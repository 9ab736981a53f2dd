"""What a manifest says: OCI and Docker forms, one image or an index of several platforms.

Sources: OCI image-spec v1.1 (manifest.md, image-index.md) and Docker's schema 2. Schema 1 is refused: Docker Hub and
the distribution project dropped it, and its digest depends on signatures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from factory.errors import PlatformMismatch, VerifyError
from factory.oci.media import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from factory.records import Layer

INDEX_TYPES = (OCI_INDEX, DOCKER_LIST)
MANIFEST_TYPES = (OCI_MANIFEST, DOCKER_MANIFEST)
# All four, or docker-registry 2.8.2 answers with schema 1 and another digest (measured 2026-11-23).
ACCEPT = ", ".join((*MANIFEST_TYPES, *INDEX_TYPES))

PLATFORM = ("linux", "amd64")


def pick_child(index: Mapping[str, object], where: str) -> str:
    """Return the digest of an index's linux/amd64 image. Raises PlatformMismatch with what there is instead."""
    names: list[str] = []
    for entry in _entries(index, "manifests", where):
        platform = entry.get("platform")
        platform = platform if isinstance(platform, dict) else {}
        if (platform.get("os"), platform.get("architecture")) == PLATFORM:
            return str(entry.get("digest"))
        names.append(f"{platform.get('os', '?')}/{platform.get('architecture', '?')}")
    known = [name for name in names if name != "unknown/unknown"]  # BuildKit's attestations call themselves so
    raise PlatformMismatch(
        f"the index has no linux/amd64 image (found {', '.join(known) or 'none'})",
        where=where,
        fix="build it for linux/amd64 and push again",
        details={"found": ", ".join(known)},
    )


def read_manifest(media_type: str, body: Mapping[str, object], where: str) -> tuple[Layer, tuple[Layer, ...]]:
    """Return the config and the layers that a manifest names. Raises VerifyError for any other document."""
    if media_type not in MANIFEST_TYPES:
        old = " (schema 1, which has no digests of its own)" if body.get("schemaVersion") == 1 else ""
        raise VerifyError(f"no image manifest but {media_type or 'nothing'}{old}", where=where, fix="push it again")
    config = body.get("config")
    if not isinstance(config, dict):
        raise VerifyError("the manifest names no config", where=where, fix="push the image again")
    return _layer(config, where), tuple(_layer(entry, where) for entry in _entries(body, "layers", where))


def config_platform(raw: bytes, where: str) -> tuple[str, str]:
    """Return architecture and operating system as an image's config names them."""
    try:
        config = json.loads(raw)
        return str(config["architecture"]), str(config["os"])
    except (ValueError, KeyError, TypeError) as error:
        raise VerifyError("the image's config names no platform", where=where, fix="build the image again") from error


def _entries(body: Mapping[str, object], key: str, where: str) -> list[Mapping[str, object]]:
    """Return a list of mappings, or say that it is none."""
    entries = body.get(key)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise VerifyError(f"the manifest's {key!r} is no list of mappings", where=where, fix="push the image again")
    return entries


def _layer(entry: Mapping[str, object], where: str) -> Layer:
    """Read one descriptor."""
    digest, size = entry.get("digest"), entry.get("size")
    if not isinstance(digest, str) or not isinstance(size, int) or size < 0:
        raise VerifyError("the manifest has a blob without digest or size", where=where, fix="push the image again")
    return Layer(digest, size, str(entry.get("mediaType", "")))
