"""A handler's output as plain JSON values, and the files that are found in it.

Converted: numpy arrays and scalars, torch tensors → lists and numbers; bytes → base64; tuples and sets → lists;
dataclasses and pydantic models → objects; UUIDs, dates → strings; enums → their value; keys that are whole numbers →
strings. With `files`, three kinds of value are put there, to be delivered one by one, and stand as an empty object in
the output: a `Path`, a PIL image, an array of over LIST_ELEMENTS numbers. Without it a path is its text.

Refused, with the place of the value: NaN and infinities (JSON has none, and `null` would hide a broken result), and
anything else. Nothing comes out that RunPod's SDK can't serialise: it would drop the result in silence, and the job
would stay IN_PROGRESS (seen with runpod 1.12.0, 2026-11-23).
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import enum
import io
import math
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from pydantic import BaseModel

from worker_runtime.errors import OutputUnserialisable

MAX_DEPTH = 100
MAX_INTEGER_BITS = 14_000  # Python writes at most 4300 decimal digits
LIST_ELEMENTS = 500_000  # as JSON about 10 MB, all that RunPod takes from a job


@dataclass(slots=True)
class FoundFile:
    """A file in an output: on disk, or as bytes in memory. `slot` is the object that stands for it in the output."""

    place: str
    name: str
    source: Path | bytes = field(repr=False)
    slot: dict[str, Any] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Its size. Raises OutputUnserialisable when it is gone."""
        if isinstance(self.source, bytes):
            return len(self.source)
        try:
            return self.source.stat().st_size
        except OSError as error:
            raise _refuse(self.place, f"is the file {self.source}, which can't be read ({error.strerror})") from error


def jsonable(value: Any, files: list[FoundFile] | None = None) -> Any:
    """Return `value` as new, plain JSON values, or raise OutputUnserialisable with the place of what can't be."""
    return _plain(value, "output", 0, files)


def _refuse(
    place: str, why: str, fix: str = "return plain values, numpy arrays, bytes or paths"
) -> OutputUnserialisable:
    return OutputUnserialisable(f"{place} {why}", fix=fix)


def _plain(value: Any, place: str, depth: int, files: list[FoundFile] | None) -> Any:
    if depth > MAX_DEPTH:
        raise _refuse("output", f"is nested deeper than {MAX_DEPTH} levels, or contains itself")
    match value:
        case enum.Enum():
            return _plain(value.value, place, depth, files)
        case None | bool():
            return value
        case int():
            return _integer(value, place)
        case str():
            return _text(value, place)
        case float():
            return _float(value, place)
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(value).decode()
        case Path() if files is not None:
            return _file(value, place, files)
        case PurePath() | uuid.UUID():
            return _text(str(value), place)
        case datetime.date() | datetime.time():
            return value.isoformat()
        case BaseModel():
            return _plain(value.model_dump(), place, depth + 1, files)
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
            return _plain(fields, place, depth + 1, files)
        case Mapping():
            return _object(value, place, depth, files)
        case list() | tuple() | set() | frozenset():
            return [_plain(item, f"{place}.{i}", depth + 1, files) for i, item in enumerate(value)]
        case _:
            return _from_library(value, place, depth, files)


def _object(value: Mapping[Any, Any], place: str, depth: int, files: list[FoundFile] | None) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, item in value.items():
        text = _key(key, place)
        if text in plain:
            raise _refuse(place, f"has two keys that are both {text!r} in JSON", "use keys of one type")
        plain[text] = _plain(item, f"{place}.{text}", depth + 1, files)
    return plain


def _key(key: object, place: str) -> str:
    if isinstance(key, enum.Enum):
        key = key.value
    if isinstance(key, str):
        return _text(key, place)
    if isinstance(key, int) and not isinstance(key, bool):
        return str(_integer(key, place))
    raise _refuse(place, f"has a key of type {type(key).__name__}", "use strings as keys")


def _integer(value: int, place: str) -> int:
    if value.bit_length() > MAX_INTEGER_BITS:
        raise _refuse(place, f"is a whole number of {value.bit_length()} bits", "return it as text")
    return int(value)


def _text(value: str, place: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _refuse(place, "is text with a lone surrogate, which UTF-8 can't hold") from error
    return str(value)


def _float(value: float, place: str) -> float:
    if not math.isfinite(value):
        raise _refuse(place, f"is {value}, which JSON can't hold", "return finite numbers or None")
    return float(value)


def _file(path: Path, place: str, files: list[FoundFile]) -> dict[str, Any]:
    if not path.is_file():
        what = "a directory" if path.is_dir() else "no file"
        raise _refuse(place, f"is the path {path}, which is {what}", "return the path of a file, or str(path) for text")
    return _found(place, path.name, path, files)


def _found(place: str, name: str, source: Path | bytes, files: list[FoundFile]) -> dict[str, Any]:
    files.append(FoundFile(place, name, source))
    return files[-1].slot


def _from_library(value: Any, place: str, depth: int, files: list[FoundFile] | None) -> Any:
    """Convert values of numpy, torch and PIL without importing any: only a handler that uses them pays for them."""
    library = type(value).__module__.partition(".")[0]
    if library == "torch" and hasattr(value, "detach"):
        return _tensor(value.detach(), place, depth, files)
    if library == "numpy" and hasattr(value, "tolist"):
        return _array(value, place, depth, files)
    if library == "PIL" and hasattr(value, "save") and files is not None:
        content = io.BytesIO()
        value.save(content, "PNG")
        return _found(place, _name(place, ".png"), content.getvalue(), files)
    raise _refuse(place, f"is of type {type(value).__module__}.{type(value).__qualname__}, which can't be JSON")


def _tensor(tensor: Any, place: str, depth: int, files: list[FoundFile] | None) -> Any:
    try:
        tensor = (tensor.to_dense() if tensor.is_sparse else tensor).cpu()
        if tensor.is_floating_point() and tensor.element_size() < 4:
            tensor = tensor.float()  # exact, and numpy knows neither bfloat16 nor float8
        if tensor.numel() > LIST_ELEMENTS and files is not None:
            return _array(tensor.numpy(), place, depth, files)
        plain = tensor.tolist()
        is_plain = not tensor.is_complex() and bool(tensor.isfinite().all())
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise _refuse(place, f"is a tensor that can't be a list ({error})") from error
    return plain if is_plain else _plain(plain, place, depth + 1, files)


def _array(array: Any, place: str, depth: int, files: list[FoundFile] | None) -> Any:
    numpy = sys.modules["numpy"]  # whoever made the value has imported it
    is_numeric = array.dtype.kind in "biuf" and array.dtype.itemsize <= 8
    if is_numeric and array.size > LIST_ELEMENTS and files is not None:
        content = io.BytesIO()
        numpy.save(content, array, allow_pickle=False)
        return _found(place, _name(place, ".npy"), content.getvalue(), files)
    plain = array.tolist()
    if type(plain) is type(array):  # numpy.longdouble stays what it is
        raise _refuse(place, f"is of type numpy.{type(plain).__name__}, which can't be JSON")
    if is_numeric and numpy.isfinite(array).all():  # nothing to refuse: spare a walk over every number
        return plain
    return _plain(plain, place, depth + 1, files)


def _name(place: str, suffix: str) -> str:
    """Name a file that has no name of its own after its place: `output.images.0` → `images-0.png`."""
    return (place.partition(".")[2].replace(".", "-") or "output") + suffix
