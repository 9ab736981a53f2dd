"""MoCha: replaces a character in a video by the one of a reference picture (github.com/Orange-3DV-Team/MoCha).

The repository's own script reads the weights for each run and has their paths written into it; here they are loaded
once. Of Wan2.1-T2V-14B only the text encoder, the VAE and the tokenizer are needed: MoCha's checkpoint holds the whole
transformer, of the same shape as Wan's.
"""

from __future__ import annotations

import base64
import csv
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

SOURCE = "/opt/src/MoCha"
CHECKPOINT = "preview/step18500.ckpt"

# Wan2.1-T2V-14B's transformer: 14,288,491,584 parameters in this shape (counted 2026-11-24, MoCha at b2150f9).
TRANSFORMER = {
    "dim": 5120,
    "in_dim": 16,
    "ffn_dim": 13824,
    "out_dim": 16,
    "text_dim": 4096,
    "freq_dim": 256,
    "eps": 1e-6,
    "patch_size": [1, 2, 2],
    "num_heads": 40,
    "num_layers": 40,
    "has_image_input": False,
}


class Job(BaseModel):
    """Media are base64, a data URL or a URL. `mask` marks the character in the source video's first frame."""

    model_config = ConfigDict(extra="forbid")

    video: str
    mask: str
    reference: str = Field(description="The new character on a clean background.")
    face: str | None = Field(None, description="A close-up of the new character's face.")
    frames: int = Field(81, ge=5, le=161, description="Frames to make: 4n + 1.")
    steps: int = Field(6, ge=1, le=50)
    cfg_scale: float = Field(5.0, ge=1, le=20)
    seed: int = 0
    negative_prompt: str = "overexposed, still picture, blurred, subtitles, low quality, deformed, extra fingers"


class Handler:
    """Loads the pipeline once; each job gives `{"video": {"base64", "media_type"}, "seed"}`."""

    Input = Job

    def __init__(self, options: Mapping[str, Any], models: Mapping[str, Path], media: Any) -> None:
        self._wan = models["wan"]
        self._media = media
        self._fps = int(options.get("fps", 30))

    def load(self, model_dir: Path) -> None:
        """Build the pipeline on the GPU, as bf16."""
        import torch

        sys.path.insert(0, SOURCE)
        from diffsynth import ModelManager, WanVideoMoChaPipeline

        manager = ModelManager(torch_dtype=torch.bfloat16, device="cpu")
        manager.load_models([str(self._wan / "models_t5_umt5-xxl-enc-bf16.pth"), str(self._wan / "Wan2.1_VAE.pth")])
        self._pipe = WanVideoMoChaPipeline.from_model_manager(manager, device="cuda")
        self._pipe.dit = load_transformer(model_dir / CHECKPOINT, TRANSFORMER)
        self._pipe.to("cuda")
        self._pipe.to(dtype=torch.bfloat16)

    def __call__(self, inputs: Job) -> dict[str, Any]:
        """Make one video."""
        from diffsynth import save_video

        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            batch = self._batch(folder, inputs)
            second = batch["second_ref"]
            frames = self._pipe(
                prompt=" ",
                negative_prompt=inputs.negative_prompt,
                source_video=batch["video"],
                source_mask=batch["mask"],
                first_ref=batch["first_ref"],
                second_ref=None if second[0] == "None" else second,
                cfg_scale=inputs.cfg_scale,
                num_inference_steps=inputs.steps,
                num_frames=min(inputs.frames, batch["video"].shape[2]),
                seed=inputs.seed,
                tiled=True,
            )
            save_video(frames, str(folder / "out.mp4"), fps=self._fps, quality=5)
            video = base64.b64encode((folder / "out.mp4").read_bytes()).decode()
        return {"video": {"base64": video, "media_type": "video/mp4"}, "seed": inputs.seed}

    def _batch(self, folder: Path, inputs: Job) -> dict[str, Any]:
        """Read the job's media as the repository's own data set does, which wants files and a table of them."""
        from inference_mocha import VideoRefDataset
        from torch.utils.data import default_collate

        given = {"source.mp4": inputs.video, "mask.png": inputs.mask, "reference.png": inputs.reference}
        if inputs.face:
            given["face.png"] = inputs.face
        for name, text in given.items():
            (folder / name).write_bytes(self._media.read(text))
        row = [folder / "source.mp4", folder / "mask.png", folder / "reference.png"]
        with (folder / "job.csv").open("w", newline="") as table:
            writer = csv.writer(table)
            writer.writerow(["source_video", "source_mask", "reference_1", "reference_2"])
            writer.writerow([*row, folder / "face.png" if inputs.face else "None"])
        frames = inputs.frames
        data = VideoRefDataset(str(folder / "job.csv"), None, max_num_frames=frames, num_frames=frames)
        return dict(default_collate([data[0]]))


def load_transformer(checkpoint: Path, shape: Mapping[str, Any]) -> Any:
    """Return the transformer with a checkpoint's weights, without ever holding them twice."""
    import torch
    from diffsynth.models.wan_video_dit import WanModel, precompute_freqs_cis_3d

    with torch.device("meta"):
        model = WanModel(**shape)
    model.load_state_dict(torch.load(checkpoint, map_location="cpu", mmap=True, weights_only=True), assign=True)
    model.freqs = precompute_freqs_cis_3d(shape["dim"] // shape["num_heads"])
    return model.eval()
