"""Signatures of images, as cosign keeps them (cosign, specs/SIGNATURE_SPEC.md, read 2026-11-25).

    tag sha256-<hex of the image's digest>.sig    an OCI image manifest, one for all signatures of the image
      layer (simplesigning.v1+json)               the payload: which digest is meant
        annotation …cosign/signature              base64 of the signature of the payload's bytes

The payload says the tag too, under `optional`: a tag is the digest of a recipe's context, so an older signed image that
somebody puts under a newer tag is not taken for it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from factory.errors import AttestationWrong
from factory.oci import media
from factory.ports import ImageStore, Registry
from factory.records import Check, PushedImage
from factory.references import parse

if TYPE_CHECKING:
    from factory.attesting.keys import Keys

PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
ANNOTATION = "dev.cosignproject.cosign/signature"
_PAYLOAD_LIMIT_BYTES = 64_000
_SIGNATURES_LIMIT = 50  # of one image, the newest, that are looked at and kept


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature and the bytes it was made of, as they lie in the registry."""

    content: bytes
    payload: bytes


def signature_tag(digest: str) -> str:
    """Return the tag under which an image's signatures lie."""
    return f"{digest.replace(':', '-')}.sig"


def payload(pushed: PushedImage) -> bytes:
    """Return what is signed of an image: the same bytes each time."""
    reference = parse(pushed.repository)
    value = {
        "critical": {
            "identity": {"docker-reference": f"{reference.registry}/{reference.path}"},
            "image": {"docker-manifest-digest": pushed.digest},
            "type": "cosign container image signature",
        },
        "optional": {"tag": pushed.tag},
    }
    return json.dumps(value, separators=(",", ":")).encode()


def sign(pushed: PushedImage, keys: Keys, store: ImageStore, registry: Registry) -> bool:
    """Sign an image unless it is by this key already, and keep what others signed; False when it was.

    Raises the trees below PushError and VerifyError.
    """
    entries = _entries(pushed, store)
    if _is_among(entries, pushed, keys, registry):
        return False
    content = payload(pushed)
    blob = store.put(pushed.repository, content)
    signature = base64.b64encode(keys.sign(content)).decode()
    entry: dict[str, object] = {
        "mediaType": PAYLOAD_TYPE,
        "size": blob.size_bytes,
        "digest": blob.digest,
        "annotations": {ANNOTATION: signature},
    }
    _put(pushed, [*entries, entry], store)
    return True


def is_signed(pushed: PushedImage, keys: Keys, store: ImageStore, registry: Registry) -> bool:
    """Has the image a signature by the key that this machine signs with?"""
    return _is_among(_entries(pushed, store), pushed, keys, registry)


def _is_among(entries: Sequence[dict[str, object]], pushed: PushedImage, keys: Keys, registry: Registry) -> bool:
    found = _read(entries, pushed, registry)
    return any(_means(each, pushed) and keys.is_own(each.content, each.payload) for each in found)


def check_signature(pushed: PushedImage, keys: Keys, store: ImageStore, registry: Registry) -> Check:
    """Demand a signature of this image by the configured key. Raises AttestationWrong."""
    entries = _entries(pushed, store)
    if not entries:
        raise _wrong("it has no signature", pushed)
    valid = [each for each in _read(entries, pushed, registry) if keys.is_valid(each.content, each.payload)]
    if not valid:
        raise _wrong(f"none of its signatures ({len(entries)}) is valid by the configured key", pushed)
    if not any(_means(each, pushed) for each in valid):
        raise _wrong("what lies there as its signature by the configured key is of another image or tag", pushed)
    return Check("signature", "ok", "by the configured key, of this digest and tag")


def _means(signature: Signature, pushed: PushedImage) -> bool:
    """Is a payload of this image? One that says no tag (by cosign itself) is of any."""
    try:
        value = json.loads(signature.payload)
        critical, optional = value["critical"], value.get("optional") or {}
        digest, kind = critical["image"]["docker-manifest-digest"], critical["type"]
        tag = optional.get("tag", pushed.tag)
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
    return (digest, kind, tag) == (pushed.digest, "cosign container image signature", pushed.tag)


def _entries(pushed: PushedImage, store: ImageStore) -> list[dict[str, object]]:
    """Return the layers of an image's manifest of signatures; none where there is none, or something else."""
    manifest = store.manifest_bytes(pushed.repository, signature_tag(pushed.digest))
    try:
        layers = json.loads(manifest)["layers"] if manifest else []
        return [each for each in layers if each["mediaType"] == PAYLOAD_TYPE and _is_entry(each)][-_SIGNATURES_LIMIT:]
    except (ValueError, KeyError, TypeError):
        return []


def _is_entry(layer: dict[str, object]) -> bool:
    size, annotations = layer.get("size"), layer.get("annotations")
    return (
        isinstance(size, int)
        and 0 < size <= _PAYLOAD_LIMIT_BYTES
        and re.fullmatch(r"sha256:[0-9a-f]{64}", str(layer.get("digest"))) is not None
        and isinstance(annotations, dict)
        and isinstance(annotations.get(ANNOTATION), str)
    )


def _read(entries: Sequence[dict[str, object]], pushed: PushedImage, registry: Registry) -> list[Signature]:
    """Read the payloads; signatures of one payload share its blob."""
    payloads: dict[str, bytes] = {}
    found = []
    for entry in entries:
        digest, size, annotations = str(entry["digest"]), entry["size"], entry["annotations"]
        assert isinstance(size, int) and isinstance(annotations, dict)
        if digest not in payloads:
            payloads[digest] = registry.read(pushed.repository, digest, 0, size)
        try:
            content = base64.b64decode(annotations[ANNOTATION], validate=True)
        except (binascii.Error, ValueError):
            continue
        found.append(Signature(content, payloads[digest]))
    return found


def _put(pushed: PushedImage, entries: Sequence[dict[str, object]], store: ImageStore) -> None:
    """Write the manifest of signatures; as cosign does, with a config that names the payloads as its layers."""
    config = {
        "architecture": "",
        "os": "",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [entry["digest"] for entry in entries]},
    }
    blob = store.put(pushed.repository, json.dumps(config, separators=(",", ":")).encode())
    value = {
        "schemaVersion": 2,
        "mediaType": media.OCI_MANIFEST,
        "config": {"mediaType": media.OCI_CONFIG, "size": blob.size_bytes, "digest": blob.digest},
        "layers": list(entries),
    }
    content = json.dumps(value, separators=(",", ":")).encode()
    store.put_manifest(pushed.repository, signature_tag(pushed.digest), media.OCI_MANIFEST, content)


def _wrong(what: str, pushed: PushedImage) -> AttestationWrong:
    fix = "sign it where the key is: `factory build RECIPE --push` with FACTORY_SIGN_KEY"
    return AttestationWrong(what, where=pushed.reference, fix=fix)
