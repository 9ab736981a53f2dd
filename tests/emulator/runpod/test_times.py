"""RFC 3339 in and out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.emulator.runpod.times import exact_time_text, parsed_time, time_text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("1970-01-01t01:00:00.5+01:00", 0.5),
        ("1969-12-31T23:59:59Z", -1.0),
        ("2023-11-14T22:13:20.123456789Z", 1_700_000_000.123456),
        ("2023-11-14", None),
        ("2023-11-14T22:13:20", None),
        ("2023-11-14 22:13:20Z", None),
        ("2023-13-14T22:13:20Z", None),
        ("\uff12\uff10\uff12\uff13-11-14T22:13:20Z", None),
        ("", None),
    ],
)
def test_a_time_is_read(text: str, seconds: float | None) -> None:
    """Only with a zone, only real days."""
    assert parsed_time(text) == seconds


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    """It is a time or it isn't."""
    assert parsed_time(text) is None or "T" in text.upper()


@given(st.integers(min_value=0, max_value=4_000_000_000))
def test_what_is_written_can_be_read(seconds: int) -> None:
    """Whole seconds come back, and so do milliseconds."""
    assert parsed_time(time_text(seconds)) == seconds
    assert parsed_time(exact_time_text(seconds)) == seconds
