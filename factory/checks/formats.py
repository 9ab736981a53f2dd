"""The same weights in several formats or precisions: what could be left out, and the lines that leave it out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import escape

from factory.checks.finding import Found
from factory.checks.weights import key_of
from factory.recipe import RecipeFile
from factory.records import GB, ModelFile, ModelFiles

# In the order in which a set is kept: safetensors loads fastest and runs no code.
_PREFERENCE = ("safetensors", "torch", "gguf", "onnx", "openvino", "tensorflow", "flax", "rust", "coreml")
_FORMAT_OF_END = {
    "safetensors": "safetensors",
    **dict.fromkeys(("bin", "pt", "pth", "ckpt"), "torch"),
    "gguf": "gguf",
    **dict.fromkeys(("onnx", "onnx_data"), "onnx"),
    "h5": "tensorflow",
    "msgpack": "flax",
    "ot": "rust",
    "mlmodel": "coreml",
}
# Folders that hold another copy of the weights in the folder above them.
_COPY_FOLDERS = {"onnx": "onnx", "openvino": "openvino", "coreml": "coreml", "original": "torch"}
_SHARD = re.compile(r"-\d{5}-of-\d{5}$|\.\d{2}$")
_VARIANT = re.compile(r"\.(fp16|bf16|fp32|fp8|int8|non_ema|ema)(?=$|\.)|[-.](fp16)$")
_QUANTISATION = re.compile(r"[-_.](I?Q\d\w*|B?F16|F32|MXFP4)$", re.I)
_SAME = {
    **dict.fromkeys(("model", "pytorch_model", "tf_model", "flax_model", "rust_model", "openvino_model"), "model"),
    "consolidated": "model",
    "diffusion_pytorch_model": "diffusion_model",
    "diffusion_flax_model": "diffusion_model",
}
_SMALL_BYTES = 1_000_000  # what isn't worth a line in a recipe
_DENOISERS = ("transformer", "unet")  # the folder that a diffusers model can't do without


@dataclass(frozen=True, slots=True)
class _Weights:
    """One weight file: `component` names what it is a part of, `copy` in which format and precision."""

    file: ModelFile
    component: tuple[str, str]  # folder, what it is in there
    copy: tuple[str, str]  # format, variant


def formats(file: RecipeFile, models: Sequence[ModelFiles]) -> Iterator[Found]:
    """Find weights that are selected more than once, and say what to exclude."""
    for model in models:
        keep_half = model.load_dtype in ("fp16", "bf16")
        redundant = _redundant(model, keep_half=keep_half)
        wasted = sum(f.size_bytes for f in redundant)
        if wasted < _SMALL_BYTES:
            continue
        kinds = ", ".join(_kinds(redundant))
        yield Found(
            f"{key_of(file, model)}.exclude",
            f"{_gb(wasted)} of {_gb(model.size_bytes)} are second copies of selected weights ({kinds})",
            f"add to exclude: [{', '.join(repr(line) for line in _lines(model, redundant))}]",
        )


def _redundant(model: ModelFiles, *, keep_half: bool) -> list[ModelFile]:
    """Return the files that the rest of the selection makes superfluous, in order of path."""
    weights = [w for f in model.files if (w := _weights(f))]
    found = {f.path: f for f in _single_files(model, weights)}
    components: dict[tuple[str, str], dict[tuple[str, str], list[ModelFile]]] = {}
    for item in weights:
        if item.file.path not in found:
            components.setdefault(item.component, {}).setdefault(item.copy, []).append(item.file)
    for copies in components.values():
        best = min(copies, key=lambda copy: (_PREFERENCE.index(copy[0]), _rank(copy[1], keep_half=keep_half)))
        found |= {f.path: f for copy, files in copies.items() if copy != best for f in files}
    needed = {_folder(w.file.path) for w in weights if w.file.path not in found}
    superfluous = {_folder(path) for path in found if _folder(path).rpartition("/")[2] in _COPY_FOLDERS} - needed
    found |= {f.path: f for f in model.files if _folder(f.path) in superfluous}  # with their configurations
    return [found[path] for path in sorted(found)]


def _rank(variant: str, *, keep_half: bool) -> int:
    """Prefer the half-precision variant when the weights are loaded so anyway, else the one that has no suffix."""
    if keep_half and variant in ("fp16", "bf16"):
        return 0
    return 1 if not variant else 2


def _single_files(model: ModelFiles, weights: Sequence[_Weights]) -> Iterator[ModelFile]:
    """Yield the root's single-file weights beside the same model in diffusers' folders, as FLUX.1-dev has both."""
    if not any(f.path == "model_index.json" for f in model.files):
        return
    if any(w.component[0] in _DENOISERS for w in weights):
        yield from (w.file for w in weights if "/" not in w.file.path)


def _weights(file: ModelFile) -> _Weights | None:
    folder, _, name = file.path.rpartition("/")
    stem, _, end = name.removesuffix(".data").rpartition(".")
    kind = "openvino" if name.startswith("openvino_") and end in ("bin", "xml") else _FORMAT_OF_END.get(end)
    last = folder.rpartition("/")[2]
    if last in _COPY_FOLDERS and kind:
        return _Weights(file, (folder.rpartition("/")[0], "model"), (_COPY_FOLDERS[last], last))
    if kind is None or name in _NO_WEIGHTS:
        return None
    stem = _SHARD.sub("", stem)
    pattern = _QUANTISATION if kind == "gguf" else _VARIANT
    variant = found[0].strip("-_.").lower() if (found := pattern.search(stem)) else ""
    variant = variant or (stem if stem == "consolidated" else "")  # Mistral's own layout beside the shards
    # diffusers writes `model.fp16-00001-of-00002`, transformers `model-00001-of-00002.fp16`: both lose their shard.
    stem = _SHARD.sub("", pattern.sub("", stem))
    return _Weights(file, (folder, _SAME.get(stem, stem)), (kind, variant))


_NO_WEIGHTS = frozenset({"training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth", "tokenizer.bin"})


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _kinds(files: Sequence[ModelFile]) -> list[str]:
    copies = {w.copy for f in files if (w := _weights(f))}
    return sorted(f"{variant} {kind}" if variant not in ("", kind) else kind for kind, variant in copies)


def _lines(model: ModelFiles, redundant: Sequence[ModelFile]) -> list[str]:
    """Return the fewest patterns that exclude exactly these files: a folder, an ending, a set of shards, or a name."""
    left = {f.path for f in redundant}
    kept = {f.path for f in model.files} - left
    lines: list[str] = []
    while left:
        path = min(left)
        pattern = next(p for p in _patterns(path) if not any(fnmatchcase(other, p) for other in kept))
        lines.append(pattern)
        left = {other for other in left if not fnmatchcase(other, pattern)}
    return lines


def _patterns(path: str) -> Iterator[str]:
    folder, _, name = path.rpartition("/")
    end = name.rpartition(".")[2]
    if folder.rpartition("/")[2] in _COPY_FOLDERS:
        yield f"{escape(folder)}/*"
    yield f"*.{escape(end)}"
    if variant := _VARIANT.search(name):
        yield f"*{variant[0]}*"
    yield re.sub(r"-\d{5}-of-\d{5}", "-*", escape(path))
    yield escape(path)


def _gb(size_bytes: int) -> str:
    return f"{size_bytes / GB:.1f} GB" if size_bytes >= GB else f"{size_bytes / 1e6:.0f} MB"
