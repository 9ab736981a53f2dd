"""`image_generation`: text to images with any text-to-image pipeline of diffusers."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from worker_runtime.errors import InputInvalid
from worker_runtime.handlers.diffusion import SEEDS, DiffusionInput, DiffusionOptions, Pipeline

REQUIRES = ("torch", "diffusers", "PIL")


class Options(DiffusionOptions):
    """`max_images` bounds one job."""

    max_images: int = Field(4, ge=1, le=64)


class ImageGenerationInput(DiffusionInput):
    """Image n of a job uses seed + n."""

    count: int = Field(1, ge=1)
    format: Literal["png", "jpeg", "webp"] = "png"


class Handler:
    """Loads the pipeline once; each job gives `{"images": [{"base64", "media_type", "seed", "width", "height"}]}`."""

    Input = ImageGenerationInput

    def __init__(self, options: dict[str, Any], dtypes: Mapping[str, str | None]) -> None:
        self._options = Options.model_validate(options)
        self._pipeline = Pipeline(self._options, dtypes)

    def load(self, model_dir: Path) -> None:
        """Read the pipeline onto the device."""
        self._pipeline.load(model_dir)

    def __call__(self, inputs: ImageGenerationInput) -> dict[str, Any]:
        """Make the images one after the other, so that their number costs no memory."""
        if inputs.count > self._options.max_images:
            raise InputInvalid(f"count: at most {self._options.max_images} (found {inputs.count})")
        first = self._pipeline.seed(inputs)
        images = []
        for seed in ((first + n) % SEEDS for n in range(inputs.count)):
            image = self._pipeline.run(inputs, seed).images[0]
            images.append(
                {
                    "base64": _encode(image, inputs.format),
                    "media_type": f"image/{inputs.format}",
                    "seed": seed,
                    "width": image.width,
                    "height": image.height,
                }
            )
        return {"images": images}


def _encode(image: Any, image_format: str) -> str:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, format=image_format.upper())
    return base64.b64encode(buffer.getvalue()).decode()
