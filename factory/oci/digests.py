"""What a blob, a file or a manifest is known by."""

from __future__ import annotations

import hashlib


def digest_of(content: bytes) -> str:
    """Return the digest as registries write it: `sha256:<hex>`."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
