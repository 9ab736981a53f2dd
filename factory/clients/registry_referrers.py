"""Artefacts that refer to an image: their manifest, and the list of them (OCI image-spec v1.1, read 2026-11-25).

A registry without the referrers API (docker-registry 2.8.2 has none) keeps the list as an index under a tag made of
the digest, which the clients themselves write: distribution-spec v1.1, "Referrers Tag Schema".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from factory.oci.digests import digest_of
from factory.oci.media import OCI_INDEX, OCI_MANIFEST
from factory.records import Artifact, Layer, Referrer

EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY = b"{}"
EMPTY_DIGEST = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # of `{}`


@dataclass(frozen=True, slots=True)
class Made:
    """An artefact for a manifest: its own manifest's bytes, and what a list says of it."""

    manifest: bytes
    referrer: Referrer

    @property
    def entry(self) -> dict[str, object]:
        """Its descriptor in a list."""
        layer = Layer(self.referrer.digest, len(self.manifest), OCI_MANIFEST)
        return {**_descriptor(layer), "artifactType": self.referrer.artifact_type}


def made_of(artifact: Artifact, subject: Layer) -> Made:
    """Return what a registry gets for an artefact of a manifest, the same each time."""
    blob = Layer(digest_of(artifact.content), len(artifact.content), artifact.media_type)
    manifest = artifact_manifest(subject, artifact.artifact_type, blob)
    return Made(manifest, Referrer(digest_of(manifest), artifact.artifact_type, blob))


def artifact_manifest(subject: Layer, artifact_type: str, blob: Layer) -> bytes:
    """Return the manifest of an artefact of one blob, the same bytes for the same input."""
    return _json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": artifact_type,
            "config": _descriptor(Layer(EMPTY_DIGEST, len(EMPTY), EMPTY_TYPE)),
            "layers": [_descriptor(blob)],
            "subject": _descriptor(subject),
        }
    )


def read_artifact(content: bytes, digest: str) -> Referrer | None:
    """Read an artefact's manifest; None when it is none with a blob."""
    body = _mapping(content)
    layers = body.get("layers")
    blob = layers[0] if isinstance(layers, list) and layers and isinstance(layers[0], dict) else {}
    config = body.get("config")
    kind = body.get("artifactType") or (config.get("mediaType") if isinstance(config, dict) else "")
    if not isinstance(blob.get("digest"), str) or not isinstance(blob.get("size"), int):
        return None
    return Referrer(digest, str(kind), Layer(blob["digest"], blob["size"], str(blob.get("mediaType", ""))))


def fallback_tag(digest: str) -> str:
    """Return the tag that lists what refers to a digest: `sha256-<hex>`."""
    algorithm, _, value = digest.partition(":")
    return f"{algorithm[:32]}-{value[:64]}"


def listed(index: bytes) -> list[dict[str, Any]]:
    """Return the descriptors of an index; empty when it is none."""
    entries = _mapping(index).get("manifests")
    return [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("digest"), str)] if (
        isinstance(entries, list)
    ) else []  # fmt: skip


def missing(entries: Sequence[Mapping[str, Any]], made: Sequence[Made]) -> list[Made]:
    """Return the artefacts that a list doesn't name."""
    known = {entry["digest"] for entry in entries}
    return [each for each in made if each.referrer.digest not in known]


def with_referrers(entries: Sequence[Mapping[str, Any]], made: Sequence[Made]) -> bytes:
    """Return the index of these descriptors and more."""
    more = [each.entry for each in made]
    return _json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [*entries, *more]})


def _descriptor(layer: Layer) -> dict[str, object]:
    return {"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size_bytes}


def _json(content: Mapping[str, object]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _mapping(content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
