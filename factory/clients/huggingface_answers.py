"""What the Hub's answers say, as records. Pure: no client, no network."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from factory.records import ModelFile


def licence(says: Mapping[str, Any]) -> str | None:
    """Return the licence that the model card or the tags name."""
    card = says.get("cardData") or {}
    named = card.get("license_name") if card.get("license") == "other" else card.get("license")
    if not named:
        tags = says.get("tags") or ()
        named = next((t.removeprefix("license:") for t in tags if t.startswith("license:")), card.get("license"))
    return ", ".join(named) if isinstance(named, list) else named


def model_file(row: Mapping[str, Any]) -> ModelFile:
    """Return a file as the tree API lists it. Raises KeyError, TypeError or ValueError when it is none."""
    path: str = row["path"]
    if path.startswith("/") or (".." in path and ".." in path.split("/")):
        raise ValueError(f"{path} lies outside the repository")
    lfs = row.get("lfs")
    if lfs:
        return ModelFile(path, int(lfs["size"]), f"sha256:{lfs['oid']}")
    return ModelFile(path, int(row["size"]), f"git-sha1:{row['oid']}")


def parameters(header: bytes) -> dict[str, int]:
    """Return dtype → parameters of a safetensors header.

    Raises ValueError, KeyError, TypeError or AttributeError when it is none.
    """
    counts: dict[str, int] = {}
    for name, tensor in json.loads(header).items():
        if name != "__metadata__":
            counts[tensor["dtype"]] = counts.get(tensor["dtype"], 0) + math.prod(tensor["shape"])
    return counts


def is_intact(folder: Path, file: ModelFile) -> bool:
    """Say whether the file lies below the folder with the right size and digest."""
    path = folder / file.path
    if not path.is_file() or path.stat().st_size != file.size_bytes:
        return False
    kind, _, expected = file.digest.partition(":")
    digest = hashlib.sha256() if kind == "sha256" else hashlib.sha1(usedforsecurity=False)
    if kind != "sha256":
        digest.update(b"blob %d\0" % file.size_bytes)
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest() == expected


def gathered(parts: Iterable[bytes], piece_bytes: int) -> Iterator[bytes]:
    """Yield a body in pieces of at least that size; each byte is copied once (httpx 0.28's own chunking: thrice)."""
    waiting, size = list[bytes](), 0
    for part in parts:
        waiting.append(part)
        size += len(part)
        if size >= piece_bytes:
            piece = b"".join(waiting)
            waiting, size = [], 0
            yield piece
    if waiting:
        yield b"".join(waiting)
