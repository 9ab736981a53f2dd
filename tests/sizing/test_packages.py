"""The table of weights: names are normalised, the unknown is counted as such."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.recipe.model import Recipe
from factory.sizing.image import estimate
from factory.sizing.packages import base_weight, debian_weight, python_name, python_weight


def recipe(**image: Any) -> Recipe:
    """Return a recipe with this image block."""
    return Recipe.model_validate({"name": "demo", "image": {"repository": "a/b"} | image, "handler": {"name": "echo"}})


@pytest.mark.parametrize(
    ("requirement", "name"),
    [
        ("Torch==2.13.0", "torch"),
        ("opencv_python.headless >= 4", "opencv-python-headless"),
        ("uvicorn[standard]==0.4 ; python_version > '3'", "uvicorn"),
        ("demo @ https://example.org/demo.whl", "demo"),
        ("https://example.org/demo.whl", "https"),
    ],
)
def test_requirements_have_one_name(requirement: str, name: str) -> None:
    """Case, extras, versions and separators don't matter."""
    assert python_name(requirement) == name


def test_known_and_unknown_are_told_apart() -> None:
    """The table's entries say so, everything else has a default."""
    assert python_weight("numpy==2.4.6")[1]
    assert not python_weight("left-pad==1.0")[1]
    assert debian_weight("ffmpeg=7:5.1.6-0+deb12u1")[1]
    assert not debian_weight("cowsay")[1]
    assert base_weight("docker.io/nvidia/cuda:12.8.1-cudnn-runtime-ubuntu22.04@sha256:00")[1]
    assert not base_weight("example.org/own/image:1")[1]


@pytest.mark.parametrize("base", ["python:3.11-slim-bookworm", "nvidia/cuda:12.8.1-devel-ubuntu22.04", "own/x:1"])
def test_every_base_unpacks_to_more(base: str) -> None:
    """Unpacked is never less than compressed."""
    weight, _ = base_weight(base)
    assert weight.unpacked_bytes > weight.compressed_bytes


def test_a_torch_user_brings_torch() -> None:
    """sentence-transformers without a torch line weighs as with one; pip's own options weigh nothing."""
    implied = estimate(recipe(pip=["sentence-transformers==6.2.0", "--extra-index-url https://example.org"])).image
    named = estimate(recipe(pip=["sentence-transformers==6.2.0", "torch==2.13.0"])).image
    assert implied == named
    assert implied.compressed_bytes > 2_500_000_000


@given(st.lists(st.sampled_from(["torch==1", "numpy==1", "x==1", "accelerate==1"]), max_size=6), st.integers(0, 5))
def test_one_package_more_never_weighs_less(pip: list[str], at: int) -> None:
    """The sum grows with every part."""
    fewer = estimate(recipe(pip=pip[:at])).image
    more = estimate(recipe(pip=pip)).image
    assert more.compressed_bytes >= fewer.compressed_bytes
    assert more.unpacked_bytes >= fewer.unpacked_bytes
