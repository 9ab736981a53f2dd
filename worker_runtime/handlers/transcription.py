"""`transcription`: speech to text with the Whisper family of transformers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from worker_runtime.errors import InputInvalid
from worker_runtime.handlers.audio import SAMPLE_RATE_HZ, decode, ffmpeg
from worker_runtime.handlers.torch_device import TorchOptions, check_dtype, torch_device, torch_dtype
from worker_runtime.inputs import MediaReader

REQUIRES = ("torch", "transformers")
WINDOW_S = 30  # what Whisper hears at a time


class Options(TorchOptions):
    """`batch_size` 1: the model's own way through long audio; more: as many windows of 30 s at once, less exact."""

    batch_size: int = Field(1, ge=1, le=128)
    max_minutes: float = Field(180, gt=0, le=1440)


class TranscriptionInput(BaseModel):
    """`audio` is base64, a data URL or an http(s) URL."""

    model_config = ConfigDict(extra="forbid", strict=True)

    audio: str = Field(min_length=1, description="Base64, a data URL or an http(s) URL.")
    language: str | None = Field(None, description="E.g. en or german; detected when absent.")
    task: Literal["transcribe", "translate"] = Field("transcribe", description="translate: into English.")
    timestamps: bool = Field(False, description="Add segments with start and end.")


class Handler:
    """Loads the model once; each job gives `{"text", "duration_s"}`, and `segments` when asked."""

    Input = TranscriptionInput

    def __init__(self, options: dict[str, Any], dtypes: Mapping[str, str | None], media: MediaReader) -> None:
        self._options = Options.model_validate(options)
        self._dtype = check_dtype(self._options, dtypes)
        self._media = media

    def load(self, model_dir: Path) -> None:
        """Read the weights onto the device."""
        from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor, pipeline

        ffmpeg()  # the first job is too late to learn that it is missing
        processor = AutoProcessor.from_pretrained(model_dir, local_files_only=True)
        model = AutoModelForSpeechSeq2Seq.from_pretrained(
            model_dir, dtype=torch_dtype(self._dtype), local_files_only=True
        ).eval()
        self._languages = getattr(model.generation_config, "lang_to_id", None)
        self._pipeline = pipeline(
            "automatic-speech-recognition",
            model=model,
            tokenizer=processor.tokenizer,
            feature_extractor=processor.feature_extractor,
            device=torch_device(self._options),
            dtype=model.dtype,
            **self._windows(),
        )

    def _windows(self) -> dict[str, Any]:
        if self._options.batch_size == 1:
            return {}
        return {"chunk_length_s": WINDOW_S, "batch_size": self._options.batch_size, "ignore_warning": True}

    def __call__(self, inputs: TranscriptionInput) -> dict[str, Any]:
        """Transcribe the audio."""
        speaking = self._speaking(inputs)
        samples = decode(self._media.read(inputs.audio), max_s=self._options.max_minutes * 60)
        duration_s = len(samples) / SAMPLE_RATE_HZ
        heard = self._pipeline(
            {"raw": samples, "sampling_rate": SAMPLE_RATE_HZ},
            return_timestamps=inputs.timestamps or duration_s > WINDOW_S,  # by them the model finds the next window
            generate_kwargs=speaking,
        )
        answer: dict[str, Any] = {"text": heard["text"].strip(), "duration_s": round(duration_s, 3)}
        if inputs.timestamps:
            answer["segments"] = [_segment(chunk, duration_s) for chunk in heard.get("chunks", [])]
        return answer

    def _speaking(self, inputs: TranscriptionInput) -> dict[str, str]:
        """Return the model's own way to be told language and task; an English-only model takes neither."""
        if not self._languages:
            if inputs.language not in (None, "en", "english") or inputs.task == "translate":
                raise InputInvalid("language: this model knows English only", fix="leave language and task out")
            return {}
        if inputs.language is None:
            return {"task": inputs.task}
        from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

        code = TO_LANGUAGE_CODE.get(inputs.language.lower(), inputs.language.lower())
        if f"<|{code}|>" not in self._languages:
            raise InputInvalid(f"language: the model does not know {inputs.language!r}", fix="give a code such as en")
        return {"task": inputs.task, "language": code}


def _segment(chunk: Mapping[str, Any], duration_s: float) -> dict[str, Any]:
    """Return a segment within the audio: the model may point behind its end, and gives None for a cut word's end."""
    start_s, end_s = (duration_s if at_s is None else min(at_s, duration_s) for at_s in chunk["timestamp"])
    return {"start_s": round(start_s, 3), "end_s": round(end_s, 3), "text": chunk["text"].strip()}
