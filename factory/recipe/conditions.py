"""The conditions that a test job's `expect` may hold, and whether they can be meant. Pure functions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from factory.recipe.problems import nearest
from factory.recipe.tokens import redacted

TYPES = ("string", "number", "integer", "boolean", "list", "object", "null")

ERROR = "error"


Malformed = tuple[tuple[str, ...], str, str]  # the keys inside `expect`, what is wrong, the fix


def malformed(expect: Mapping[str, Any]) -> Iterator[Malformed]:
    """Yield each thing in `expect` that can't be meant, in order."""
    for path, wanted in expect.items():
        if "" in path.split("."):
            yield (path,), "an empty step in the path", "write e.g. 'embeddings.0', or '$' for the whole output"
        if path == ERROR and len(expect) > 1:
            yield (path,), "stands beside other paths", "keep it alone: a job that fails has no output"
        if path == ERROR and not isinstance(wanted, str) and not is_condition(wanted):
            yield (path,), f"expected a text or a condition, found {show(wanted)}", "write a part of the error's text"
        if isinstance(wanted, Mapping):
            for key, what, fix in _malformed_condition(wanted) if is_condition(wanted) else _misspelt(wanted):
                yield (path, key), what, fix


def _malformed_condition(wanted: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    wrong = {key: words for key, value in wanted.items() if (words := SHAPES[key](value))}
    yield from ((key, *words) for key, words in wrong.items())
    if "within" in wanted and not {"equals", "starts_with"} & wanted.keys():
        yield "within", "stands without equals or starts_with", "remove it, or say what it is near to"
    for low, high in (("min", "max"), ("min_length", "max_length")):
        if {low, high} <= wanted.keys() and not {low, high} & wrong.keys() and wanted[low] > wanted[high]:
            yield low, f"{wanted[low]} is above {high} ({wanted[high]})", "swap them"


def _misspelt(wanted: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Tell a misspelt condition from a mapping that is meant as it stands."""
    is_mixed = any(key in SHAPES for key in wanted)
    for key in wanted:
        near = nearest(str(key), SHAPES, cutoff=0.8)
        if key not in SHAPES and (is_mixed or near):
            known = f"did you mean '{near}'?" if near else f"one of {', '.join(SHAPES)}"
            yield str(key), "unknown condition", f"{known} (a block to compare with goes below 'equals')"


# --- the shape of each condition: empty words when it is right ------------------------------------------------------
Words = tuple[()] | tuple[str, str]  # what is wrong, the fix


def _any_value(_: object) -> Words:
    return ()


def _count(value: object) -> Words:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return ()
    return f"expected a whole number of at least 0, found {show(value)}", "write e.g. 384"


def _number(value: object) -> Words:
    return () if is_number(value) else (f"expected a number, found {show(value)}", "write e.g. 0.5")


def _tolerance(value: object) -> Words:
    if isinstance(value, int | float) and is_number(value) and value >= 0:
        return ()
    return f"expected a tolerance of at least 0, found {show(value)}", "write e.g. 0.001"


def _type_name(value: object) -> Words:
    if value is None or value in TYPES:
        return ()
    near = nearest(str(value), TYPES)
    return f"unknown type {show(value)}", f"did you mean '{near}'?" if near else f"one of {', '.join(TYPES)}"


def _pattern(value: object) -> Words:
    if not isinstance(value, str):
        return f"expected a regular expression, found {show(value)}", "quote it"
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError) as error:
        return f"no regular expression: {error}", "escape what is meant literally"
    return ()


def _prefix(value: object) -> Words:
    is_prefix = isinstance(value, str | list | tuple)
    return () if is_prefix else (f"expected a text or a list, found {show(value)}", "write the first items as a list")


SHAPES: Mapping[str, Callable[[object], Words]] = {
    "equals": _any_value,
    "contains": _any_value,
    "type": _type_name,
    "length": _count,
    "min_length": _count,
    "max_length": _count,
    "min": _number,
    "max": _number,
    "matches": _pattern,
    "starts_with": _prefix,
    "within": _tolerance,
}

CONDITIONS = tuple(SHAPES)


# --- values as people read them -------------------------------------------------------------------------------------
def is_condition(wanted: object) -> bool:
    """Is it a mapping whose keys are all names of conditions?"""
    return isinstance(wanted, Mapping) and bool(wanted) and all(key in SHAPES for key in wanted)


def is_number(value: object) -> bool:
    """Is it a number, as JSON has them: neither a boolean nor NaN?"""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value  # not NaN


def show(value: object) -> str:
    """Return a value as JSON, cut to 80 characters."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = f"a value of type {type(value).__name__}"
    return cut(redacted(text), 80)


def cut(text: str, length: int) -> str:
    """Return the text, or its first `length` characters and how long it is."""
    return text if len(text) <= length else f"{text[:length]}… ({len(text)} characters)"
