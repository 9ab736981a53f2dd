"""A property that is made once per object, and for which no object waits for another."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from factory.lazy import lazy


@dataclass
class Thing:
    """Something with a property that is dear to make."""

    meeting: threading.Barrier = field(default_factory=lambda: threading.Barrier(1))
    made: list[str] = field(default_factory=list)

    @lazy
    def value(self) -> int:
        """The number of times that it was made."""
        self.meeting.wait(timeout=10)
        self.made.append("value")
        return len(self.made)


def test_it_is_made_once() -> None:
    """The second look finds what the first one made; another object has its own."""
    one, other = Thing(), Thing()
    assert (one.value, one.value, one.made) == (1, 1, ["value"])
    assert other.made == []


def test_objects_do_not_wait_for_one_another() -> None:
    """Both are at it at once; with one lock for the class the first would wait for the second for ever."""
    meeting = threading.Barrier(2)
    things = [Thing(meeting), Thing(meeting)]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda thing: thing.value, things)) == [1, 1]


def test_what_fails_is_tried_again() -> None:
    """An error is no value."""
    thing = Thing()
    thing.meeting.abort()
    with pytest.raises(threading.BrokenBarrierError):
        _ = thing.value
    thing.meeting.reset()
    assert thing.value == 1


def test_the_class_shows_the_property_itself() -> None:
    """With the words of the method."""
    assert Thing.value.__doc__ == "The number of times that it was made."
