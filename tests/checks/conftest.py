"""Recipes and models for the checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import pytest

from factory.recipe import RecipeFile, loads
from factory.records import ModelFile, ModelFiles

BLOCKS = {
    "name": "name: demo\n",
    "model": "model: {repo: acme/model, revision: 0123456789abcdef0123456789abcdef01234567}\n",
    "image": "image: {repository: acme/demo}\n",
    "handler": "handler: my_handler.py\n",
    "tests": "tests: [{input: {a: 1}, expect: {b: 2}}]\n",
}

MakeRecipe = Callable[[str], RecipeFile]
MakeModel = Callable[..., ModelFiles]


@pytest.fixture
def recipe() -> MakeRecipe:
    """Return a function that completes a recipe, clean by itself, around the blocks of the text."""

    def make(text: str) -> RecipeFile:
        written = {line.split(":")[0].replace("models", "model") for line in text.splitlines()}
        rest = "".join(line for key, line in BLOCKS.items() if key not in written)
        return loads(text.rstrip("\n") + "\n" + rest if text else rest, Path("r.yaml"))

    return make


@pytest.fixture
def model() -> MakeModel:
    """Return a function that makes the files of a model from paths and sizes (bytes)."""

    def make(
        files: Mapping[str, int],
        *,
        gated: Literal["no", "auto", "manual"] = "no",
        placement: Literal["volume", "image", "disk", "cached"] = "volume",
        load_dtype: str | None = None,
    ) -> ModelFiles:
        return ModelFiles(
            repo="acme/model",
            key="model",
            revision="main",
            commit="0" * 40,
            files=tuple(ModelFile(path, size, f"sha256:{path}") for path, size in files.items()),
            placement=placement,
            repo_bytes=sum(files.values()),
            gated=gated,
            load_dtype=load_dtype,
        )

    return make
