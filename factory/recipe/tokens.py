"""Texts that look like somebody's token. What is found is named by kind, and never shown beyond three characters."""

from __future__ import annotations

import math
import re
from collections import Counter

# The prefixes that each issuer documents for its tokens, read 2026-11-23.
_KINDS = {
    "a Hugging Face token": r"hf_[A-Za-z0-9]{16,}",
    "a RunPod API key": r"rpa_[A-Za-z0-9]{16,}",
    "a RunPod S3 key": r"(?:rps|user)_[A-Za-z0-9]{20,}",
    "an API key": r"sk-[A-Za-z0-9_-]{16,}",
    "a GitHub token": r"(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{20,})",
    "a GitLab token": r"glpat-[A-Za-z0-9_-]{16,}",
    "a Docker Hub token": r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{16,}",
    "an AWS access key": r"(?:AKIA|ASIA)[A-Z0-9]{16}",
    "a Google API key": r"AIza[A-Za-z0-9_-]{30,}",
    "a Slack token": r"xox[abprs]-[A-Za-z0-9-]{10,}",
    "a PyPI token": r"pypi-[A-Za-z0-9_-]{16,}",
    "a JSON web token": r"eyJ[A-Za-z0-9_-]{8,500}\.eyJ[A-Za-z0-9_-]{8,2000}\.[A-Za-z0-9_-]+",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "credentials in a URL": r"[a-z][a-z0-9+.-]{0,20}://[^\s/@:]+:[^\s/@]+@",
}
_TOKEN = re.compile("|".join(f"(?<![A-Za-z0-9])(?P<k{i}>{pattern})" for i, pattern in enumerate(_KINDS.values())))
_KIND_NAMES = tuple(_KINDS)
_WORD = re.compile(r"[A-Za-z0-9]{24,}")
_CHANGE = re.compile(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[A-Z])(?=[a-z0-9])|(?<=[0-9])(?=[A-Za-z])")
_HEX = re.compile(r"[0-9a-fA-F]+")
_SECRET_WORDS = frozenset(
    {"TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "APIKEY", "CREDENTIAL", "CREDENTIALS"}
)
NO_SECRETS = frozenset({"", "0", "1", "true", "false", "yes", "no", "none"})
_SECRET_ENDS = ("API_KEY", "ACCESS_KEY", "SECRET_KEY", "PRIVATE_KEY", "ACCOUNT_KEY")


def token_in(text: str) -> tuple[str, str] | None:
    """Return the kind of the first token in the text by its prefix, and its first three characters; or None."""
    found = _TOKEN.search(text)
    return (_KIND_NAMES[int(found.lastgroup[1:])], found[0][:3]) if found and found.lastgroup else None


def looks_random(text: str) -> bool:
    """Does the text hold a run of 24 or more letters and digits that no person would have chosen?

    24 random ones have about 4.2 bits a character and change between capitals, small letters and digits at six of ten
    places. Words, CamelCase, paths and hexadecimal digests (which recipes hold for good reasons) do not.
    """
    return any(
        not _HEX.fullmatch(word)
        and _bits(word) >= 3.9
        and len(re.findall(r"[0-9]", word)) >= 3
        and len(_CHANGE.findall(word)) >= 0.45 * len(word)
        for word in _WORD.findall(text)
    )


def is_secret_name(name: str) -> bool:
    """Is a variable named like something secret (`HF_TOKEN`, `AWS_SECRET_ACCESS_KEY`)?"""
    upper = name.upper()
    return bool(_SECRET_WORDS & set(upper.split("_"))) or upper.endswith(_SECRET_ENDS)


def secret_in(name: str, value: str) -> str | None:
    """Return what secret a variable holds in plain sight, by kind and never its value; None for none, or a reference.

    A text that only its name gives away must look like a secret's value too: `MAX_TOKEN=4096` is none.
    """
    if "RUNPOD_SECRET_" in value:
        return None
    if kind := token_in(value):
        return kind[0]
    if looks_random(value):
        return "what looks like a key or token"
    if is_secret_name(name) and value.strip().lower() not in NO_SECRETS and not value.strip().isdecimal():
        return "the value of something that is named like a secret"
    return None


def redacted(text: str) -> str:
    """Return the text with each token cut to its first three characters."""
    return _TOKEN.sub(lambda found: f"{found[0][:3]}…", text)


def _bits(text: str) -> float:
    counts = Counter(text).values()
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts)
