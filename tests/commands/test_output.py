"""What is printed for machines: JSON as Python's own writer makes it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factory.commands.output import print_json

NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)


@dataclass(frozen=True)
class Record:
    """A record with a computed property, a path and another record."""

    path: Path
    inner: tuple[object, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Has it nothing in it?"""
        return not self.inner


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(VALUES)
def test_what_is_printed_reads_as_what_it_was(capsys: pytest.CaptureFixture[str], value: Any) -> None:
    """In ASCII, whatever the terminal's encoding is."""
    print_json(value)
    out = capsys.readouterr().out
    assert out.isascii() and json.loads(out) == value


def test_it_is_laid_out_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    """Two spaces a level, non-ASCII escaped, numbers that are none as Python writes them."""
    value: dict[str, object] = {"a": "→", "b": [1, 2.5, float("inf")], "c": [], "d": {}, "e": None, "f": True}
    print_json(value)
    assert capsys.readouterr().out == json.dumps(value, indent=2) + "\n"


def test_a_record_shows_its_fields_and_properties(capsys: pytest.CaptureFixture[str]) -> None:
    """Also inside another one."""
    print_json(Record(Path("a/b"), (Record(Path("c")),)))
    inner = {"path": "c", "inner": [], "is_empty": True}
    assert json.loads(capsys.readouterr().out) == {"path": "a/b", "inner": [inner], "is_empty": False}
