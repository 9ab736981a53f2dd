"""Which layers of weights a registry has: a tag for each, in the repository that recipes share.

`weights-<key>` names an image of that one layer (with a config, so that every registry takes it, and any engine could
pull it): its manifest has the blob's digest, size and media type, its config the tar's digest and size. It is put
after its blob has arrived, so what is found is whole; nothing is read, changed and written back, so many may write.
"""

from __future__ import annotations

import json

from factory.errors import BlobMissing, ImageNotInRegistry, PlatformMismatch, RegistryDenied
from factory.lanes.packing import Compression
from factory.oci import media
from factory.oci.manifest import manifest
from factory.ports import ImageStore, Registry
from factory.records import Layer, StoredLayer

UNPACKED_LABEL = "factory.unpacked-bytes"


def tag_of(key: str) -> str:
    """Return the tag of a layer's entry."""
    return f"weights-{key}"


def find(registry: Registry, shared: str, key: str, created_by: str, *, is_oci: bool) -> StoredLayer | None:
    """Return the layer that a key names; None when there is none, or an entry that can't be understood.

    Raises RegistryUnreachable and RegistryFailed.
    """
    try:
        entry = registry.manifest(f"{shared}:{tag_of(key)}")
        config = json.loads(registry.read(shared, entry.config.digest, 0, entry.config.size_bytes))
        (blob,), (diff_id,) = entry.layers, config["rootfs"]["diff_ids"]
        unpacked_bytes = int(config["config"]["Labels"][UNPACKED_LABEL])
    except (ImageNotInRegistry, BlobMissing, PlatformMismatch, ValueError, KeyError, TypeError):
        return None
    except RegistryDenied:  # Docker Hub says so of a repository that isn't there; whether we may write is seen then
        return None
    compression: Compression = "gzip" if blob.media_type.endswith("gzip") else "none"
    layer = Layer(blob.digest, blob.size_bytes, media.layer_type(compression, oci=is_oci))
    return StoredLayer(layer, str(diff_id), unpacked_bytes, created_by, was_sent=False)


def keep(store: ImageStore, shared: str, key: str, layer: StoredLayer, *, is_oci: bool) -> None:
    """Put the entry of a layer whose blob lies in the shared repository."""
    value = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Labels": {UNPACKED_LABEL: str(layer.unpacked_bytes)}},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
        "history": [{"created_by": layer.created_by}],
    }
    config = store.put(shared, json.dumps(value, separators=(",", ":")).encode())
    content = manifest(Layer(config.digest, config.size_bytes, media.config_type(oci=is_oci)), [layer.blob], oci=is_oci)
    store.put_manifest(shared, tag_of(key), media.OCI_MANIFEST if is_oci else media.DOCKER_MANIFEST, content)
