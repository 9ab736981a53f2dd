"""How numbers and errors are written for people: decimal units, as on RunPod's bill and on the Hub's pages."""

from __future__ import annotations

import json
import re


def size_text(size_bytes: float) -> str:
    """Return `69.0 GB`, `91.6 MB`, `12.3 kB` or `812 B`."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= factor * 0.9995:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes:.0f} B"


def seconds_text(seconds: float) -> str:
    """Return `0.4 s`, `12 s` or `3 min 20 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def count_text(number: int, noun: str) -> str:
    """Return `1 file` or `2 files`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def money_text(usd: float) -> str:
    """Return `$4.90`, `$1,234` or `$0.00031`: two decimals, none from a thousand on, two digits below a cent."""
    if usd >= 1000:
        return f"${usd:,.0f}"
    if usd == 0 or usd >= 0.01:
        return f"${usd:.2f}"
    return f"${usd:.5f}"


def error_sentence(error: str | None) -> str:
    """Return a failed job's own sentence: RunPod's SDK 1.12.0 wraps an exception into JSON with its traceback."""
    if not error:
        return "no reason given"
    try:
        inner = json.loads(error)
    except ValueError:
        return error
    if not isinstance(inner, dict) or "error_message" not in inner:
        return error
    kind = re.search(r"(\w+)'?>?$", str(inner.get("error_type", "")))  # "<class 'package.Error'>"
    return f"{kind[1]}: {inner['error_message']}" if kind else str(inner["error_message"])
