"""Any audio (or a video's sound) to 16 kHz mono float32, by ffmpeg."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker_runtime.errors import InputUnreadable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
DECODE_S = 600
# Containers and raw formats only: a playlist (hls, concat, …) could name files of the worker or addresses near it.
FORMATS = "aac,aiff,amr,asf,au,avi,caf,flac,flv,gsm,matroska,mov,mp3,mpeg,mpegts,ogg,w64,wav"


def ffmpeg() -> str:
    """Return the program's path: the image's own, else the one that imageio-ffmpeg carries."""
    found = shutil.which("ffmpeg")
    if found:
        return found
    import imageio_ffmpeg  # type: ignore[import-not-found, unused-ignore]

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def decode(media: bytes, *, max_s: float) -> NDArray[np.float32]:
    """Return the samples. Raises InputUnreadable when it is no audio, or longer than `max_s` seconds."""
    import numpy as np

    with tempfile.TemporaryDirectory(prefix="audio-") as folder:
        path = Path(folder) / "audio"  # a file, not a pipe: an mp4's index may lie at its end
        path.write_bytes(media)
        reading: list[Any] = ["-protocol_whitelist", "file", "-format_whitelist", FORMATS, "-i", path]
        writing = ["-map", "0:a:0", "-t", f"{max_s + 1:g}", "-ac", "1", "-ar", str(SAMPLE_RATE_HZ), "-f", "f32le", "-"]
        done = subprocess.run(
            [ffmpeg(), "-nostdin", "-hide_banner", "-loglevel", "error", *reading, *writing],
            capture_output=True,
            timeout=DECODE_S,
            check=False,
        )
    if done.returncode != 0 or not done.stdout:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no sound in it"]
        why = last[0].replace(str(path), "the file")
        raise InputUnreadable(f"audio: ffmpeg can't read it ({why})", fix="send a common audio format")
    samples = np.frombuffer(done.stdout, dtype="<f4")
    if len(samples) > max_s * SAMPLE_RATE_HZ:
        raise InputUnreadable(f"audio: longer than {max_s / 60:g} minutes", fix="send it in parts")
    return samples
