"""Do the weights, as loaded, fit a GPU pool? An estimate that errs on the side of letting through.

    resident  sum over weight files of size x (bytes of the load dtype / bytes of the stored dtype)
    need      resident x 1.05 + workspace + 1 GiB (CUDA's own)
    usable    0.92 x the nominal memory of the pool's smallest card (x count, when a worker has several GPUs)

*error*: resident > usable, it can't be. *warning*: need > usable, it may need a shorter context, offloading or
quantisation. With `gpu.offload` the largest component must fit, and what does not fit at once is a warning. The
constants are those of accelerate's and vLLM's planners: 5 % of fragmentation, 0.92 of a card's nominal memory (an L4
of 24 GB reports 22.5 GiB), 0.3 to 2 GiB for CUDA (all read 2026-11-23). Comparing bytes on disk with a card is wrong
both ways: Wan2.1-T2V-14B is 69 GB on disk and 40.2 GB once its F32 weights are loaded as bf16.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from factory.catalogue import Pool
from factory.recipe.model import Gpu, Recipe
from factory.records import GB, ModelFile, ModelFiles, PoolFit
from factory.wording import size_text

GIB = 1 << 30
USABLE_SHARE = 0.92
FRAGMENTATION = 1.05
CUDA_BYTES = GIB

# Bytes a parameter takes, by the names that safetensors headers and recipes use.
STORED_BYTES: Mapping[str, float] = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "F4": 0.5,
    "I64": 8, "U64": 8, "I32": 4, "U32": 4, "I16": 2, "U16": 2, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip
LOADED_BYTES: Mapping[str, float] = {"fp32": 4, "bf16": 2, "fp16": 2, "fp8": 1, "int8": 1, "int4": 0.5}
# What loading converts: floating-point weights. Integers are token tables, or weights that are quantised already.
CONVERTED = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})

WEIGHTS = frozenset({".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".gguf", ".onnx", ".h5", ".msgpack"})
# `models_t5_umt5-xxl-enc-bf16.pth`, `model.fp16.safetensors`: where no header says it, the name often does.
NAMED_DTYPE = re.compile(r"(?<![a-z0-9])(bf16|fp16|f16|float16|fp32|f32|float32)(?![a-z0-9])", re.IGNORECASE)
DTYPE_OF_NAME = {
    "bf16": "BF16", "fp16": "F16", "f16": "F16", "float16": "F16", "fp32": "F32", "f32": "F32", "float32": "F32",
}  # fmt: skip
SHARD = re.compile(r"-\d{5}-of-\d{5}$")

# VRAM beside the weights when the recipe does not say: measured for one job at usual settings (2026-11-23).
WORKSPACE_BYTES: Mapping[str, int] = {
    "embeddings": GIB // 2,
    "text_generation": GIB // 2 + 2 * GIB,  # 2 GiB: KV cache of 16k tokens of Llama-3.1-8B, 37k of Qwen2.5-7B
    "transcription": GIB // 2,
    "image_generation": 4 * GIB,
    "video_generation": 10 * GIB,
}


class Resident(NamedTuple):
    """What is loaded: all of it, its largest component, its bytes on disk, and how one becomes the other."""

    total_bytes: int
    largest_bytes: int
    disk_bytes: int
    conversions: tuple[str, ...]


def resident(models: Sequence[ModelFiles]) -> Resident:
    """Add up the weights of the models as they lie in memory. A component is a file, or a set of shards."""
    components: dict[tuple[str, str], float] = {}
    conversions: dict[str, None] = {}
    disk_bytes = 0
    for model in models:
        for file, share, stored in _weights(model):
            path = PurePosixPath(file.path)
            component = (model.repo, str(path.parent / SHARD.sub("", path.stem)))
            components[component] = components.get(component, 0) + file.size_bytes * share
            disk_bytes += file.size_bytes
            if stored and model.load_dtype:
                conversions[f"{stored} loaded as {model.load_dtype.upper()}"] = None
    return Resident(
        round(sum(components.values())), round(max(components.values(), default=0)), disk_bytes, tuple(conversions)
    )


def fit(pool: Pool, recipe: Recipe, gpu: Gpu, loaded: Resident) -> PoolFit:
    """Judge one pool, with a sentence that says why."""
    usable = round(USABLE_SHARE * pool.vram_gb * GIB) * gpu.count
    beside = workspace_bytes(recipe, gpu, loaded) + CUDA_BYTES
    needed = round(loaded.total_bytes * FRAGMENTATION) + beside
    room = f"{pool.id} ({size_text(usable)} usable = {usable / GIB:.1f} GiB)"
    if gpu.count > 1:
        room = f"{gpu.count} x {room}, when the handler spreads the weights"
    verdict: Literal["fine", "warning", "error"]
    if gpu.offload and loaded.total_bytes > usable:
        largest = size_text(loaded.largest_bytes)
        if loaded.largest_bytes > usable:
            verdict, sentence = "error", f"the largest component, {largest}, does not fit {room}, offloaded or not"
        else:
            verdict, sentence = "warning", f"{_text(loaded)} moves between RAM and VRAM: {largest} at most fits {room}"
    elif loaded.total_bytes > usable:
        verdict, sentence = "error", f"{_text(loaded)} does not fit {room}"
    elif needed > usable:
        verdict, sentence = "warning", f"{_text(loaded)} fits {room}, {size_text(needed)} with workspace does not"
    else:
        verdict, sentence = "fine", f"{_text(loaded)}, {size_text(needed)} with workspace, fits {room}"
    return PoolFit(pool.id, pool.vram_gb, usable, loaded.total_bytes, needed, verdict, sentence)


def workspace_bytes(recipe: Recipe, gpu: Gpu, loaded: Resident) -> int:
    """Return the VRAM beside the weights: as the recipe says, else usual for its handler, else a fifth of them."""
    if gpu.workspace_gb is not None:
        return round(gpu.workspace_gb * GB)
    usual = WORKSPACE_BYTES.get(recipe.handler.name or "")
    return usual if usual is not None else loaded.total_bytes // 5


def _text(loaded: Resident) -> str:
    """Return `40.2 GB resident (69.0 GB on disk, F32 loaded as BF16)`."""
    how = f" ({size_text(loaded.disk_bytes)} on disk, {', '.join(loaded.conversions)})" if loaded.conversions else ""
    return f"{size_text(loaded.total_bytes)} resident{how}"


def _weights(model: ModelFiles) -> Iterator[tuple[ModelFile, float, str | None]]:
    """Yield each weight file with its resident bytes per byte on disk, and the stored dtype when it is converted."""
    for file in model.files:
        suffix = PurePosixPath(file.path).suffix.lower()
        if suffix in WEIGHTS:
            stored = {} if suffix == ".gguf" else _stored(model, file, is_indexed=suffix == ".safetensors")
            share = _share(stored, model.load_dtype)
            yield file, share, max(stored, key=lambda dtype: stored[dtype]) if share != 1 else None


def _stored(model: ModelFiles, file: ModelFile, *, is_indexed: bool) -> Mapping[str, int]:
    """Return stored dtype → weight of that dtype in the file; empty when unknown.

    A safetensors file has the model's own mix. Another file has what its name says, else the mix of the safetensors
    beside it (so Wan2.1_VAE.pth counts as F32, which it is).
    """
    if is_indexed and model.parameters:
        return model.parameters
    if named := NAMED_DTYPE.search(PurePosixPath(file.path).name):
        return {DTYPE_OF_NAME[named.group(1).lower()]: 1}
    return model.parameters


def _share(stored: Mapping[str, int], load_dtype: str | None) -> float:
    """Return resident bytes per stored byte: 1 when nothing is converted, or nothing is known."""
    on_disk = sum(count * STORED_BYTES.get(dtype, 1) for dtype, count in stored.items())
    if load_dtype is None or not on_disk:
        return 1.0
    in_memory = sum(
        count * (LOADED_BYTES[load_dtype] if dtype in CONVERTED else STORED_BYTES.get(dtype, 1))
        for dtype, count in stored.items()
    )
    return in_memory / on_disk
