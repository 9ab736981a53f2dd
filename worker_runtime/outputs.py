"""A handler's output as JSON: what is converted, what is refused.

Converted: numpy arrays and scalars, torch tensors → lists and numbers; bytes → base64; tuples and sets → lists;
dataclasses and pydantic models → objects; paths, UUIDs, dates → strings; enums → their value; keys that are whole
numbers → strings. Refused, with the path of the value: NaN and infinities (JSON has none, and `null` would hide a
broken result), anything else. Nothing is ever posted that RunPod's SDK can't serialise: it would drop the result in
silence, and the job would stay IN_PROGRESS (seen with runpod 1.12.0, 2026-11-23).
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import enum
import json
import math
import uuid
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel

from worker_runtime.errors import OutputTooLarge, OutputUnserialisable

MAX_DEPTH = 100


def _refuse(path: str, why: str, fix: str = "return plain values, numpy arrays or bytes") -> OutputUnserialisable:
    return OutputUnserialisable(f"the handler's output{path and ' at ' + path} {why}", fix=fix)


def _key(key: object, path: str) -> str:
    if isinstance(key, enum.Enum):
        key = key.value
    if isinstance(key, str):
        return _text(key, path)
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)
    raise _refuse(path, f"has a key of type {type(key).__name__}", "use strings as keys")


def _text(value: str, path: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _refuse(path, "is text with a lone surrogate, which UTF-8 can't hold") from error
    return str(value)


def _float(value: float, path: str) -> float:
    if not math.isfinite(value):
        raise _refuse(path, f"is {value}, which JSON can't hold", "return finite numbers or None")
    return float(value)


def _from_library(value: Any, path: str, depth: int) -> Any:
    """Convert numpy's and torch's values without importing either: only a handler that uses them pays for them."""
    library = type(value).__module__.partition(".")[0]
    if library == "torch" and hasattr(value, "detach"):
        return jsonable(value.detach().cpu().tolist(), path, depth)
    if library == "numpy" and hasattr(value, "tolist"):
        plain = value.tolist()
        if type(plain) is not type(value):  # e.g. numpy.longdouble stays what it is
            return jsonable(plain, path, depth)
    raise _refuse(path, f"is of type {type(value).__module__}.{type(value).__qualname__}, which can't be JSON")


def jsonable(value: Any, path: str = "", depth: int = 0) -> Any:
    """Return `value` as new, plain JSON values, or raise OutputUnserialisable with the path of what can't be."""
    if depth > MAX_DEPTH:
        raise _refuse("", f"is nested deeper than {MAX_DEPTH} levels, or contains itself")
    match value:
        case enum.Enum():
            return jsonable(value.value, path, depth)
        case None | bool() | int():
            return value
        case str():
            return _text(value, path)
        case float():
            return _float(value, path)
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(value).decode()
        case PurePath() | uuid.UUID():
            return _text(str(value), path)
        case datetime.date() | datetime.time():
            return value.isoformat()
        case BaseModel():
            return jsonable(value.model_dump(), path, depth + 1)
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
            return jsonable(fields, path, depth + 1)
        case Mapping():
            return {_key(k, path): jsonable(v, f"{path}.{k}" if path else str(k), depth + 1) for k, v in value.items()}
        case list() | tuple() | set() | frozenset():
            return [jsonable(v, f"{path}.{i}" if path else str(i), depth + 1) for i, v in enumerate(value)]
        case _:
            return _from_library(value, path, depth + 1)


def within_limit(output: Any, limit_bytes: int) -> Any:
    """Return the output, or raise OutputTooLarge when its JSON, as the SDK writes it, has more bytes than the limit."""
    size_bytes = len(json.dumps(output, ensure_ascii=False).encode())
    if size_bytes > limit_bytes:
        raise OutputTooLarge(
            f"the output is {size_bytes / 1e6:.1f} MB of JSON, and the limit is {limit_bytes / 1e6:.1f} MB",
            fix="return less, or smaller files (FACTORY_MAX_RESULT_MB sets the limit; RunPod takes 10 from /run)",
        )
    return output
