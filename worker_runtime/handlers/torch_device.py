"""Where a torch model runs and in which type: the recipe's options, else what the machine has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from worker_runtime.errors import OptionsInvalid

Dtype = Literal["fp32", "bf16", "fp16"]
NAMES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


class TorchOptions(BaseModel):
    """Options that every torch handler has. `dtype` None: the model's in the recipe, else as stored."""

    model_config = ConfigDict(extra="forbid")

    dtype: Dtype | None = None
    device: Literal["cuda", "cpu", "auto"] | None = None


def check_dtype(options: TorchOptions, dtypes: Mapping[str, str | None]) -> Dtype | None:
    """Return the type to load the first model in. Raises OptionsInvalid for one that needs quantised weights."""
    if options.dtype is not None:
        return options.dtype
    wanted = next(iter(dtypes.values()), None)
    match wanted:
        case None | "fp32" | "bf16" | "fp16":
            return wanted
    raise OptionsInvalid(
        f"the recipe loads the model as {wanted}, and this handler as fp32, bf16 or fp16",
        fix="choose another dtype, or write a handler file that quantises",
    )


def torch_dtype(dtype: Dtype | None) -> Any:
    """Return torch's type; "auto", as stored, for None."""
    import torch

    return "auto" if dtype is None else getattr(torch, NAMES[dtype])


def torch_device(options: TorchOptions) -> str:
    """Return `cuda` or `cpu`: what the options say, else a GPU where there is one."""
    import torch

    if options.device in ("cuda", "cpu"):
        return options.device
    return "cuda" if torch.cuda.is_available() else "cpu"
