"""Digests as the Hub gives them: `sha256:<hex>` of an LFS file's content, `git-sha1:<hex>` of any other's git blob."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from worker_runtime.recipe import WeightFile

CHUNK_BYTES = 4 << 20
THREADS = 4  # hashlib releases the GIL


def is_right(path: Path, file: WeightFile) -> bool:
    """Whether the content of `path` has the file's digest. Raises OSError."""
    kind, _, expected = file.digest.partition(":")
    if kind == "sha256":
        state = hashlib.sha256()
    else:
        state = hashlib.sha1(usedforsecurity=False)
        state.update(b"blob %d\0" % path.stat().st_size)  # git hashes a header before the content
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            state.update(chunk)
    return state.hexdigest() == expected


def wrong(folder: Path, files: list[WeightFile]) -> list[WeightFile]:
    """Return those of the files under `folder` whose content is not what the recipe says."""
    with ThreadPoolExecutor(THREADS) as pool:
        verdicts = pool.map(lambda file: is_right(folder / file.path, file), files)
        return [file for file, right in zip(files, verdicts, strict=True) if not right]
