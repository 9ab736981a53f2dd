"""The numpy sentence encoder against the real tokenizers and sentence-transformers (stored), and on its own."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from worker_runtime.handlers.bert.model import SentenceEncoder, erf, gelu, gelu_tanh
from worker_runtime.handlers.bert.tokenizer import Tokenizer
from worker_runtime.handlers.bert.weights import read_folder, read_safetensors
from worker_runtime.handlers.embeddings import EmbeddingsInput, Handler

REFERENCE: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "minilm_reference.json").read_text())
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world", "##s", "!", "é", "Hello", "中", "a", "b"]


def write_safetensors(path: Path, tensors: dict[str, tuple[str, list[int], bytes]]) -> None:
    """Write a safetensors file: name → dtype, shape, bytes."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def write_model(folder: Path, *, prefix: str = "", dtype: str = "F32", **config: Any) -> None:
    """Write a BERT of one layer, width 4, with weights that depend on nothing but their names."""
    folder.mkdir(exist_ok=True)
    shapes = {
        "embeddings.word_embeddings.weight": (len(VOCABULARY), 4),
        "embeddings.position_embeddings.weight": (16, 4),
        "embeddings.token_type_embeddings.weight": (2, 4),
        "encoder.layer.0.intermediate.dense.weight": (8, 4),
        "encoder.layer.0.intermediate.dense.bias": (8,),
        "encoder.layer.0.output.dense.weight": (4, 8),
        "encoder.layer.0.output.dense.bias": (4,),
    }
    for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
        shapes[f"encoder.layer.0.{part}.weight"] = (4, 4)
        shapes[f"encoder.layer.0.{part}.bias"] = (4,)
    for part in ("embeddings", "encoder.layer.0.attention.output", "encoder.layer.0.output"):
        shapes[f"{part}.LayerNorm.weight"] = (4,)
        shapes[f"{part}.LayerNorm.bias"] = (4,)
    tensors = {}
    for i, (name, shape) in enumerate(sorted(shapes.items())):
        # Eighths in a small range: exact in every float type, so that the dtypes can be compared exactly.
        values = (np.random.default_rng(i).integers(-8, 9, size=shape) / 8).astype(np.float32)
        tensors[prefix + name] = (dtype, list(shape), encoded(values, dtype))
    write_safetensors(folder / "model.safetensors", tensors)
    settings = {"model_type": "bert", "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2}
    (folder / "config.json").write_text(json.dumps({**settings, "max_position_embeddings": 16, **config}))
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")


def encoded(values: np.ndarray[Any, Any], dtype: str) -> bytes:
    """Return the values' bytes in a safetensors type."""
    if dtype == "BF16":
        return bytes((values.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes())
    return bytes(values.astype("<f2" if dtype == "F16" else "<f4").tobytes())


def vectors(folder: Path, texts: list[str], batch_size: int = 8) -> np.ndarray[Any, Any]:
    """Return the encoder's vectors."""
    return SentenceEncoder(folder).encode(texts, normalize=False, batch_size=batch_size)


# --- against the real thing ------------------------------------------------------------------------------------------
@pytest.mark.minilm
def test_token_ids_equal_the_real_tokenizer(minilm_folder: Path) -> None:
    """All stored texts, from all over Unicode, give the ids of the `tokenizers` library."""
    tokenizer = Tokenizer.from_folder(minilm_folder)
    assert len(REFERENCE["tokens"]) > 100
    for row in REFERENCE["tokens"]:
        assert tokenizer.encode(row["text"]) == row["ids"], row["text"]


@pytest.mark.minilm
@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_vectors_equal_sentence_transformers(minilm_folder: Path, batch_size: int) -> None:
    """The vectors of all stored sentences lie within 1e-6 of the real ones, whatever shares a batch with them."""
    handler = Handler(options={"batch_size": batch_size}, models={"minilm": minilm_folder})
    handler.load(minilm_folder)
    answer = handler(EmbeddingsInput(texts=[row["text"] for row in REFERENCE["vectors"]]))
    expected = np.array([row["vector"] for row in REFERENCE["vectors"]], dtype=np.float32)
    assert answer["dimension"] == 384
    assert answer["model"] == "minilm"
    assert np.abs(answer["embeddings"] - expected).max() < 1e-6


@pytest.mark.minilm
def test_normalisation_is_a_choice(minilm_folder: Path) -> None:
    """The model's own choice is length 1; the option and the input change it, the input last."""

    def length(options: dict[str, Any], **job: Any) -> float:
        handler = Handler(options=options, models={"m": minilm_folder})
        handler.load(minilm_folder)
        return float(np.linalg.norm(handler(EmbeddingsInput(text="a cat", **job))["embeddings"]))

    assert length({}) == pytest.approx(1, abs=1e-6)
    assert length({"normalize": False}) != pytest.approx(1, abs=1e-2)
    assert length({"normalize": False}, normalize=True) == pytest.approx(1, abs=1e-6)


# --- the mathematics -------------------------------------------------------------------------------------------------
@given(arrays(np.float32, 50, elements=st.floats(-100, 100, width=32)))
def test_erf_is_within_1e_7(values: np.ndarray[Any, Any]) -> None:
    """The table's erf lies within 1e-7 of the C library's."""
    true = np.array([math.erf(float(x)) for x in values])
    assert np.abs(erf(values) - true).max() <= 1e-7


def test_gelu() -> None:
    """Both forms of gelu agree with their formulas."""
    x = np.linspace(-6, 6, 1001, dtype=np.float32)
    true = np.array([v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.tolist()])
    assert np.abs(gelu(x) - true).max() < 1e-6
    assert 1e-5 < np.abs(gelu_tanh(x) - true).max() < 1e-3


# --- weights ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_half_precision_weights_are_widened(dtype: str, tmp_path: Path) -> None:
    """Weights stored in 16 bits give what the same values in 32 bits give."""
    write_model(tmp_path / "a")
    write_model(tmp_path / "b", dtype=dtype, prefix="bert.")
    texts = ["hello worlds!", "a"]
    assert np.array_equal(vectors(tmp_path / "a", texts), vectors(tmp_path / "b", texts))


def test_shards_are_joined(tmp_path: Path) -> None:
    """Weights in several files are found by their index."""
    for i, name in enumerate(("x", "y")):
        write_safetensors(tmp_path / f"{i}.safetensors", {name: ("F32", [1], encoded(np.array([i]), "F32"))})
    index = {"weight_map": {"x": "0.safetensors", "y": "1.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert {name: tensor.tolist() for name, tensor in read_folder(tmp_path).items()} == {"x": [0.0], "y": [1.0]}


@pytest.mark.parametrize("keep", [0, 4, 20, -4])
def test_a_file_that_is_cut_short(keep: int, tmp_path: Path) -> None:
    """A cut file is refused with its name, not read as garbage."""
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"x": ("F32", [2], b"\0" * 8)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"model\.safetensors.* cut short"):
        read_safetensors(path)


# --- the model's settings --------------------------------------------------------------------------------------------
def test_neighbours_in_a_batch_change_nothing(tmp_path: Path) -> None:
    """A text's vector is the same alone and beside longer ones: padding is masked."""
    write_model(tmp_path)
    texts = ["a", "hello worlds! a b a b", "", "b"]
    together = vectors(tmp_path, texts)
    alone = np.concatenate([vectors(tmp_path, [text]) for text in texts])
    assert np.abs(together - alone).max() < 1e-6


def test_cls_pooling(tmp_path: Path) -> None:
    """1_Pooling/config.json chooses between the mean and the first token."""
    write_model(tmp_path)
    mean = vectors(tmp_path, ["hello world"])
    (tmp_path / "1_Pooling").mkdir()
    config = tmp_path / "1_Pooling" / "config.json"
    config.write_text(json.dumps({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}))
    assert np.abs(vectors(tmp_path, ["hello world"]) - mean).max() > 1e-3
    config.write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(ValueError, match="pooling"):
        vectors(tmp_path, ["hello world"])


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"model_type": "roberta"}, "model_type 'roberta'"),
        ({"position_embedding_type": "relative_key"}, "absolute positions"),
        ({"hidden_act": "swish"}, "hidden_act 'swish'"),
    ],
)
def test_other_families_are_refused(config: dict[str, Any], says: str, tmp_path: Path) -> None:
    """A model that this encoder can't compute is refused when it is loaded, not computed wrongly."""
    write_model(tmp_path, **config)
    with pytest.raises(ValueError, match=says):
        SentenceEncoder(tmp_path)


# --- the tokenizer's settings ----------------------------------------------------------------------------------------
def tokenizer(**changes: Any) -> Tokenizer:
    """Return a tokenizer over the small vocabulary."""
    settings = {"lower_case": True, "strip_accents": True, "split_cjk": True, "max_tokens": 16, **changes}
    return Tokenizer({word: i for i, word in enumerate(VOCABULARY)}, **settings)


@pytest.mark.parametrize(
    ("text", "changes", "ids"),
    [
        ("Hello worlds!", {}, [2, 5, 6, 7, 8, 3]),
        ("Hello", {"lower_case": False}, [2, 10, 3]),
        ("é", {"strip_accents": False}, [2, 9, 3]),
        ("é", {}, [2, 1, 3]),
        ("a中b", {}, [2, 12, 11, 13, 3]),
        ("a中b", {"split_cjk": False}, [2, 1, 3]),
        ("a[MASK]b", {}, [2, 12, 4, 13, 3]),
        ("a " * 50, {"max_tokens": 4}, [2, 12, 12, 3]),
        ("", {}, [2, 3]),
    ],
)
def test_the_tokenizers_settings(text: str, changes: dict[str, Any], ids: list[int]) -> None:
    """Case, accents, CJK, special tokens and the longest input do what the model's files say."""
    assert tokenizer(**changes).encode(text) == ids


def test_a_vocabulary_without_vocab_txt(tmp_path: Path) -> None:
    """A model that ships only tokenizer.json is read from there."""
    write_model(tmp_path)
    expected = Tokenizer.from_folder(tmp_path).encode("hello worlds!")
    (tmp_path / "vocab.txt").unlink()
    vocabulary = {word: i for i, word in enumerate(VOCABULARY)}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}}))
    assert Tokenizer.from_folder(tmp_path).encode("hello worlds!") == expected


@given(st.text(max_size=300))
def test_any_text_gives_ids_within_bounds(text: str) -> None:
    """Whatever the text, the ids begin with [CLS], end with [SEP], are known, and are not too many."""
    ids = tokenizer().encode(text)
    assert (ids[0], ids[-1]) == (2, 3)
    assert len(ids) <= 16
    assert all(0 <= i < len(VOCABULARY) for i in ids)
