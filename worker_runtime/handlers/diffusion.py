"""What `image_generation` and `video_generation` share: a diffusers pipeline and its arguments."""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from worker_runtime.errors import InputInvalid
from worker_runtime.handlers.torch_device import TorchOptions, check_dtype, torch_device, torch_dtype

Side = Annotated[int, Field(ge=64, le=4096, multiple_of=8)]
Steps = Annotated[int, Field(ge=1, le=200)]
Guidance = Annotated[float, Field(ge=0, le=30)]
SEEDS = 2**32


class DiffusionOptions(TorchOptions):
    """docs/worker.md explains each."""

    offload: bool = False
    variant: str | None = None
    steps: Steps | None = None
    guidance_scale: Guidance | None = None
    width: Side | None = None
    height: Side | None = None
    max_pixels: int = Field(4_194_304, ge=4096)


class DiffusionInput(BaseModel):
    """What every pipeline is asked."""

    model_config = ConfigDict(extra="forbid", strict=True)

    prompt: str = Field(min_length=1)
    negative_prompt: str | None = Field(None, description="What to keep away from, where the pipeline takes one.")
    width: Side | None = Field(None, description="Pixels, a multiple of 8.")
    height: Side | None = Field(None, description="Pixels, a multiple of 8.")
    steps: Steps | None = None
    guidance_scale: Guidance | None = None
    seed: int | None = Field(None, ge=0, lt=SEEDS, description="Random, and told, when absent.")


class Pipeline:
    """A diffusers pipeline on its device."""

    def __init__(self, options: DiffusionOptions, dtypes: Mapping[str, str | None]) -> None:
        self._options = options
        self._dtype = check_dtype(options, dtypes)

    def load(self, model_dir: Path) -> None:
        """Read all components; without a GPU `offload` means nothing, since they are in RAM anyhow."""
        from diffusers import DiffusionPipeline

        typed = {} if self._dtype is None else {"torch_dtype": torch_dtype(self._dtype)}
        placed = {"device_map": "balanced"} if self._options.device == "auto" else {}
        pipeline = DiffusionPipeline.from_pretrained(
            str(model_dir), local_files_only=True, variant=self._options.variant, **typed, **placed
        )
        device = torch_device(self._options)
        if self._options.offload and device == "cuda":
            pipeline.enable_model_cpu_offload()
        elif not placed:
            pipeline.to(device)
        pipeline.set_progress_bar_config(disable=True)
        self._pipeline = pipeline
        self._takes = inspect.signature(pipeline.__call__).parameters

    def seed(self, inputs: DiffusionInput) -> int:
        """Return the job's seed, or a random one."""
        return secrets.randbelow(SEEDS) if inputs.seed is None else inputs.seed

    def run(self, inputs: DiffusionInput, seed: int, **more: Any) -> Any:
        """Run the pipeline once. Raises InputInvalid for what this pipeline doesn't take, or too many pixels."""
        import torch

        asked = {
            "negative_prompt": inputs.negative_prompt,
            "width": inputs.width or self._options.width,
            "height": inputs.height or self._options.height,
            "num_inference_steps": inputs.steps or self._options.steps,
            "guidance_scale": self._options.guidance_scale if inputs.guidance_scale is None else inputs.guidance_scale,
            **more,
        }
        asked = {name: value for name, value in asked.items() if value is not None}
        pixels = asked.get("width", 1) * asked.get("height", 1)
        if pixels > self._options.max_pixels:
            raise InputInvalid(f"width, height: at most {self._options.max_pixels} pixels (found {pixels})")
        for name in asked:
            if name not in self._takes:
                raise InputInvalid(f"{name}: {type(self._pipeline).__name__} does not take it", fix="leave it out")
        generator = torch.Generator("cpu").manual_seed(seed % SEEDS)  # the CPU's: the same picture on every GPU
        with torch.inference_mode():
            return self._pipeline(prompt=inputs.prompt, generator=generator, **asked)
