"""What a file is by its first bytes. Names and headers are the sender's claim; these bytes are what a decoder sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["image", "audio", "video"]
HEAD_BYTES = 512  # what `sniff` needs to see

_AUDIO_OR_VIDEO: frozenset[Kind] = frozenset(("audio", "video"))


@dataclass(frozen=True, slots=True)
class MediaType:
    """`kinds`: what it may be; a container such as MP4 may hold sound alone, so it passes for both."""

    content_type: str
    suffix: str
    kinds: frozenset[Kind]


def _image(content_type: str, suffix: str) -> MediaType:
    return MediaType(f"image/{content_type}", suffix, frozenset(("image",)))


def _audio(content_type: str, suffix: str) -> MediaType:
    return MediaType(f"audio/{content_type}", suffix, frozenset(("audio",)))


def _container(content_type: str, suffix: str) -> MediaType:
    return MediaType(f"video/{content_type}", suffix, _AUDIO_OR_VIDEO)


_MP4 = _container("mp4", ".mp4")
_MP3 = _audio("mpeg", ".mp3")
_STARTS = (
    (b"\x89PNG\r\n\x1a\n", _image("png", ".png")),
    (b"\xff\xd8\xff", _image("jpeg", ".jpg")),
    (b"GIF87a", _image("gif", ".gif")),
    (b"GIF89a", _image("gif", ".gif")),
    (b"II*\0", _image("tiff", ".tiff")),
    (b"MM\0*", _image("tiff", ".tiff")),
    (b"fLaC", _audio("flac", ".flac")),
    (b"ID3", _MP3),
    (b"OggS", MediaType("audio/ogg", ".ogg", _AUDIO_OR_VIDEO)),
    (b"\x1aE\xdf\xa3", _container("webm", ".webm")),  # Matroska too: the same container
    (b"\0\0\x01\xba", _container("mpeg", ".mpg")),
)
_RIFF = {b"WEBP": _image("webp", ".webp"), b"WAVE": _audio("wav", ".wav"), b"AVI ": _container("x-msvideo", ".avi")}
_IFF = {b"AIFF": _audio("aiff", ".aiff"), b"AIFC": _audio("aiff", ".aiff")}
_BRANDS = {
    b"avif": _image("avif", ".avif"),
    b"avis": _image("avif", ".avif"),
    b"heic": _image("heic", ".heic"),
    b"heix": _image("heic", ".heic"),
    b"mif1": _image("heif", ".heif"),
    b"M4A ": _audio("mp4", ".m4a"),
    b"qt  ": _container("quicktime", ".mov"),
}


def sniff(head: bytes) -> MediaType | None:
    """Return the type that the first HEAD_BYTES of a file show, or None when they show none of the table."""
    for start, found in _STARTS:
        if head.startswith(start):
            return found
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[:4] == b"FORM":
        return _IFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], _MP4)
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":
        return _image("bmp", ".bmp")
    if len(head) > 188 and head[0] == head[188] == 0x47:
        return _container("mp2t", ".ts")
    return _mpeg_audio(head)


def _mpeg_audio(head: bytes) -> MediaType | None:
    """Tell a bare MPEG audio frame (ISO 11172-3, 2.4.1.3) or ADTS frame by its sync word and valid fields."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    if head[1] & 0xF6 == 0xF0:
        return _audio("aac", ".aac")
    is_layer_known = head[1] & 0x06 != 0 and head[1] & 0x18 != 0x08
    is_rate_known = head[2] & 0xF0 != 0xF0 and head[2] & 0x0C != 0x0C
    return _MP3 if is_layer_known and is_rate_known else None
