"""Tensors and PIL images in an output."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
import torch
from PIL import Image

from worker_runtime.errors import OutputUnserialisable
from worker_runtime.outputs import JobOutputs, OutputRules
from worker_runtime.values import LIST_ELEMENTS


def finish(value: Any) -> Any:
    """Return what would be posted for an output."""
    return JobOutputs({"id": "j"}, OutputRules()).finish(value)


@pytest.mark.parametrize(
    ("tensor", "plain"),
    [
        (torch.tensor(3), 3),
        (torch.tensor([1.5, 2.0]), [1.5, 2.0]),
        (torch.tensor([1, 2], dtype=torch.bfloat16), [1.0, 2.0]),
        (torch.tensor([1.0], dtype=torch.float8_e4m3fn), [1.0]),
        (torch.tensor([[True], [False]]), [[True], [False]]),
        (torch.nn.Parameter(torch.ones(2)), [1.0, 1.0]),
        (torch.eye(2).to_sparse(), [[1.0, 0.0], [0.0, 1.0]]),
        (torch.zeros(0), []),
    ],
)
def test_tensors_become_lists(tensor: torch.Tensor, plain: object) -> None:
    """A tensor of any kind is a nested list, one without dimensions a number."""
    assert finish({"x": tensor}) == {"x": plain}


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        (torch.tensor([[1.0, float("nan")]]), r"output\.x\.0\.1 is nan"),
        (torch.tensor([1j]), r"output\.x\.0 is of type builtins\.complex"),
        (torch.ones(2, device="meta"), r"output\.x is a tensor that can't be a list"),
        (torch.float32, r"output\.x is of type torch\.dtype"),
    ],
)
def test_tensors_that_are_refused(tensor: object, says: str) -> None:
    """What a tensor holds that JSON can't is an error with its place."""
    with pytest.raises(OutputUnserialisable, match=says):
        finish({"x": tensor})


def test_a_large_tensor_becomes_a_file() -> None:
    """A tensor that is too long for a list is an .npy file, bfloat16 as the float32 that holds it exactly."""
    import numpy as np

    tensor = torch.arange(LIST_ELEMENTS + 1, dtype=torch.bfloat16)
    file = finish({"latents": tensor})["latents"]
    assert file["name"] == "latents.npy"
    assert (np.load(io.BytesIO(base64.b64decode(file["base64"]))) == tensor.float().numpy()).all()


def test_an_image_becomes_a_png() -> None:
    """A PIL image is a PNG file, named after its place."""
    (file,) = finish({"images": [Image.new("RGB", (4, 3), (1, 2, 3))]})["images"]
    assert (file["name"], file["content_type"]) == ("images-0.png", "image/png")
    assert Image.open(io.BytesIO(base64.b64decode(file["base64"]))).getpixel((0, 0)) == (1, 2, 3)
