"""`video_generation`: text to an mp4 with any text-to-video pipeline of diffusers, Wan among them."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from worker_runtime.errors import InputInvalid
from worker_runtime.handlers.diffusion import DiffusionInput, DiffusionOptions, Pipeline

REQUIRES = ("torch", "diffusers", "imageio_ffmpeg")


class Options(DiffusionOptions):
    """Defaults of the inputs, and the most frames of one job."""

    frames: int | None = Field(None, ge=1)
    fps: int = Field(16, ge=1, le=120)
    max_frames: int = Field(257, ge=1)


class VideoGenerationInput(DiffusionInput):
    """Wan makes 4n + 1 frames."""

    frames: int | None = Field(None, ge=1)
    fps: int | None = Field(None, ge=1, le=120)


class Handler:
    """Loads the pipeline once; each job gives `{"video": {"base64", "media_type"}, "frames", "fps", …, "seed"}`."""

    Input = VideoGenerationInput

    def __init__(self, options: dict[str, Any], dtypes: Mapping[str, str | None]) -> None:
        self._options = Options.model_validate(options)
        self._pipeline = Pipeline(self._options, dtypes)

    def load(self, model_dir: Path) -> None:
        """Read the pipeline onto the device."""
        self._pipeline.load(model_dir)

    def __call__(self, inputs: VideoGenerationInput) -> dict[str, Any]:
        """Make the frames, then the mp4 (H.264)."""
        wanted = inputs.frames or self._options.frames
        if wanted is not None and wanted > self._options.max_frames:
            raise InputInvalid(f"frames: at most {self._options.max_frames} (found {wanted})")
        seed = self._pipeline.seed(inputs)
        fps = inputs.fps or self._options.fps
        frames = self._pipeline.run(inputs, seed, num_frames=wanted, output_type="pil").frames[0]
        video = _encode(frames, fps)
        return {
            "video": {"base64": base64.b64encode(video).decode(), "media_type": "video/mp4"},
            "frames": len(frames),
            "fps": fps,
            "width": frames[0].width,
            "height": frames[0].height,
            "seed": seed,
        }


def _encode(frames: Sequence[Any], fps: int) -> bytes:
    import imageio_ffmpeg  # type: ignore[import-not-found, unused-ignore]

    with tempfile.TemporaryDirectory(prefix="video-") as folder:
        path = Path(folder) / "video.mp4"
        # Sides are multiples of 8, so ffmpeg needn't pad; yuv420p is what every player shows.
        writer = imageio_ffmpeg.write_frames(
            str(path), frames[0].size, fps=fps, codec="libx264", pix_fmt_out="yuv420p", macro_block_size=2,
            ffmpeg_log_level="error", output_params=["-movflags", "+faststart"],
        )  # fmt: skip
        writer.send(None)
        for frame in frames:
            writer.send(frame.convert("RGB").tobytes())
        writer.close()
        return path.read_bytes()
