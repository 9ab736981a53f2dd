"""A reader of safetensors files: 8 bytes of header length, a JSON header, then the tensors' bytes.

Format: https://github.com/huggingface/safetensors (read 2026-11-23). The file is mapped, not read: F32 tensors are
views into the page cache, F16 and BF16 ones are widened to float32 once.
"""

from __future__ import annotations

import json
import mmap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
MAX_HEADER_BYTES = 100_000_000


def read_safetensors(path: Path) -> dict[str, Array]:
    """Return the float tensors of a file as float32 by name; integer ones (position ids) are left out.

    Raises ValueError when the file is not a safetensors file, or is cut short.
    """
    with path.open("rb") as stream:
        size_bytes = path.stat().st_size
        header_bytes = int.from_bytes(stream.read(8), "little")
        if size_bytes < 8 or header_bytes > min(MAX_HEADER_BYTES, size_bytes - 8):
            raise ValueError(f"{path.name} is no safetensors file, or is cut short")
        header = json.loads(stream.read(header_bytes))
        data = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))[8 + header_bytes :]
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        if end > len(data):
            raise ValueError(f"{path.name} is cut short: {name} ends at byte {end} of {len(data)}")
        if entry["dtype"] in ("F32", "F16", "BF16"):
            tensors[name] = _widen(data[start:end], entry["dtype"]).reshape(entry["shape"])
    return tensors


def _widen(data: memoryview, dtype: str) -> Array:
    if dtype == "F32":
        return np.frombuffer(data, dtype="<f4")
    if dtype == "F16":
        return np.frombuffer(data, dtype="<f2").astype(np.float32)
    bits = np.frombuffer(data, dtype="<u2").astype(np.uint32) << 16  # bfloat16 is the upper half of a float32
    return bits.view(np.float32)


def read_folder(folder: Path) -> dict[str, Array]:
    """Return the tensors of a model's folder, in one file or in the shards that its index names."""
    index = folder / "model.safetensors.index.json"
    names = ["model.safetensors"]
    if index.is_file():
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    tensors: dict[str, Array] = {}
    for name in names:
        tensors |= read_safetensors(folder / name)
    return tensors
