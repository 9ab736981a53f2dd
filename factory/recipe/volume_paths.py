"""Where weights and caches lie: the volume is /runpod-volume on serverless workers, and nowhere else."""

from __future__ import annotations

import re

VOLUME = "/runpod-volume"
# Where libraries keep what they download.
CACHES = frozenset({"HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE", "XDG_CACHE_HOME"})
# Pods mount their volume at /workspace, serverless workers theirs at /runpod-volume, without a setting
# (docs.runpod.io, read 2026-11-23).
_WORKSPACE = re.compile(r"(?<![\w./-])/workspace(?=/|\b(?![\w-]))")


def names_workspace(text: str) -> bool:
    """Does the text name /workspace, which only pods have?"""
    return bool(_WORKSPACE.search(text))


def on_volume(text: str) -> str:
    """Return the text with /workspace replaced by what serverless workers have."""
    return _WORKSPACE.sub(VOLUME, text)


def is_off_volume(name: str, value: str) -> bool:
    """Is this variable a cache's place, and not on the volume?"""
    return name in CACHES and not f"{value}/".startswith(f"{VOLUME}/")
