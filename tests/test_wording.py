"""Numbers as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.wording import count_text, error_sentence, seconds_text, size_text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (812, "812 B"),
        (999.6, "1.0 kB"),
        (12_300, "12.3 kB"),
        (91_618_861, "91.6 MB"),
        (999_960_000, "1.0 GB"),
        (69_045_158_826, "69.0 GB"),
    ],
)
def test_sizes_are_decimal_with_one_digit(size_bytes: float, text: str) -> None:
    """Sizes are written in decimal units with one digit."""
    assert size_text(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.96, "10.0 s"), (12.4, "12 s"), (89.4, "89 s"), (119.7, "2 min 0 s"), (200, "3 min 20 s")],
)
def test_times_lose_precision_as_they_grow(seconds: float, text: str) -> None:
    """Seconds, then minutes and seconds."""
    assert seconds_text(seconds) == text


def test_counts_agree_with_their_noun() -> None:
    """One file, two files, 1,000 files."""
    assert [count_text(n, "file") for n in (0, 1, 2, 1000)] == ["0 files", "1 file", "2 files", "1,000 files"]


@given(st.floats(0, 1e7))
def test_a_minute_never_holds_sixty_seconds(seconds: float) -> None:
    """Rounding never gives `1 min 60 s`."""
    assert " 60 s" not in seconds_text(seconds)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (None, "no reason given"),
        ("", "no reason given"),
        ("job timed out after 1 retries", "job timed out after 1 retries"),
        ('{"error_type": "<class \'ValueError\'>", "error_message": "no prompt", "x": 1}', "ValueError: no prompt"),
        ('{"error_message": "no prompt"}', "no prompt"),
        ('{"detail": "other"}', '{"detail": "other"}'),
        ("[1]", "[1]"),
        ("12", "12"),
    ],
)
def test_an_error_is_said_without_its_wrapping(error: str | None, sentence: str) -> None:
    """The JSON that RunPod's SDK makes of an exception becomes its sentence; anything else stays as it is."""
    assert error_sentence(error) == sentence
