"""An image's manifest as bytes: Docker's schema 2, or OCI image-spec v1.1 (manifest.md, read 2026-11-25)."""

from __future__ import annotations

import json
from collections.abc import Sequence

from factory.oci import media
from factory.records import Layer


def manifest(config: Layer, layers: Sequence[Layer], *, oci: bool) -> bytes:
    """Return the manifest of an image: the same layers and config are the same bytes."""
    value = {
        "schemaVersion": 2,
        "mediaType": media.OCI_MANIFEST if oci else media.DOCKER_MANIFEST,
        "config": _descriptor(config),
        "layers": [_descriptor(layer) for layer in layers],
    }
    return json.dumps(value, separators=(",", ":")).encode()


def _descriptor(blob: Layer) -> dict[str, object]:
    return {"mediaType": blob.media_type, "size": blob.size_bytes, "digest": blob.digest}
