"""Log lines as people read them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.account import LogLine
from factory.errors import SettingsError
from factory.overview.log_lines import Taken, Wanted, moment, pattern, readable, since

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
EVENT = st.fixed_dictionaries(
    {"event": st.sampled_from(["phase", "failed", "job", "progress", "retire", "left", "new one"])},
    optional=dict.fromkeys(("phase", "seconds", "id", "status", "sentence", "fix", "code", "value", "queue_s"), JSON),
)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('{"event": "phase", "phase": "weights", "seconds": 12.3}', "weights took 12 s"),
        (
            '{"event": "failed", "phase": "load", "code": "gpu_lost", "sentence": "no GPU", "fix": "restart it"}',
            "FAILED in load: no GPU; restart it [gpu_lost]",
        ),
        (
            '{"event": "job", "id": "j1", "status": "done", "seconds": 1.5, "queue_s": 0.1, "inference_s": 1.2}',
            "job j1 done in 1.5 s (queue 0.1 s, inference 1.2 s)",
        ),
        (
            '{"event": "job", "id": "j1", "status": "failed", "seconds": 1, "sentence": "bad", "code": "x"}',
            "job j1 failed in 1.0 s: bad [x]",
        ),
        ('{"event": "progress", "id": "j1", "value": {"pct": 10}}', 'job j1: {"pct": 10}'),
        ('{"event": "slow_start", "reason": "weights", "code": null}', "slow start: reason weights"),
        ('{"requestId": "j1", "message": "Started.", "level": "INFO"}', "info [j1] Started."),
        ('{"requestId": null, "message": "Jobs in queue: 1", "level": "INFO"}', "info Jobs in queue: 1"),
        ('{"other": 1}', '{"other": 1}'),
        ("{not json", "{not json"),
        ("plain", "plain"),
    ],
)
def test_a_line_in_words(line: str, text: str) -> None:
    """The runtime's events and the SDK's records are said in words; the rest stays as it came."""
    assert readable(LogLine("", "container", line)) == text


@given(EVENT | JSON)
def test_any_json_is_readable(said: object) -> None:
    """Whatever a worker prints: a text, and no error."""
    assert isinstance(readable(LogLine("", "container", json.dumps(said))), str)


@given(st.text())
def test_any_text_is_readable(text: str) -> None:
    """Cut-off JSON included."""
    assert readable(LogLine("", "container", "{" + text)) is not None


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("10m", NOW - timedelta(minutes=10)),
        ("2h", NOW - timedelta(hours=2)),
        ("1d", NOW - timedelta(days=1)),
        ("2026-11-25T03:00:00Z", datetime(2026, 11, 25, 3, tzinfo=UTC)),
        ("2026-11-25T05:00:00+02:00", datetime(2026, 11, 25, 3, tzinfo=UTC)),
        ("2026-11-25", datetime(2026, 11, 25, tzinfo=UTC)),
    ],
)
def test_a_time_as_it_is_typed(text: str, at: datetime) -> None:
    """Ago, or a date and time; without a zone it is UTC, as RunPod's are."""
    assert since(text, NOW) == at


@given(st.text(max_size=30))
def test_any_other_time_is_refused_in_a_sentence(text: str) -> None:
    """A time, or SettingsError; nothing else."""
    try:
        assert since(text, NOW).tzinfo is not None
    except SettingsError as error:
        assert error.where == "--since"


@given(st.text(max_size=20))
def test_any_pattern_is_one_or_is_refused(text: str) -> None:
    """A pattern, or SettingsError; nothing else."""
    try:
        pattern(text)
    except SettingsError as error:
        assert error.where == "--grep"


def test_nanoseconds_are_times_too() -> None:
    """RunPod's clock may have more digits than Python's."""
    assert moment("2026-11-25T03:00:00.123456789Z") == datetime(2026, 11, 25, 3, 0, 0, 123456, tzinfo=UTC)
    assert moment("yesterday") is None


def test_a_pattern_is_looked_for_in_both_readings() -> None:
    """As it came, and as it reads."""
    taken = Taken(
        "w", LogLine("2026-11-25T03:00:00Z", "container", '{"event": "phase", "phase": "load", "seconds": 2}')
    )
    assert all(Wanted(pattern=pattern(text)).has(taken) for text in ('"phase"', "load took"))
    assert not Wanted(pattern=pattern("weights")).has(taken)
