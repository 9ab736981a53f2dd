"""Images of a few files, made in memory: as a registry holds them, and as an engine saves them, in either form."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from factory.errors import BlobMissing, ImageNotInRegistry
from factory.ports import Registry
from factory.records import Layer, Manifest, PullLimit

OCI = "application/vnd.oci.image"
FIRST = "RUN /bin/sh -c { test x || { echo 'factory: the base image is not linux/amd64' >&2; exit 1; }; } # buildkit"
PIP = "RUN /bin/sh -c . /run/machine/env && uv pip install -r /opt/requirements/recipe.txt # buildkit"
SITE = "opt/venv/lib/python3.11/site-packages"


def sha256(content: bytes) -> str:
    """Return a blob's digest."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """Return a layer: files by path; a whiteout is an empty file of its name."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


@dataclass(frozen=True)
class MadeImage:
    """Layers from the lowest: the line of the history that made each, and its files."""

    layers: Sequence[tuple[str, Mapping[str, bytes]]]
    labels: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def tars(self) -> list[bytes]:
        """The layers."""
        return [tar_of(files) for _, files in self.layers]

    @property
    def config(self) -> bytes:
        """The config, with an entry of the history that made no layer."""
        history = [{"created_by": line} for line, _ in self.layers]
        return json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Labels": dict(self.labels)},
                "rootfs": {"type": "layers", "diff_ids": [sha256(tar) for tar in self.tars]},
                "history": [*history[:1], {"created_by": "ENV A=1", "empty_layer": True}, *history[1:]],
            }
        ).encode()

    def saved(self, *, is_new: bool) -> bytes:
        """Return what `docker save` gives: a folder per layer (docker 20.10), or blobs by digest (docker 25 on)."""
        tars = self.tars
        names = [f"blobs/sha256/{sha256(t)[7:]}" if is_new else f"{n:064x}/layer.tar" for n, t in enumerate(tars)]
        config = f"blobs/sha256/{sha256(self.config)[7:]}" if is_new else f"{sha256(self.config)[7:]}.json"
        manifest = json.dumps([{"Config": config, "RepoTags": ["a:1"], "Layers": names}]).encode()
        parts = dict(zip(names, tars, strict=True)) | {config: self.config}
        if not is_new:
            parts |= {f"{n:064x}/VERSION": b"1.0" for n in range(len(tars))}
        return tar_of(parts | {"manifest.json": manifest})


@dataclass
class MemoryRegistry:
    """A registry that holds made images by reference; `read_bytes` counts what was read of blobs."""

    images: dict[str, MadeImage] = field(default_factory=dict)
    is_plain: bool = False  # layers as plain tars
    read_bytes: int = 0

    def _blobs(self) -> dict[str, bytes]:
        blobs = [blob for image in self.images.values() for blob in (image.config, *self._stored(image))]
        return {sha256(blob): blob for blob in blobs}

    def _stored(self, image: MadeImage) -> list[bytes]:
        return image.tars if self.is_plain else [gzip.compress(tar, mtime=0) for tar in image.tars]

    def digest(self, reference: str) -> str | None:
        """Return a digest for each image that is there."""
        image = self.images.get(reference)
        return sha256(image.config + reference.encode()) if image else None

    def manifest(self, reference: str) -> Manifest:
        """Return the manifest of a tag or digest."""
        for name, image in self.images.items():
            digest = self.digest(name) or ""
            if reference == name or reference == f"{name.rpartition(':')[0]}@{digest}":
                layers = tuple(Layer(sha256(s), len(s), f"{OCI}.layer.v1.tar+gzip") for s in self._stored(image))
                config = Layer(sha256(image.config), len(image.config), f"{OCI}.config.v1+json")
                return Manifest(digest, f"{OCI}.manifest.v1+json", config, layers, "amd64", "linux")
        raise ImageNotInRegistry("no such image", where=reference)

    def blob_size(self, repository: str, digest: str) -> int | None:
        """Return a blob's size."""
        blob = self._blobs().get(digest)
        return None if blob is None else len(blob)

    def read(self, repository: str, digest: str, start: int, length: int) -> bytes:
        """Read a range."""
        blob = self._blobs().get(digest)
        if blob is None or start + length > len(blob):
            raise BlobMissing("not there", where=repository)
        self.read_bytes += length
        return blob[start : start + length]

    def pull_limit(self, repository: str) -> PullLimit | None:
        """Say nothing of limits."""
        return None


def pieces(content: bytes, size_bytes: int = 1000) -> Iterator[bytes]:
    """Yield content in pieces."""
    for start in range(0, len(content), size_bytes):
        yield content[start : start + size_bytes]


_: type[Registry] = MemoryRegistry
