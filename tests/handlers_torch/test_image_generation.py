"""Image generation on a tiny Stable Diffusion of random weights."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image


@pytest.fixture(scope="module")
def painter(tiny_diffusion: Path, loaded: Any) -> Any:
    """The loaded handler."""
    return loaded("image_generation", tiny_diffusion, steps=2, width=64, height=64, max_pixels=96 * 96)


def picture(image: dict[str, Any]) -> Image.Image:
    """Return the image that an answer holds."""
    return Image.open(io.BytesIO(base64.b64decode(image["base64"])))


def test_makes_a_picture_of_the_size_asked_for(painter: Any, answered: Any) -> None:
    """The picture is a PNG of the width and height that the answer tells."""
    image = answered(painter, prompt="a cat", width=96, height=64)["images"][0]
    found = picture(image)
    assert (found.format, found.size) == ("PNG", (96, 64))
    assert (image["width"], image["height"], image["media_type"]) == (96, 64, "image/png")


def test_the_seed_repeats_the_picture(painter: Any, answered: Any) -> None:
    """Image n of a job with a seed is the image of seed + n alone; a random seed is told."""
    both = answered(painter, prompt="a cat", seed=7, count=2)["images"]
    assert [image["seed"] for image in both] == [7, 8]
    assert both[0]["base64"] != both[1]["base64"]
    assert answered(painter, prompt="a cat", seed=8)["images"][0]["base64"] == both[1]["base64"]
    drawn = answered(painter, prompt="a cat")["images"][0]
    assert answered(painter, prompt="a cat", seed=drawn["seed"])["images"][0] == drawn


@pytest.mark.parametrize("name", ["jpeg", "webp"])
def test_other_formats(name: str, painter: Any, answered: Any) -> None:
    """JPEG and WebP are what they say."""
    image = answered(painter, prompt="a cat", format=name)["images"][0]
    assert picture(image).format == name.upper()
    assert image["media_type"] == f"image/{name}"


def test_prompts_and_guidance_matter(painter: Any, answered: Any) -> None:
    """Another prompt, negative prompt or guidance gives another picture."""
    asked: list[dict[str, Any]] = [
        {"prompt": "a cat"},
        {"prompt": "dogs"},
        {"prompt": "a cat", "negative_prompt": "dogs"},
        {"prompt": "a cat", "guidance_scale": 1.0},
    ]
    assert len({answered(painter, seed=1, **job)["images"][0]["base64"] for job in asked}) == len(asked)


@pytest.mark.parametrize(
    ("job_input", "says"),
    [
        ({"width": 65}, "width: Input should be a multiple of 8 (found 65)"),
        ({"width": 4096, "height": 4096}, "at most 9216 pixels (found 16777216)"),
        ({"count": 5}, "count: at most 4 (found 5)"),
        ({"steps": 0}, "steps: "),
        ({"prompt": ""}, "prompt: "),
        ({"prompt": 3}, "prompt: Input should be a valid string (found 3)"),
    ],
)
def test_input_that_cannot_work(job_input: dict[str, Any], says: str, painter: Any, answered: Any) -> None:
    """Each input that can't work is one sentence."""
    error = answered(painter, **{"prompt": "x", **job_input})["error"]
    assert error.startswith("input_invalid: ")
    assert says in error


def test_half_precision_and_offload_load(tiny_diffusion: Path, loaded: Any, answered: Any) -> None:
    """bfloat16 reaches every component, and offload without a GPU changes nothing."""
    handler = loaded("image_generation", tiny_diffusion, dtype="bf16", offload=True, steps=1, width=64, height=64)
    assert str(handler._pipeline._pipeline.unet.dtype) == "torch.bfloat16"
    assert answered(handler, prompt="a cat")["images"]
