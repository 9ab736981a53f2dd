"""Which layers of weights a registry has: a tag for each, in the repository that recipes share.

`weights-<key>` names an image of that one layer (with a config, so that every registry takes it, and any engine could
pull it): its manifest has the blob's digest, size and media type, its config the tar's digest and size. It is put
after its blob has arrived, so what is found is whole; nothing is read, changed and written back, so many may write.
Between the two a run may end (429, a full disk, a kill), so this machine notes the blob before it puts the entry.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from factory.errors import BlobMissing, ImageNotInRegistry, PlatformMismatch, RegistryDenied
from factory.kept import Kept
from factory.lanes.packing import Compression
from factory.oci import media
from factory.oci.manifest import manifest
from factory.ports import ImageStore, Registry
from factory.records import Layer, StoredLayer

UNPACKED_LABEL = "factory.unpacked-bytes"
NOTE = "weights"


def tag_of(key: str) -> str:
    """Return the tag of a layer's entry."""
    return f"weights-{key}"


@dataclass(frozen=True, slots=True)
class WeightIndex:
    """The layers in one shared repository; `is_oci` is whether the image's media types are OCI's."""

    registry: Registry
    store: ImageStore
    shared: str
    kept: Kept
    is_oci: bool

    def find(self, key: str, created_by: str) -> StoredLayer | None:
        """Return the layer that a key names; None when there is none, or an entry that can't be understood.

        Raises RegistryUnreachable and RegistryFailed, and what `keep` raises where an entry is put belatedly.
        """
        return self._entry(key, created_by) or self._noted(key, created_by)

    def keep(self, key: str, layer: StoredLayer) -> None:
        """Put the entry of a layer whose blob lies in the shared repository."""
        self.kept.put([asdict(layer.blob), layer.diff_id, layer.unpacked_bytes], NOTE, self.shared, key)
        value = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": {UNPACKED_LABEL: str(layer.unpacked_bytes)}},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
            "history": [{"created_by": layer.created_by}],
        }
        config = self.store.put(self.shared, json.dumps(value, separators=(",", ":")).encode())
        described = Layer(config.digest, config.size_bytes, media.config_type(oci=self.is_oci))
        content = manifest(described, [layer.blob], oci=self.is_oci)
        kind = media.OCI_MANIFEST if self.is_oci else media.DOCKER_MANIFEST
        self.store.put_manifest(self.shared, tag_of(key), kind, content)

    def _entry(self, key: str, created_by: str) -> StoredLayer | None:
        try:
            entry = self.registry.manifest(f"{self.shared}:{tag_of(key)}")
            config = json.loads(self.registry.read(self.shared, entry.config.digest, 0, entry.config.size_bytes))
            (blob,), (diff_id,) = entry.layers, config["rootfs"]["diff_ids"]
            unpacked_bytes = int(config["config"]["Labels"][UNPACKED_LABEL])
        except (ImageNotInRegistry, BlobMissing, PlatformMismatch, ValueError, KeyError, TypeError):
            return None
        except RegistryDenied:  # Docker Hub says so of a repository that isn't there; whether we may write is seen then
            return None
        return self._found(blob, str(diff_id), unpacked_bytes, created_by)

    def _noted(self, key: str, created_by: str) -> StoredLayer | None:
        """Return a layer that this machine has sent, and whose entry didn't come to be; it comes to be now."""
        try:
            blob, diff_id, unpacked_bytes = self.kept.get(NOTE, self.shared, key)
            layer = self._found(Layer(**blob), str(diff_id), int(unpacked_bytes), created_by)
        except (TypeError, ValueError):  # none, or not this version's fields
            return None
        if not self.store.has(self.shared, layer.blob.digest):
            return None
        self.keep(key, layer)
        return layer

    def _found(self, blob: Layer, diff_id: str, unpacked_bytes: int, created_by: str) -> StoredLayer:
        compression: Compression = "gzip" if blob.media_type.endswith("gzip") else "none"
        layer = Layer(blob.digest, blob.size_bytes, media.layer_type(compression, oci=self.is_oci))
        return StoredLayer(layer, diff_id, unpacked_bytes, created_by, was_sent=False)
