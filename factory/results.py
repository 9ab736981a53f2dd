"""The files in a job's result, laid into a folder: what the worker runtime sends as base64, or as a link to a bucket.

A file in an output is `{"name", "content_type", "size_bytes"}` with `base64`, `url` or `path` (docs/worker-io.md).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from factory.errors import RunError

Fetch = Callable[[str, Path], None]  # a link and where its content goes; raises RunError


@dataclass(frozen=True, slots=True)
class KeptFile:
    """One file of a result: its place in the output, and where it lies now; None when it stayed (`note` says where)."""

    place: str
    path: Path | None
    note: str = ""


def keep_files(output: object, folder: Path, fetch: Fetch) -> tuple[object, tuple[KeptFile, ...]]:
    """Save every file of an output below `folder`, never over another file.

    Returns the output, with each saved file's content replaced by `saved_as`, and what was kept. Raises RunError when a
    link can't be fetched, a content is broken, or the folder can't be written.
    """
    kept: list[KeptFile] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _walk(output, "", folder, fetch, kept), tuple(kept)
    except OSError as error:
        raise RunError(
            f"can't be written ({error.strerror})", where=str(error.filename or folder), fix="choose another --out"
        ) from error


def file_places(output: object, place: str = "") -> Iterator[str]:
    """Yield the place of every file in an output, `videos.0`."""
    if _is_file(output):
        yield place or "$"
    elif isinstance(output, Mapping):
        for key, value in output.items():
            yield from file_places(value, f"{place}.{key}" if place else str(key))
    elif isinstance(output, Sequence) and not isinstance(output, str):
        for index, value in enumerate(output):
            yield from file_places(value, f"{place}.{index}" if place else str(index))


def _is_file(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("name"), str)
        and any(isinstance(value.get(key), str) for key in ("base64", "url", "path"))
    )


def _walk(value: object, place: str, folder: Path, fetch: Fetch, kept: list[KeptFile]) -> object:
    if _is_file(value):
        assert isinstance(value, Mapping)
        return _keep(value, place or "$", folder, fetch, kept)
    if isinstance(value, Mapping):
        return {k: _walk(v, f"{place}.{k}" if place else str(k), folder, fetch, kept) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_walk(v, f"{place}.{i}" if place else str(i), folder, fetch, kept) for i, v in enumerate(value)]
    return value


def _keep(
    file: Mapping[str, object], place: str, folder: Path, fetch: Fetch, kept: list[KeptFile]
) -> Mapping[str, object]:
    if not isinstance(file.get("base64"), str) and not isinstance(file.get("url"), str):
        kept.append(KeptFile(place, None, f"on the volume, at {file['path']}"))
        return file
    path = _free(folder, str(file["name"]))
    partial = path.with_name(f".{path.name}.partial")
    try:
        if isinstance(text := file.get("base64"), str):
            partial.write_bytes(base64.b64decode(text, validate=True))
        else:
            fetch(str(file["url"]), partial)
        wanted, found = file.get("size_bytes"), partial.stat().st_size
        if isinstance(wanted, int) and wanted != found:
            raise RunError(f"{found:,} bytes came, the result says {wanted:,}", where=place, fix="run the job again")
        partial.rename(path)
    except binascii.Error as error:
        raise RunError(f"the file's base64 is broken ({error})", where=place, fix="run the job again") from error
    finally:
        partial.unlink(missing_ok=True)
    kept.append(KeptFile(place, path))
    return {key: value for key, value in file.items() if key not in ("base64", "url")} | {"saved_as": str(path)}


def _free(folder: Path, name: str) -> Path:
    """Return a path that nothing has: the name's last part, numbered when it is taken. A name can't lead elsewhere."""
    last = re.split(r"[/\\]", name)[-1]
    short = last.encode(errors="ignore")[:150].decode(errors="ignore")  # a file system counts bytes: 255 at most
    clean = re.sub(r"[\x00-\x1f\x7f]", "", short).strip().lstrip(".") or "file"
    path, number = folder / clean, 2
    while path.exists():
        path = folder / f"{Path(clean).stem}-{number}{Path(clean).suffix}"
        number += 1
    return path
