"""Which weights lie in which layer: one layer per large file, the small ones of a model together. Pure functions.

A layer is known by what it holds (paths in the image, the Hub's digests, sizes, modes and times), so the same file at
the same path is the same layer in every recipe. A large file alone is found again when others beside it change; a
small one isn't worth a layer, of which dockerd takes 125 an image (moby `maxLayerDepth`, 20.10, read 2026-11-25).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from factory.oci import tars
from factory.records import ModelFile, ModelFiles

FORMAT = 1  # of the tars and of what is kept of them in the registry: another one finds nothing of this one
LARGE_BYTES = 64 << 20  # one request more and a second's work; smaller files change together
PACK_BYTES = 1 << 30  # of small files in one layer: what is sent again after a cut
MOST_LAYERS = 64  # of the weights: the environment and the code need some too
MODE = 0o644

Compression = Literal["gzip", "none"]
Compress = Literal["auto", "gzip", "none"]  # `auto`: a sample of the file and the uplink decide


@dataclass(frozen=True, slots=True)
class Weight:
    """One file of a model, and its path from the image's root."""

    repo: str
    commit: str
    file: ModelFile
    path: str


@dataclass(frozen=True, slots=True)
class Parcel:
    """What one layer holds, in the tar's order; `model_key` names its folder below /models."""

    model_key: str
    weights: tuple[Weight, ...]

    @property
    def name(self) -> str:
        """What a person knows it by."""
        if len(self.weights) == 1:
            return self.weights[0].path.removeprefix("models/")
        return f"{self.model_key}: {len(self.weights)} files"

    @property
    def size_bytes(self) -> int:
        """Bytes of the files."""
        return sum(weight.file.size_bytes for weight in self.weights)

    @property
    def folders(self) -> tuple[str, ...]:
        """Every folder above its files, each after the one that holds it."""
        found = {folder for weight in self.weights for folder in tars.folders_above(weight.path)}
        return tuple(sorted(found))

    def key(self, compression: Compression) -> str:
        """Return what the layer is known by in the registry: 40 hexadecimal digits."""
        files = [(weight.path, weight.file.digest, weight.file.size_bytes) for weight in self.weights]
        said = json.dumps([FORMAT, compression, MODE, tars.MTIME_S, files], separators=(",", ":"))
        return hashlib.sha256(said.encode()).hexdigest()[:40]


def parcels(models: Sequence[ModelFiles]) -> tuple[Parcel, ...]:
    """Share the models' files out to layers; what two models have at one path with one digest comes once."""
    large, pack = LARGE_BYTES, PACK_BYTES
    while True:
        found = [parcel for model in models for parcel in _of_model(model, large, pack)]
        once = tuple({parcel.key("none"): parcel for parcel in found}.values())
        total = sum(model.size_bytes for model in models)
        if len(once) <= MOST_LAYERS or large > total:
            return once
        large, pack = 2 * large, 2 * pack


def _of_model(model: ModelFiles, large_bytes: int, pack_bytes: int) -> Iterator[Parcel]:
    files = {file.path: file for file in model.files}  # a file that is named twice is there once
    small = list[Weight]()
    for path in sorted(files):
        weight = Weight(model.repo, model.commit, files[path], f"models/{model.key}/{path}")
        if weight.file.size_bytes >= large_bytes:
            yield Parcel(model.key, (weight,))
            continue
        if small and sum(each.file.size_bytes for each in small) + weight.file.size_bytes > pack_bytes:
            yield Parcel(model.key, tuple(small))
            small = []
        small.append(weight)
    if small:
        yield Parcel(model.key, tuple(small))
