"""What becomes of a handler's output."""

from __future__ import annotations

import datetime
import enum
import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from worker_runtime.errors import OutputTooLarge, OutputUnserialisable
from worker_runtime.outputs import jsonable, within_limit


@dataclass
class Point:
    """A dataclass with an array in it."""

    x: int
    rows: Any


class Answer(BaseModel):
    """A pydantic model."""

    when: datetime.date


class Colour(enum.Enum):
    """An enum."""

    RED = "red"


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (True, True),
        (10**30, 10**30),
        ({}, {}),
        ("héllo 你好", "héllo 你好"),
        (b"abc", "YWJj"),
        (bytearray(b"abc"), "YWJj"),
        ((1, (2, 3)), [1, [2, 3]]),
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.array([[1, 2], [3, 4]], dtype=np.int8), [[1, 2], [3, 4]]),
        (np.zeros((0, 3)), []),
        (np.array("text"), "text"),
        ({"a": np.array([0.25], dtype=np.float16)}, {"a": [0.25]}),
        ({1: "one", Colour.RED: "r"}, {"1": "one", "red": "r"}),
        (Path("/tmp/x"), "/tmp/x"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (datetime.datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05"),
        (Colour.RED, "red"),
        (Point(1, np.array([2])), {"x": 1, "rows": [2]}),
        (Answer(when=datetime.date(2026, 1, 2)), {"when": "2026-01-02"}),
    ],
    ids=repr,
)
def test_converts(value: object, plain: object) -> None:
    """A value becomes the plain JSON that docs/worker.md promises."""
    assert jsonable(value) == plain
    assert json.loads(json.dumps(plain)) == plain


def test_a_set_becomes_a_list() -> None:
    """A set is a list, in any order."""
    assert sorted(jsonable({3, 1, 2})) == [1, 2, 3]


CYCLE: list[object] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"scores": [1.0, float("nan")]}, "at scores.1 is nan"),
        (float("inf"), "the handler's output is inf"),
        (np.array([[1.0, np.nan]]), "at 0.1 is nan"),
        ({"a": {"b": object()}}, "at a.b is of type builtins.object"),
        ({"a": print}, "at a is of type builtins.builtin_function_or_method"),
        ({(1, 2): "x"}, "has a key of type tuple"),
        ("\ud800", "lone surrogate"),
        ({"\ud800": 1}, "lone surrogate"),
        (1 + 2j, "builtins.complex"),
        (CYCLE, "contains itself"),
        (np.longdouble(1) / 3, "numpy.longdouble"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isprintable() else type(value).__name__,
)
def test_refuses_with_the_path(value: object, says: str) -> None:
    """What can't be JSON is an error that names the value's path, never something that the SDK would drop."""
    with pytest.raises(OutputUnserialisable, match=says):
        jsonable(value)


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=8) | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_always_json_or_an_error(value: Any) -> None:
    """Whatever comes out is strict JSON in UTF-8; whatever does not come out is our error."""
    try:
        plain = jsonable(value)
    except OutputUnserialisable:
        return
    json.dumps(plain, ensure_ascii=False, allow_nan=False).encode()
    assert jsonable(plain) == plain


@pytest.mark.parametrize(("text", "fits"), [("a" * 8, True), ("a" * 9, False), ("é" * 4, True), ("é" * 5, False)])
def test_the_limit_counts_bytes(text: str, fits: bool) -> None:
    """The limit is on the bytes of the posted JSON, quotes included, not on characters."""
    if fits:
        assert within_limit(text, 10) == text
    else:
        with pytest.raises(OutputTooLarge, match=r"the limit is 0\.0 MB"):
            within_limit(text, 10)
