"""WordPiece as BERT uses it, equal to the `tokenizers` library id by id for every character of Unicode 8.

That library's tables end there (0.23.3, all code points compared 2026-11-24): 504 accents, punctuation and format
characters that are newer, of rare scripts, it takes for letters, where this one goes by Python's tables.

Steps: special tokens are cut out of the raw text; the rest is cleaned, CJK characters set apart, accents stripped and
letters lowered (as tokenizer_config.json says); then split at white space and punctuation; then each word is cut into
the longest pieces that the vocabulary has.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

MAX_WORD_CHARS = 100  # a longer word is unknown, as in BERT's own code
# The ranges that BERT's own code calls Chinese characters; Hangul, Hiragana and Katakana are not among them.
CJK = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


def _is_cjk(char: str) -> bool:
    return any(low <= ord(char) <= high for low, high in CJK)


def _is_dropped(char: str) -> bool:
    """Whether cleaning removes the character: NUL, the replacement character, control, format and private use.

    Unassigned ones stay (tokenizers 0.23.3, compared 2026-11-24).
    """
    return char in "\0\ufffd" or (char not in "\t\n\r" and unicodedata.category(char) in ("Cc", "Cf", "Co", "Cs"))


def _is_punctuation(char: str) -> bool:
    if char.isascii():
        return char in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"  # BERT counts $ + < = > ^ ` | ~ too
    return unicodedata.category(char).startswith("P")


class Tokenizer:
    """Turns text into token ids, [CLS] first and [SEP] last."""

    def __init__(
        self, vocabulary: Mapping[str, int], *, lower_case: bool, strip_accents: bool, split_cjk: bool, max_tokens: int
    ) -> None:
        self._vocabulary = vocabulary
        self._lower_case = lower_case
        self._strip_accents = strip_accents
        self._split_cjk = split_cjk
        self._max_tokens = max_tokens
        self.pad_id = vocabulary["[PAD]"]
        self._unknown_id = vocabulary["[UNK]"]
        self._first_id, self._last_id = vocabulary["[CLS]"], vocabulary["[SEP]"]
        specials = [t for t in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]") if t in vocabulary]
        self._specials = re.compile("(" + "|".join(re.escape(t) for t in specials) + ")")
        self._word_ids = lru_cache(maxsize=50_000)(self._pieces)

    @classmethod
    def from_folder(cls, folder: Path) -> Tokenizer:
        """Read vocabulary and settings from a model's folder. Raises OSError, KeyError and ValueError."""
        config = _read_json(folder / "tokenizer_config.json")
        sentence = _read_json(folder / "sentence_bert_config.json")
        model = _read_json(folder / "config.json")
        lower_case = bool(config.get("do_lower_case", True))
        accents = config.get("strip_accents")
        limits = (sentence.get("max_seq_length"), config.get("model_max_length"), model.get("max_position_embeddings"))
        return cls(
            _read_vocabulary(folder),
            lower_case=lower_case,
            strip_accents=lower_case if accents is None else bool(accents),  # null means: when lowering
            split_cjk=bool(config.get("tokenize_chinese_chars", True)),
            max_tokens=min(int(limit) for limit in limits if limit),
        )

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text, cut to the model's longest input."""
        room = self._max_tokens - 2
        ids: list[int] = []
        for word_ids in self._stream(text):
            ids.extend(word_ids)
            if len(ids) >= room:  # a book costs no more than its first page
                break
        return [self._first_id, *ids[:room], self._last_id]

    def _stream(self, text: str) -> Iterator[tuple[int, ...]]:
        for position, part in enumerate(self._specials.split(text)):
            if position % 2:
                yield (self._vocabulary[part],)
            else:
                for word in self._words(part):
                    yield self._word_ids(word)

    def _words(self, text: str) -> Iterator[str]:
        for chunk in self._normalise(text).split():
            word = ""
            for char in chunk:
                if _is_punctuation(char):
                    if word:
                        yield word
                    yield char
                    word = ""
                else:
                    word += char
            if word:
                yield word

    def _normalise(self, text: str) -> str:
        text = "".join(" " if c.isspace() else c for c in text if not _is_dropped(c))
        if self._split_cjk:
            text = "".join(f" {c} " if _is_cjk(c) else c for c in text)
        if self._strip_accents:
            text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
        if self._lower_case:
            text = "".join(c.lower() for c in text)  # char by char: "Σ".lower() at a word's end would differ
        return text

    def _pieces(self, word: str) -> tuple[int, ...]:
        if len(word) > MAX_WORD_CHARS:
            return (self._unknown_id,)
        ids, start = [], 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = word[start:end] if start == 0 else "##" + word[start:end]
                found = self._vocabulary.get(piece)
                if found is not None:
                    break
            else:
                return (self._unknown_id,)
            ids.append(found)
            start = end
        return tuple(ids)


def _read_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_bytes())) if path.is_file() else {}


def _read_vocabulary(folder: Path) -> dict[str, int]:
    path = folder / "vocab.txt"
    if path.is_file():
        return {line.rstrip("\n"): i for i, line in enumerate(path.read_text(encoding="utf-8").split("\n")) if line}
    return dict(_read_json(folder / "tokenizer.json")["model"]["vocab"])
