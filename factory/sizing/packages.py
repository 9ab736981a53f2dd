"""What packages weigh, for an image that does not exist yet. A dated table, and a default for the rest.

Compressed sizes of Python packages are the sums of their Linux wheels with what they bring along beyond the runtime
and torch, resolved from PyPI for Python 3.11 on 2026-11-24. Debian packages: the archive's own figures for bookworm
(`apt-get install --no-install-recommends`, download and installed size), same day. Base images could not be measured
from where this was written: the figures are the usual ones of their tags, to about 20 %.

Unpacked sizes of Python packages are compressed times the ratio of their kind, byte code included: 1.55 for CUDA
libraries, 3.6 for the rest (measured 2026-11-23 on built images). Real images differ from such a sum by about a third.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MB = 1_000_000


class Weight(NamedTuple):
    """Bytes as a registry holds them, and as a disk does."""

    compressed_bytes: int
    unpacked_bytes: int


def _mb(compressed: float, unpacked: float) -> Weight:
    return Weight(round(compressed * MB), round(unpacked * MB))


def _pure(compressed: float) -> Weight:
    return _mb(compressed, compressed * 3.6)


def _cuda(compressed: float) -> Weight:
    return _mb(compressed, compressed * 1.55)


# The first pattern that matches the whole reference (without registry) wins.
BASES: tuple[tuple[str, Weight], ...] = (
    (r"(library/)?python:.*alpine.*", _mb(18, 55)),
    (r"(library/)?python:.*slim.*", _mb(45, 130)),
    (r"(library/)?python(:.*)?", _mb(370, 1020)),
    (r"(library/)?debian:.*slim.*", _mb(30, 75)),
    (r"(library/)?(debian|ubuntu)(:.*)?", _mb(45, 120)),
    (r"nvidia/cuda:.*-cudnn-devel-.*", _mb(5200, 9400)),
    (r"nvidia/cuda:.*-devel-.*", _mb(3800, 7000)),
    (r"nvidia/cuda:.*-cudnn-runtime-.*", _mb(2000, 3600)),
    (r"nvidia/cuda:.*-runtime-.*", _mb(1300, 2400)),
    (r"nvidia/cuda:.*-base-.*", _mb(120, 280)),
    (r"pytorch/pytorch:.*-devel", _mb(8000, 16000)),
    (r"pytorch/pytorch(:.*)?", _mb(3900, 7600)),
    (r"runpod/.*", _mb(5500, 11000)),
)
BASE_DEFAULT = _mb(400, 1000)

# runpod 1.12.0, huggingface_hub and pydantic with all they bring, and the virtual environment's own pip.
RUNTIME = _mb(43, 240)

PYTHON: dict[str, Weight] = {
    "torch": _cuda(2730),  # 2.13.0 with the CUDA 13.0 libraries and triton, PyPI's default wheels
    "torchvision": _pure(12),
    "torchaudio": _pure(4),
    "transformers": _pure(20),
    "diffusers": _pure(12),
    "accelerate": _pure(1),
    "numpy": _pure(18),
    "scipy": _pure(54),
    "pandas": _pure(14),
    "pillow": _pure(7),
    "safetensors": _pure(1),
    "tokenizers": _pure(4),
    "sentencepiece": _pure(2),
    "protobuf": _pure(1),
    "einops": _pure(0.1),
    "ftfy": _pure(0.2),
    "easydict": _pure(0.1),
    "dashscope": _pure(7),
    "imageio": _pure(1),
    "imageio-ffmpeg": _mb(68, 95),
    "opencv-python": _mb(68, 180),
    "opencv-python-headless": _mb(50, 140),
    "cupy-cuda12x": _cuda(113),
    "bitsandbytes": _cuda(43),
    "flash-attn": _cuda(255),
    "vllm": _cuda(900),
    "xformers": _cuda(115),
    "onnxruntime": _pure(28),
    "onnxruntime-gpu": _cuda(300),
    "faster-whisper": _pure(111),
    "librosa": _pure(111),
    "sentence-transformers": _pure(66),
    "controlnet-aux": _pure(116),
    "modelscope": _pure(6),
    "lightning": _pure(3),
    "gradio": _pure(58),
}
PYTHON_DEFAULT = _pure(10)

DEBIAN: dict[str, Weight] = {
    "ffmpeg": _mb(63, 265),
    "git": _mb(10, 51),
    "build-essential": _mb(67, 266),
    "libgl1": _mb(43, 187),
    "libglib2.0-0": _mb(2, 6),
    "libsndfile1": _mb(2, 6),
    "espeak-ng": _mb(2, 6),
}
DEBIAN_DEFAULT = _mb(10, 35)
GIT_DEFAULT = _mb(50, 60)

# They bring torch along when the recipe does not name it.
TORCH_USERS = frozenset(
    {
        "accelerate",
        "bitsandbytes",
        "controlnet-aux",
        "flash-attn",
        "lightning",
        "sentence-transformers",
        "torchaudio",
        "torchvision",
        "vllm",
        "xformers",
    }
)


def base_weight(reference: str) -> tuple[Weight, bool]:
    """Return the weight of a base image, and whether the table knows it."""
    name = reference.split("@", 1)[0].removeprefix("docker.io/")
    for pattern, weight in BASES:
        if re.fullmatch(pattern, name):
            return weight, True
    return BASE_DEFAULT, False


def python_name(requirement: str) -> str:
    """Return a requirement's normalised name: `Torch[extra]==2.1; x` gives `torch`. A URL gives its last part."""
    match = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", requirement)
    return re.sub(r"[-_.]+", "-", match.group(1)).lower() if match else requirement.strip()


def python_weight(requirement: str) -> tuple[Weight, bool]:
    """Return the weight of a Python requirement with what it brings along, and whether the table knows it."""
    name = python_name(requirement)
    return (PYTHON[name], True) if name in PYTHON else (PYTHON_DEFAULT, False)


def debian_weight(package: str) -> tuple[Weight, bool]:
    """Return the weight of a Debian package with what it brings along, and whether the table knows it."""
    name = re.split(r"[=:/]", package, maxsplit=1)[0]
    return (DEBIAN[name], True) if name in DEBIAN else (DEBIAN_DEFAULT, False)
