"""Transcription on a tiny Whisper of random weights, with audio made here."""

from __future__ import annotations

import base64
import io
import json
import math
import shutil
import struct
import subprocess
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worker_runtime.errors import InputUnreadable
from worker_runtime.handlers.audio import SAMPLE_RATE_HZ, decode, ffmpeg


def tone(seconds: float, rate_hz: int = 8000, channels: int = 1) -> bytes:
    """Return a wav file with a tone of 440 Hz."""
    samples = [int(20000 * math.sin(2 * math.pi * 440 * i / rate_hz)) for i in range(int(seconds * rate_hz))]
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(b"".join(struct.pack("<h", s) * channels for s in samples))
    return buffer.getvalue()


def text64(content: bytes) -> str:
    """Return base64."""
    return base64.b64encode(content).decode()


@pytest.fixture(scope="module")
def whisper(tiny_whisper: Path, loaded: Any) -> Any:
    """The loaded handler."""
    return loaded("transcription", tiny_whisper, max_minutes=1)


def test_decodes_to_16_khz_mono() -> None:
    """A stereo tone at 8 kHz becomes 16 kHz mono float32 with the same pitch and length."""
    samples = decode(tone(1.0, channels=2), max_s=10)
    assert abs(len(samples) - SAMPLE_RATE_HZ) < 50
    spectrum = np.abs(np.fft.rfft(samples))
    assert abs(int(spectrum.argmax()) * SAMPLE_RATE_HZ / len(samples) - 440) < 2


def test_decodes_an_mp4_whose_index_lies_at_its_end(tmp_path: Path) -> None:
    """Formats that need seeking are read too."""
    (tmp_path / "in.wav").write_bytes(tone(1.0))
    made = tmp_path / "out.m4a"
    subprocess.run([ffmpeg(), "-loglevel", "error", "-i", tmp_path / "in.wav", made], check=True)
    assert abs(len(decode(made.read_bytes(), max_s=10)) - SAMPLE_RATE_HZ) < 3000


@pytest.mark.parametrize(
    "content",
    [
        b"not audio at all",
        b"",
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
    ],
    ids=["text", "empty", "hls", "concat"],
)
def test_what_is_no_audio_is_refused(content: bytes) -> None:
    """Text, nothing, and playlists that name other files are refused in one sentence."""
    with pytest.raises(InputUnreadable, match="ffmpeg can't read it"):
        decode(content, max_s=10)


def test_transcribes(whisper: Any, answered: Any) -> None:
    """A job gives a text and the true length, the same each time."""
    first = answered(whisper, audio=text64(tone(2.0)), language="german")
    assert isinstance(first["text"], str)
    assert first["duration_s"] == pytest.approx(2.0, abs=0.01)
    assert first == answered(whisper, audio=f"data:audio/wav;base64,{text64(tone(2.0))}", language="de")


@pytest.mark.parametrize("batch_size", [1, 4])
def test_segments_cover_long_audio(batch_size: int, tiny_whisper: Path, loaded: Any, answered: Any) -> None:
    """Audio longer than a window is heard in windows, one by one or batched, and the segments lie within it."""
    handler = loaded("transcription", tiny_whisper, batch_size=batch_size)
    answer = answered(handler, audio=text64(tone(32.0)), language="en", timestamps=True)
    assert answer["duration_s"] == pytest.approx(32, abs=0.01)
    assert all(0 <= segment["start_s"] <= segment["end_s"] <= 32 for segment in answer["segments"])
    assert all({"start_s", "end_s", "text"} == set(segment) for segment in answer["segments"])


def test_long_audio_needs_no_timestamps_asked(whisper: Any, answered: Any) -> None:
    """Without timestamps long audio gives text alone."""
    assert set(answered(whisper, audio=text64(tone(32.0)), language="en")) == {"text", "duration_s"}


def test_an_english_model(tiny_whisper: Path, tmp_path: Path, loaded: Any, answered: Any) -> None:
    """A model without languages takes English, and refuses others and translation."""
    folder = tmp_path / "english"
    shutil.copytree(tiny_whisper, folder)
    path = folder / "generation_config.json"
    says = json.loads(path.read_text())
    path.write_text(
        json.dumps(
            {k: v for k, v in says.items() if k not in ("lang_to_id", "task_to_id")} | {"is_multilingual": False}
        )
    )
    handler = loaded("transcription", folder)
    assert "text" in answered(handler, audio=text64(tone(0.5)), language="en")
    for asked in ({"language": "de"}, {"task": "translate"}):
        assert "this model knows English only" in answered(handler, audio=text64(tone(0.5)), **asked)["error"]


def test_detects_the_language_and_translates(whisper: Any, answered: Any) -> None:
    """Without a language the model decides, and both tasks run."""
    assert "text" in answered(whisper, audio=text64(tone(1.0)))
    assert "text" in answered(whisper, audio=text64(tone(1.0)), language="de", task="translate")


@pytest.mark.parametrize(
    ("job_input", "says"),
    [
        ({"audio": "AAAA"}, "input_unreadable: audio: ffmpeg can't read it"),
        ({"audio": text64(tone(62.0))}, "input_unreadable: audio: longer than 1 minutes"),
        ({"audio": text64(tone(0.5)), "language": "klingon"}, "input_invalid: language: the model does not know"),
        ({"audio": text64(tone(0.5)), "task": "sing"}, "input_invalid: task: "),
        ({}, "input_invalid: audio: Field required"),
    ],
    ids=["no-audio", "too-long", "language", "task", "missing"],
)
def test_input_that_cannot_work(job_input: dict[str, Any], says: str, whisper: Any, answered: Any) -> None:
    """Each input that can't work is one sentence."""
    assert answered(whisper, **job_input)["error"].startswith(says)
