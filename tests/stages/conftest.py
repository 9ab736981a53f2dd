"""Recipes and models for the tests of the pure stages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Literal

import pytest

from factory.recipe.model import Recipe
from factory.records import ModelFile, ModelFiles

# Wan-AI/Wan2.1-T2V-14B as the Hub lists it (gathered 2026-11-23), without README, LICENSE, assets/ and examples/.
WAN = {
    "diffusion_pytorch_model-00001-of-00006.safetensors": 9_887_603_256,
    "diffusion_pytorch_model-00002-of-00006.safetensors": 9_839_059_648,
    "diffusion_pytorch_model-00003-of-00006.safetensors": 9_839_059_744,
    "diffusion_pytorch_model-00004-of-00006.safetensors": 9_839_059_744,
    "diffusion_pytorch_model-00005-of-00006.safetensors": 9_839_059_744,
    "diffusion_pytorch_model-00006-of-00006.safetensors": 7_910_235_256,
    "diffusion_pytorch_model.safetensors.index.json": 96_805,
    "config.json": 250,
    "models_t5_umt5-xxl-enc-bf16.pth": 11_361_920_418,
    "Wan2.1_VAE.pth": 507_609_880,
    "google/umt5-xxl/spiece.model": 4_548_313,
    "google/umt5-xxl/tokenizer.json": 16_837_417,
    "google/umt5-xxl/tokenizer_config.json": 61_728,
    "google/umt5-xxl/special_tokens_map.json": 6_623,
}
Placement = Literal["volume", "image", "disk", "cached"]
MakeRecipe = Callable[..., Recipe]
MakeModel = Callable[..., ModelFiles]


def recipe_of(**blocks: Any) -> Recipe:
    """Return a small valid recipe with these blocks replaced."""
    plain = {"name": "demo", "image": {"repository": "factory/demo"}, "handler": {"name": "echo"}}
    return Recipe.model_validate(plain | blocks)


def model_of(
    files: Mapping[str, int],
    *,
    repo: str = "org/demo",
    placement: Placement = "volume",
    load_dtype: str | None = None,
    parameters: Mapping[str, int] | None = None,
) -> ModelFiles:
    """Return the files of a model; content differs by repository, path and size."""
    return ModelFiles(
        repo=repo,
        key=repo.rsplit("/", 1)[1].lower(),
        revision="main",
        commit="0" * 40,
        files=tuple(
            ModelFile(path, size, "sha256:" + hashlib.sha256(f"{repo}/{path}/{size}".encode()).hexdigest())
            for path, size in files.items()
        ),
        placement=placement,
        repo_bytes=sum(files.values()),
        load_dtype=load_dtype,
        parameters=parameters or {},
        parameters_source="header" if parameters else "file sizes",
    )


@pytest.fixture
def make_recipe() -> MakeRecipe:
    """Return the maker of small recipes."""
    return recipe_of


@pytest.fixture
def make_model() -> MakeModel:
    """Return the maker of models."""
    return model_of


@pytest.fixture
def wan() -> ModelFiles:
    """Return Wan2.1-T2V-14B on the volume, loaded as bf16."""
    return model_of(WAN, repo="Wan-AI/Wan2.1-T2V-14B", load_dtype="bf16", parameters={"F32": 14_288_491_584})
