"""Strikes secrets out of text that is meant for a log: tokens, presigned queries, credentials in URLs."""

from __future__ import annotations

import re
from collections.abc import Iterable

STRUCK = "***"
MIN_SECRET_CHARACTERS = 6  # what is shorter is a word of the language as well

# The whole query of a URL goes: which parameter signs it differs from one storage to the next.
_QUERY = re.compile(r"(\bhttps?://[^\s?#\"'<>]*)\?[^\s\"'<>]*", re.IGNORECASE)
_USER = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/?#\"'<>@]+@", re.IGNORECASE)
_TOKEN = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{8,}|rp[as]_[A-Za-z0-9]{8,}|gh[opsu]_[A-Za-z0-9]{8,}|(?:AKIA|ASIA)[A-Z0-9]{12,}"
    r"|eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)"  # a JSON web token
)
_SCHEME = re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]+", re.IGNORECASE)
# NAME=value, name: value, "name": "value" (also cut off, or as JSON in JSON), where the name says that it is secret.
# `max_new_tokens: 51` and `tokenizer: …` are of another kind.
_NAMED = re.compile(
    r"""(?P<name>[\w-]*(?:secret|token(?![a-z])|password|passwd|api_?key|signature|credential|access_?id|access_?key_?id)[\w-]*
        \\*["']?\s*[=:]\s*)
        (?P<quote>\\*["'])?
        (?(quote)(?:(?!(?P=quote)).)*(?P=quote)?|[^\s,;&"'}\])]+)""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return `text` without what looks like a secret, and without the `secrets` that are known."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= MIN_SECRET_CHARACTERS:
            text = text.replace(secret, STRUCK)
    text = _QUERY.sub(rf"\1?{STRUCK}", text)
    text = _USER.sub(rf"\1{STRUCK}@", text)
    text = _TOKEN.sub(STRUCK, text)
    text = _SCHEME.sub(rf"\1 {STRUCK}", text)
    return _NAMED.sub(_strike_value, text)


def _strike_value(found: re.Match[str]) -> str:
    quote = found["quote"] or ""
    return f"{found['name']}{quote}{STRUCK}{quote}"
