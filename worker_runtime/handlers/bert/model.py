"""BERT's encoder and the pooling of sentence-transformers, in float32 numpy.

Equal to torch within 1e-6 on the vectors it gives (tests/worker_runtime/data/minilm_reference.json).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker_runtime.handlers.bert.tokenizer import Tokenizer
from worker_runtime.handlers.bert.weights import Array, read_folder

# erf at every 1/4096 of [0, 4], from the C library; beyond, it is 1 in float32. A straight line between two such
# neighbours is off by at most 1/8 * (1/4096)² * max|erf''| = 7e-9, less than float32's own rounding.
ERF_STEPS = 4096
ERF_TABLE = np.array([math.erf(i / ERF_STEPS) for i in range(4 * ERF_STEPS + 2)], dtype=np.float32)


def erf(x: Array) -> Array:
    """Return the error function within 1e-7 of the true value (numpy has none, and scipy would cost 100 MB)."""
    scaled = np.minimum(np.abs(x), np.float32(4)) * np.float32(ERF_STEPS)  # a power of two: exact
    index = scaled.astype(np.int32)
    low = ERF_TABLE[index]
    return np.copysign(low + (ERF_TABLE[index + 1] - low) * (scaled - index.astype(np.float32)), x)


def gelu(x: Array) -> Array:
    """Return x * Phi(x), by erf as BERT does and not by the tanh approximation."""
    return np.asarray(x * np.float32(0.5) * (np.float32(1) + erf(x * np.float32(0.5**0.5))), dtype=np.float32)


def gelu_tanh(x: Array) -> Array:
    """Return gelu by its tanh approximation, which newer models ask for by name."""
    inner = np.float32((2 / np.pi) ** 0.5) * (x + np.float32(0.044715) * x**3)
    return np.asarray(np.float32(0.5) * x * (np.float32(1) + np.tanh(inner)), dtype=np.float32)


def relu(x: Array) -> Array:
    """Return max(x, 0)."""
    return np.maximum(x, np.float32(0))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": gelu,
    "gelu_new": gelu_tanh,
    "gelu_pytorch_tanh": gelu_tanh,
    "relu": relu,
}


class SentenceEncoder:
    """Turns texts into vectors: tokenizer, encoder, pooling and, as modules.json says, normalisation.

    Raises ValueError for a model that is not of the BERT family, and for a pooling other than mean or cls.
    """

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_bytes())
        if config.get("model_type") != "bert" or config.get("position_embedding_type", "absolute") != "absolute":
            raise ValueError(f"model_type {config.get('model_type')!r}: only BERT with absolute positions is known")
        activation = config.get("hidden_act", "gelu")
        if activation not in ACTIVATIONS:
            raise ValueError(f"hidden_act {activation!r} is not known")
        self._activate = ACTIVATIONS[activation]
        self._heads = int(config["num_attention_heads"])
        self._layers = int(config["num_hidden_layers"])
        self._epsilon = np.float32(config.get("layer_norm_eps", 1e-12))
        self._tensors = {name.removeprefix("bert."): array for name, array in read_folder(folder).items()}
        self._tokenizer = Tokenizer.from_folder(folder)
        self._pooling = _pooling(folder)
        self.normalizes = _normalizes(folder)
        self.dimension = int(config["hidden_size"])

    def encode(self, texts: Sequence[str], *, normalize: bool, batch_size: int) -> Array:
        """Return one float32 row per text, in order. `batch_size` texts, of like length, share a forward pass."""
        ids = [self._tokenizer.encode(text) for text in texts]
        vectors = np.empty((len(ids), self.dimension), dtype=np.float32)
        for rows in _batches([len(row) for row in ids], batch_size):
            vectors[rows] = self._batch([ids[i] for i in rows])
        if normalize:
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
        return vectors

    def _batch(self, rows: Sequence[Sequence[int]]) -> Array:
        longest = max(len(row) for row in rows)
        ids = np.full((len(rows), longest), self._tokenizer.pad_id, dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=np.float32)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
            mask[i, : len(row)] = 1
        hidden = self._forward(ids, mask)
        if self._pooling == "cls":
            return hidden[:, 0]
        weights = mask[:, :, None]
        return np.asarray((hidden * weights).sum(axis=1) / weights.sum(axis=1), dtype=np.float32)

    def _forward(self, ids: NDArray[np.int64], mask: Array) -> Array:
        tensors = self._tensors
        hidden = tensors["embeddings.word_embeddings.weight"][ids]
        hidden = hidden + tensors["embeddings.position_embeddings.weight"][: ids.shape[1]]
        hidden = hidden + tensors["embeddings.token_type_embeddings.weight"][0]
        hidden = self._norm(hidden, "embeddings.LayerNorm")
        bias = (np.float32(1) - mask[:, None, None, :]) * np.float32(-1e9)
        for i in range(self._layers):
            layer = f"encoder.layer.{i}"
            context = self._attention(hidden, bias, f"{layer}.attention.self")
            hidden = self._norm(
                self._linear(context, f"{layer}.attention.output.dense") + hidden, f"{layer}.attention.output.LayerNorm"
            )
            inner = self._activate(self._linear(hidden, f"{layer}.intermediate.dense"))
            hidden = self._norm(self._linear(inner, f"{layer}.output.dense") + hidden, f"{layer}.output.LayerNorm")
        return hidden

    def _attention(self, hidden: Array, bias: Array, name: str) -> Array:
        batch, length, width = hidden.shape

        def heads(part: str) -> Array:
            projected = self._linear(hidden, f"{name}.{part}").reshape(batch, length, self._heads, -1)
            return projected.transpose(0, 2, 1, 3)

        query, key, value = heads("query"), heads("key"), heads("value")
        scores = query @ key.transpose(0, 1, 3, 2) * np.float32((width // self._heads) ** -0.5) + bias
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        context = (scores @ value).transpose(0, 2, 1, 3).reshape(batch, length, width)
        return np.asarray(context, dtype=np.float32)

    def _linear(self, x: Array, name: str) -> Array:
        return np.asarray(x @ self._tensors[f"{name}.weight"].T + self._tensors[f"{name}.bias"], dtype=np.float32)

    def _norm(self, x: Array, name: str) -> Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = (centred * centred).mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt(variance + self._epsilon) * self._tensors[f"{name}.weight"]
        return np.asarray(scaled + self._tensors[f"{name}.bias"], dtype=np.float32)


def _batches(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Yield the rows of each batch; none is padded to more than twice its length, give or take 8 tokens."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) == batch_size or lengths[row] > 2 * lengths[batch[0]] + 8):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _read(path: Path) -> Any:
    return json.loads(path.read_bytes()) if path.is_file() else None


def _pooling(folder: Path) -> str:
    config = _read(folder / "1_Pooling" / "config.json") or {"pooling_mode_mean_tokens": True}
    modes = {
        name.removeprefix("pooling_mode_") for name, on in config.items() if name.startswith("pooling_mode_") and on
    }
    if modes == {"mean_tokens"}:
        return "mean"
    if modes == {"cls_token"}:
        return "cls"
    raise ValueError(f"pooling {sorted(modes)}: only mean_tokens or cls_token is known")


def _normalizes(folder: Path) -> bool:
    return any(str(module.get("type", "")).endswith("Normalize") for module in _read(folder / "modules.json") or [])
