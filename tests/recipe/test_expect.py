"""What `expect` says of an answer, and which conditions can't be meant."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.recipe.conditions import CONDITIONS, malformed
from factory.recipe.expect import problems

ANSWER = {"embeddings": [[0.25, -0.5, 0.75]], "model": "all-MiniLM-L6-v2", "count": 1, "ok": True, "left": None}


@pytest.mark.parametrize(
    "expect",
    [
        {},
        {"model": "all-MiniLM-L6-v2"},
        {"count": 1.0},
        {"ok": True},
        {"left": None},
        {"left": {"type": None}},
        {"$": {"type": "object"}},
        {"$.count": 1},
        {"embeddings.0": {"length": 3, "type": "list"}},
        {"embeddings.-1.2": {"min": 0.7, "max": 0.8}},
        {"embeddings.0": {"starts_with": [0.2500001, -0.5], "within": 1e-6}},
        {"embeddings.0.0": {"equals": 0.26, "within": 0.02}},
        {"embeddings": {"equals": [[0.25, -0.5, 0.75]]}},
        {"embeddings": [[0.25, -0.5, 0.75]]},
        {"model": {"contains": "MiniLM", "matches": r"v\d$", "starts_with": "all", "min_length": 3, "max_length": 40}},
        {"$": {"contains": "count", "length": 5}},
        {"embeddings.0": {"contains": -0.5}},
        {"count": {"type": "integer"}},
        {"ok": {"type": "boolean"}},
    ],
)
def test_a_right_answer_has_no_problems(expect: dict[str, Any]) -> None:
    """An answer that meets every condition gives no sentence."""
    assert not list(malformed(expect))
    assert problems(expect, ANSWER, None) == ()


@pytest.mark.parametrize(
    ("expect", "sentence"),
    [
        ({"model": "other"}, 'model: is "all-MiniLM-L6-v2", expected "other"'),
        ({"count": True}, "count: is 1, expected true"),
        ({"ok": 1}, "ok: is true, expected 1"),
        ({"left": 0}, "left: is null, expected 0"),
        ({"nope": 1}, "nope: nothing there; $ is an object with embeddings, model, count, ok, left"),
        ({"embeddings.1": 1}, "embeddings.1: nothing there; embeddings is a list of 1"),
        ({"embeddings.x": 1}, "embeddings.x: nothing there; embeddings is a list of 1"),
        ({"model.0": 1}, 'model.0: nothing there; model is the string "all-MiniLM-L6-v2"'),
        ({"left.0": 1}, "left.0: nothing there; left is null"),
        ({"embeddings.0": {"length": 384}}, "embeddings.0: length is 3, expected 384"),
        ({"embeddings.0": {"min_length": 4}}, "embeddings.0: length is 3, expected at least 4"),
        ({"embeddings.0": {"max_length": 2}}, "embeddings.0: length is 3, expected at most 2"),
        ({"count": {"length": 1}}, "count: is the number 1, which has no length"),
        ({"count": {"min": 2}}, "count: is 1, expected at least 2"),
        ({"count": {"max": 0.5}}, "count: is 1, expected at most 0.5"),
        ({"model": {"min": 1}}, 'model: is "all-MiniLM-L6-v2", expected at least 1'),
        ({"count": {"type": "string"}}, "count: is the number 1, expected string"),
        ({"embeddings.0.0": {"type": "integer"}}, "embeddings.0.0: is the number 0.25, expected integer"),
        ({"model": {"type": "null"}}, 'model: is the string "all-MiniLM-L6-v2", expected null'),
        ({"model": {"contains": "bert"}}, 'model: is "all-MiniLM-L6-v2", expected it to contain "bert"'),
        ({"model": {"matches": "^v"}}, "model: is \"all-MiniLM-L6-v2\", expected it to match '^v'"),
        ({"model": {"starts_with": "x"}}, 'model: is "all-MiniLM-L6-v2", expected it to start with "x"'),
        (
            {"embeddings.0": {"starts_with": [0.3], "within": 0.01}},
            "embeddings.0: is [0.25, -0.5, 0.75], expected it to start with [0.3] within 0.01",
        ),
        ({"error": "boom"}, "error: the job succeeded with "),
    ],
)
def test_a_wrong_answer_is_told_in_one_sentence(expect: dict[str, Any], sentence: str) -> None:
    """Each condition that fails says what was found and what was expected."""
    assert not list(malformed(expect))
    (found,) = problems(expect, ANSWER, None)
    assert found.startswith(sentence) if sentence.endswith(" ") else found == sentence


def test_a_job_that_should_fail_must_fail_with_the_text() -> None:
    """Under `error`, a plain text is a part of the error, a condition is applied to it."""
    assert problems({"error": "no such"}, None, "ValueError: no such file") == ()
    assert problems({"error": {"matches": "^Value"}}, None, "ValueError: no such file") == ()
    assert problems({"error": "other"}, None, "boom") == ('error: is "boom", expected it to contain "other"',)


def test_a_job_that_should_succeed_and_fails_shows_its_error_cut_short() -> None:
    """A failed job gives its error text, at most 300 characters of it."""
    (sentence,) = problems({"count": 1}, None, "x" * 1000)
    assert sentence == "the job failed: " + "x" * 300 + "… (1000 characters)"


def test_every_failing_condition_is_told() -> None:
    """Two wrong paths, one of them with two wrong conditions, give three sentences."""
    assert len(problems({"count": {"min": 5, "type": "string"}, "ok": False}, ANSWER, None)) == 3


@pytest.mark.parametrize(
    ("expect", "where", "what", "fix"),
    [
        ({"a": {"lenght": 3}}, "a.lenght", "unknown condition", "did you mean 'length'?"),
        ({"a": {"min": 3, "zzz": 1}}, "a.zzz", "unknown condition", f"one of {', '.join(CONDITIONS)}"),
        ({"a": {"length": -1}}, "a.length", "expected a whole number of at least 0, found -1", "write e.g. 384"),
        ({"a": {"length": True}}, "a.length", "expected a whole number of at least 0, found true", "write e.g. 384"),
        ({"a": {"min": "3"}}, "a.min", 'expected a number, found "3"', "write e.g. 0.5"),
        ({"a": {"equals": 1, "within": -1}}, "a.within", "expected a tolerance of at least 0, found -1", "write e.g."),
        ({"a": {"within": 1}}, "a.within", "stands without equals or starts_with", "remove it"),
        ({"a": {"type": "str"}}, "a.type", 'unknown type "str"', "did you mean 'string'?"),
        ({"a": {"type": 7}}, "a.type", "unknown type 7", "one of string, number, integer, boolean, list, object, null"),
        (
            {"a": {"matches": "("}},
            "a.matches",
            "no regular expression: missing ), unterminated subpattern at position 0",
            "escape",
        ),
        ({"a": {"matches": 3}}, "a.matches", "expected a regular expression, found 3", "quote it"),
        ({"a": {"starts_with": 3}}, "a.starts_with", "expected a text or a list, found 3", "write the first"),
        ({"a": {"min": 3, "max": 2}}, "a.min", "3 is above max (2)", "swap them"),
        ({"a": {"min_length": 3, "max_length": 2}}, "a.min_length", "3 is above max_length (2)", "swap them"),
        ({"a..b": 1}, "a..b", "an empty step in the path", "write e.g. 'embeddings.0'"),
        ({"error": True}, "error", "expected a text or a condition, found true", "write a part"),
        ({"error": "x", "a": 1}, "error", "stands beside other paths", "keep it alone"),
    ],
)
def test_a_condition_that_cannot_be_meant_is_told(expect: dict[str, Any], where: str, what: str, fix: str) -> None:
    """Misspelt names, wrong types, impossible ranges and broken patterns each give one sentence and a fix."""
    ((keys, found, advice),) = malformed(expect)
    assert (".".join(keys), found) == (where, what)
    assert advice.startswith(fix)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
EXPECT = st.dictionaries(
    st.text() | st.sampled_from(["$", "error", "a.0", "$.a"]),
    JSON | st.dictionaries(st.sampled_from(CONDITIONS), JSON, max_size=4),
    max_size=4,
)


@given(EXPECT, JSON, st.none() | st.text())
def test_whatever_passes_the_shape_check_can_be_evaluated(
    expect: dict[str, Any], output: Any, error: str | None
) -> None:
    """`malformed` never raises, and what it lets pass never makes `problems` raise."""
    if not list(malformed(expect)):
        assert all(isinstance(sentence, str) and sentence for sentence in problems(expect, output, error))


@given(JSON.filter(lambda value: "NaN" not in json.dumps(value)))
def test_every_answer_equals_itself(output: Any) -> None:
    """`equals` accepts the very value, whatever JSON it is (NaN, which JSON has not, equals nothing)."""
    assert problems({"$": {"equals": output}}, output, None) == ()


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 1e6))
def test_within_is_a_closed_interval(number: float, tolerance: float) -> None:
    """A number is within the tolerance exactly when it is at most that far away."""
    other = number + tolerance
    is_near = not problems({"$": {"equals": number, "within": tolerance}}, other, None)
    assert is_near == ((math.isfinite(other) and abs(other - number) <= tolerance) or other == number)
