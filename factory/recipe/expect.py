"""What a test job's answer must be: paths into the output, each with a value or a condition. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from factory.recipe.conditions import ERROR, cut, is_condition, is_number, show

WHOLE = "$"
_ABSENT = object()


def problems(expect: Mapping[str, Any], output: object, error: str | None) -> tuple[str, ...]:
    """Return one sentence for each thing in a job's answer that is not as expected; empty when all is.

    `output` is the job's decoded JSON, `error` its error text, or None when it succeeded. A job is expected to
    succeed unless `expect` has the key `error`; then it must fail with a text that the value is part of, or that
    meets the condition. `expect` has passed `conditions.malformed`.
    """
    if ERROR in expect:
        if error is None:
            return (f"error: the job succeeded with {show(output)}, expected it to fail",)
        wanted = expect[ERROR] if is_condition(expect[ERROR]) else {"contains": expect[ERROR]}
        return tuple(f"{ERROR}: {sentence}" for sentence in _failures(wanted, error))
    if error is not None:
        return (f"the job failed: {cut(error, 300)}",)
    found: list[str] = []
    for path, wanted in expect.items():
        value, missing = _look_up(path, output)
        if missing:
            found.append(f"{path}: {missing}")
        else:
            found += (f"{path}: {sentence}" for sentence in _failures(wanted, value))
    return tuple(found)


# --- looking up and comparing ----------------------------------------------------------------------------------------
def _look_up(path: str, output: object) -> tuple[object, str]:
    steps = path.split(".")
    value, seen = output, WHOLE
    for step in steps[1:] if steps[0] == WHOLE else steps:
        inner = _step(value, step)
        if inner is _ABSENT:
            return None, f"nothing there; {seen} is {_describe(value)}"
        value, seen = inner, step if seen == WHOLE else f"{seen}.{step}"
    return value, ""


def _step(value: object, step: str) -> object:
    if isinstance(value, Mapping):
        return value.get(step, _ABSENT)
    if isinstance(value, list | tuple) and re.fullmatch(r"-?[0-9]{1,9}", step):
        index = int(step)
        return value[index] if -len(value) <= index < len(value) else _ABSENT
    return _ABSENT


def _failures(wanted: object, value: object) -> list[str]:
    if not isinstance(wanted, Mapping) or not is_condition(wanted):
        return [] if _equal(wanted, value, 0) else [f"is {show(value)}, expected {show(wanted)}"]
    tolerance = wanted.get("within", 0)
    found = []
    for name, bound in wanted.items():
        if name != "within" and (sentence := _failure(name, bound, value, tolerance)):
            found.append(sentence)
    return found


def _failure(name: str, bound: Any, value: Any, tolerance: float) -> str:
    """Return what is wrong with `value` under one condition, or an empty text."""
    near = f" within {tolerance}" if tolerance else ""
    if name == "equals":
        return "" if _equal(bound, value, tolerance) else f"is {show(value)}, expected {show(bound)}{near}"
    if name == "type":
        is_right = _has_type(value, "null" if bound is None else bound)
        return "" if is_right else f"is {_describe(value)}, expected {bound or 'null'}"
    if name == "contains":
        return "" if _contains(bound, value) else f"is {show(value)}, expected it to contain {show(bound)}"
    if name == "starts_with":
        is_right = _starts_with(bound, value, tolerance)
        return "" if is_right else f"is {show(value)}, expected it to start with {show(bound)}{near}"
    if name == "matches":
        is_right = isinstance(value, str) and bool(re.search(bound, value))
        return "" if is_right else f"is {show(value)}, expected it to match {bound!r}"
    if name in ("min", "max"):
        is_right = is_number(value) and (value >= bound if name == "min" else value <= bound)
        return "" if is_right else f"is {show(value)}, expected at {'least' if name == 'min' else 'most'} {bound}"
    return _length_failure(name, bound, value)


def _length_failure(name: str, bound: int, value: object) -> str:
    if not isinstance(value, str | list | tuple | Mapping):
        return f"is {_describe(value)}, which has no length"
    size = len(value)
    is_right = {"length": size == bound, "min_length": size >= bound, "max_length": size <= bound}[name]
    words = {"length": "", "min_length": "at least ", "max_length": "at most "}[name]
    return "" if is_right else f"length is {size}, expected {words}{bound}"


def _equal(wanted: Any, value: Any, tolerance: float) -> bool:
    """Compare as JSON does: 1 and 1.0 are equal, true and 1 are not; numbers may differ by the tolerance."""
    if isinstance(wanted, bool) or isinstance(value, bool):
        return wanted is value
    if is_number(wanted) and is_number(value):
        try:
            return bool(wanted == value or abs(wanted - value) <= tolerance)
        except OverflowError:  # a whole number too large for a float
            return False
    if isinstance(wanted, list | tuple) and isinstance(value, list | tuple):
        return len(wanted) == len(value) and all(map(_equal, wanted, value, [tolerance] * len(wanted)))
    if isinstance(wanted, Mapping) and isinstance(value, Mapping):
        return wanted.keys() == value.keys() and all(_equal(wanted[k], value[k], tolerance) for k in wanted)
    return type(wanted) is type(value) and bool(wanted == value)


def _contains(part: object, value: object) -> bool:
    if isinstance(value, str):
        return isinstance(part, str) and part in value
    if isinstance(value, Mapping):
        return isinstance(part, str) and part in value
    return isinstance(value, list | tuple) and any(_equal(part, item, 0) for item in value)


def _starts_with(prefix: object, value: object, tolerance: float) -> bool:
    if isinstance(prefix, str):
        return isinstance(value, str) and value.startswith(prefix)
    return (
        isinstance(prefix, list | tuple)
        and isinstance(value, list | tuple)
        and _equal(prefix, value[: len(prefix)], tolerance)
    )


def _has_type(value: object, name: str) -> bool:
    if name == "integer":
        return is_number(value) and (isinstance(value, int) or float(value).is_integer())  # type: ignore[arg-type]
    return _type_of(value) == name


def _type_of(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "object" if isinstance(value, Mapping) else "list"


def _describe(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"a list of {len(value)}"
    if isinstance(value, Mapping):
        return f"an object with {', '.join(map(str, list(value)[:8])) or 'no keys'}"
    return "null" if value is None else f"the {_type_of(value)} {show(value)}"
