"""Rules that know the models' files: revisions, tokens, shards and start-up times."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from factory.checks.finding import Found
from factory.recipe import RecipeFile
from factory.records import GB, ModelFiles

_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<total>\d{5})(?P<end>\.[\w.]+)")

_WEIGHT_ENDS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".onnx", ".h5", ".msgpack")

# RunPod takes a worker for unhealthy that has not started after 7 minutes, unless RUNPOD_INIT_TIMEOUT says longer
# (its documentation, read 2026-11-23).
_INIT_TIMEOUT_S = 420
_DOWNLOAD_BYTES_PER_S = 125_000_000  # 1 Gbit/s


def key_of(file: RecipeFile, model: ModelFiles) -> str:
    """Return the dotted key of a model in its recipe."""
    index = next((i for i, wanted in enumerate(file.recipe.models) if wanted.key == model.key), None)
    return "models" if index is None else f"models.{index}"


def floating_revision(file: RecipeFile) -> Iterator[Found]:
    """Find revisions that may name another commit tomorrow."""
    for index, model in enumerate(file.recipe.models):
        if not re.fullmatch(r"[0-9a-f]{40}", model.revision):
            yield Found(
                f"models.{index}.revision",
                f"revision {model.revision!r} may be another commit at the next build",
                "write the commit that 'factory resolve' shows",
            )


def missing_shards(file: RecipeFile, models: Sequence[ModelFiles]) -> Iterator[Found]:
    """Find sets of shards that are not whole, and indexes without their shards."""
    for model in models:
        key = key_of(file, model)
        sets: dict[tuple[str, str, int], set[int]] = {}
        for path in (f.path for f in model.files):
            if shard := _SHARD.fullmatch(path):
                sets.setdefault((shard["stem"], shard["end"], int(shard["total"])), set()).add(int(shard["number"]))
        for (stem, end, total), numbers in sets.items():
            absent = sorted(set(range(1, total + 1)) - numbers)
            if absent:
                name = f"{stem}-{absent[0]:05d}-of-{total:05d}{end}"
                more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
                yield Found(key, f"of {total} shards {name}{more} is not selected", f"add '{stem}-*{end}' to include")
        yield from _indexes_without_shards(key, model)


def _indexes_without_shards(key: str, model: ModelFiles) -> Iterator[Found]:
    """An index alone says nothing: `exclude: ["*.bin"]` leaves one behind. A folder of nothing else is a mistake."""
    paths = [f.path for f in model.files]
    for path in paths:
        folder = path.rpartition("/")[0]
        inside = (other for other in paths if other.rpartition("/")[0] == folder)
        if path.endswith(".index.json") and not any(other.endswith(_WEIGHT_ENDS) for other in inside):
            stem, end = path.removesuffix(".index.json").rsplit(".", 1)
            yield Found(key, f"{path} names files of which none is selected", f"add '{stem}-*.{end}' to include")


def gated_token(file: RecipeFile, models: Sequence[ModelFiles]) -> Iterator[Found]:
    """Find gated models that the worker downloads without a token."""
    has_token = "HF_TOKEN" in file.recipe.secrets or "RUNPOD_SECRET_" in file.recipe.env.get("HF_TOKEN", "")
    for model in models:
        if model.gated != "no" and model.placement != "image" and not has_token:
            yield Found(
                f"{key_of(file, model)}.repo",
                f"{model.repo} is gated, and the worker has no token to download it",
                "add HF_TOKEN to 'secrets', and create that secret at RunPod",
            )


def init_timeout(file: RecipeFile, models: Sequence[ModelFiles]) -> Iterator[Found]:
    """Find first starts that last longer than RunPod waits."""
    size_bytes = sum(model.unique_bytes for model in models if model.placement in ("volume", "disk"))
    seconds = size_bytes / _DOWNLOAD_BYTES_PER_S
    said = file.recipe.env.get("RUNPOD_INIT_TIMEOUT", file.recipe.image.env.get("RUNPOD_INIT_TIMEOUT", ""))
    limit = int(said) if said.isdecimal() else _INIT_TIMEOUT_S
    if seconds > limit:
        wanted = -(-int(seconds * 1.5) // 60) * 60
        yield Found(
            "env.RUNPOD_INIT_TIMEOUT",
            f"the first start downloads {size_bytes / GB:.1f} GB, {seconds / 60:.0f} minutes at 1 Gbit/s, "
            f"and RunPod takes a worker for broken after {limit / 60:.0f}",
            f"write env: {{RUNPOD_INIT_TIMEOUT: '{wanted}'}}",
        )
