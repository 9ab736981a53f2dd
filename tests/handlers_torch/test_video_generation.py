"""Video generation on Wan's own classes with random weights."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import imageio_ffmpeg  # type: ignore[import-not-found, unused-ignore]
import pytest


@pytest.fixture(scope="module")
def camera(tiny_wan: Path, loaded: Any) -> Any:
    """The loaded handler."""
    return loaded("video_generation", tiny_wan, steps=2, width=64, height=64, frames=5, max_frames=9)


def test_films_with_wan(camera: Any, answered: Any, tmp_path: Path) -> None:
    """The mp4 holds the frames, the size and the rate that the answer tells."""
    answer = answered(camera, prompt="a cat", seed=1, width=64, height=96, fps=8)
    assert (answer["frames"], answer["fps"], answer["width"], answer["height"], answer["seed"]) == (5, 8, 64, 96, 1)
    assert answer["video"]["media_type"] == "video/mp4"
    path = tmp_path / "video.mp4"
    path.write_bytes(base64.b64decode(answer["video"]["base64"]))
    reader = imageio_ffmpeg.read_frames(str(path))
    meta = next(reader)
    assert meta["size"] == (64, 96)
    assert meta["fps"] == 8
    assert meta["codec"] == "h264"
    assert len(list(reader)) == 5


def test_the_seed_repeats_the_video(camera: Any, answered: Any) -> None:
    """The same seed gives the same bytes, another seed others."""
    videos = [answered(camera, prompt="a cat", seed=seed)["video"]["base64"] for seed in (1, 1, 2)]
    assert videos[0] == videos[1] != videos[2]


def test_frames_are_bounded(camera: Any, answered: Any) -> None:
    """More frames than the recipe allows are refused, with the number."""
    assert answered(camera, prompt="x", frames=17)["error"] == "input_invalid: frames: at most 9 (found 17)"


def test_an_image_pipeline_takes_no_frames(tiny_diffusion: Path, loaded: Any, answered: Any) -> None:
    """A pipeline that is no video pipeline is told apart by what it takes."""
    handler = loaded("video_generation", tiny_diffusion, steps=1, width=64, height=64, frames=1)
    error = answered(handler, prompt="x")["error"]
    assert error == "input_invalid: num_frames: StableDiffusionPipeline does not take it; leave it out"
