"""How many workers an endpoint should have: both scalers, what leaves, and how fast a new version rolls."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runpod_box import an_endpoint

from factory.emulator.runpod.scaling import (
    LEAVING_ORDER,
    Load,
    Standing,
    leaving_workers,
    rolling_places,
    wanted_workers,
)

DELAY: dict[str, Any] = {"scaler": "QUEUE_DELAY", "scaler_value": 4.0}
COUNT: dict[str, Any] = {"scaler": "REQUEST_COUNT", "scaler_value": 2.0, "idle_timeout_s": None}


@pytest.mark.parametrize(
    ("fields", "load", "wanted"),
    [
        (DELAY, Load(), 0),
        (DELAY | {"workers_min": 2}, Load(), 2),
        (DELAY, Load(queued=1, oldest_wait_s=0), 1),  # the first job brings the first worker, without delay
        (DELAY, Load(queued=9, oldest_wait_s=0), 1),
        (DELAY, Load(queued=9, oldest_wait_s=4, workers=1), 1),  # not longer than the value
        (DELAY, Load(queued=9, oldest_wait_s=4.1, workers=1), 2),
        (DELAY, Load(queued=9, oldest_wait_s=60, workers=1), 2),  # one at a time
        (DELAY, Load(queued=9, oldest_wait_s=60, workers=2, since_start_s=3), 2),
        (DELAY, Load(queued=9, oldest_wait_s=60, workers=2, since_start_s=4), 3),
        (DELAY, Load(queued=9, oldest_wait_s=60, workers=3), 3),  # the maximum
        (DELAY, Load(queued=1, oldest_wait_s=60, workers=1, starting=1), 1),  # one is on its way to that job
        (DELAY, Load(queued=2, oldest_wait_s=60, workers=1, starting=1), 2),
        (DELAY, Load(workers=2), 2),  # those that are there idle out, the scaler takes none away
        (DELAY | {"workers_max": 0}, Load(queued=9, oldest_wait_s=60), 0),
        (COUNT, Load(), 0),
        (COUNT, Load(queued=1), 1),
        (COUNT, Load(queued=2, in_progress=1), 2),
        (COUNT, Load(queued=3, in_progress=1, workers=1), 2),
        (COUNT, Load(queued=50), 3),
        (COUNT, Load(workers=3), 0),
        (COUNT | {"workers_min": 1}, Load(workers=3), 1),
        (COUNT | {"workers_max": 0}, Load(queued=9), 0),
    ],
)
def test_wanted(fields: dict[str, Any], load: Load, wanted: int) -> None:
    """Each scaler asks for as many as its rule says, between minimum and maximum."""
    assert wanted_workers(an_endpoint(**fields), load) == wanted


IDLE = [Standing("a", "idle", 30), Standing("b", "idle", 9), Standing("c", "idle", 11)]


@pytest.mark.parametrize(
    ("fields", "workers", "load", "leave"),
    [
        (DELAY, IDLE, Load(), ["a", "c"]),
        (DELAY | {"idle_timeout_s": 20}, IDLE, Load(), ["a"]),
        (DELAY | {"workers_min": 2}, IDLE, Load(), ["a"]),
        (DELAY | {"workers_min": 3}, IDLE, Load(), []),
        (DELAY | {"workers_max": 1}, IDLE, Load(), ["a", "c"]),
        (DELAY | {"workers_max": 0}, [Standing("a", "running"), Standing("b", "idle")], Load(), ["b", "a"]),
        (DELAY, [Standing("a", "running"), Standing("b", "starting")], Load(), []),
        (DELAY, [Standing("a", "throttled")], Load(queued=1), []),
        (DELAY, [Standing("a", "throttled")], Load(), ["a"]),
        (DELAY | {"workers_min": 1}, [Standing("a", "throttled")], Load(), []),
        (COUNT, IDLE, Load(), ["a", "c", "b"]),  # idle for more than 5 s
        (COUNT, IDLE, Load(in_progress=3), ["a"]),  # two are wanted
        (COUNT, [Standing("a", "idle", 4)], Load(), []),
    ],
)
def test_leaving(fields: dict[str, Any], workers: list[Standing], load: Load, leave: list[str]) -> None:
    """Those go that have been idle for too long, wait for nothing, or are too many; the longest idle first."""
    assert leaving_workers(an_endpoint(**fields), workers, load) == leave


@pytest.mark.parametrize(
    ("workers_max", "in_transition", "places"),
    [(3, 0, 1), (3, 1, 0), (10, 0, 1), (11, 0, 2), (20, 1, 1), (20, 5, 0), (0, 0, 1)],
)
def test_rolling(workers_max: int, in_transition: int, places: int) -> None:
    """A tenth of workers max is replaced at a time, one at least."""
    assert rolling_places(workers_max, in_transition) == places


loads = st.builds(
    Load,
    queued=st.integers(0, 1000),
    oldest_wait_s=st.none() | st.floats(0, 1e6),
    in_progress=st.integers(0, 1000),
    workers=st.integers(0, 20),
    starting=st.integers(0, 20),
    since_start_s=st.floats(0, 1e6) | st.just(math.inf),
)
rules = st.tuples(
    st.sampled_from(["QUEUE_DELAY", "REQUEST_COUNT"]), st.floats(0.5, 1e4), st.integers(0, 5), st.integers(0, 15)
).map(lambda row: an_endpoint(scaler=row[0], scaler_value=row[1], workers_min=row[2], workers_max=row[2] + row[3]))
standings = st.lists(st.tuples(st.sampled_from(LEAVING_ORDER), st.floats(0, 1e6)), max_size=25).map(
    lambda rows: [Standing(str(number), state, since_s) for number, (state, since_s) in enumerate(rows)]
)


@given(endpoint=rules, load=loads)
def test_wanted_stays_within_bounds(endpoint: Any, load: Load) -> None:
    """Whatever happens, the number is between workers min and workers max, and waiting jobs get a worker."""
    wanted = wanted_workers(endpoint, load)
    assert endpoint.workers_min <= wanted <= endpoint.workers_max
    if load.queued and load.oldest_wait_s is not None and not load.workers and endpoint.workers_max:
        assert wanted >= 1


@given(endpoint=rules, load=loads, workers=standings)
def test_leaving_keeps_the_bounds(endpoint: Any, load: Load, workers: list[Standing]) -> None:
    """Never do so many leave that the minimum isn't there, never so few that there are more than the maximum."""
    leaving = leaving_workers(endpoint, workers, load)
    left = len(workers) - len(leaving)
    assert len(set(leaving)) == len(leaving)
    assert left <= endpoint.workers_max
    assert left >= min(len(workers), endpoint.workers_min)
    busy = {one.id for one in workers if one.state == "running"}
    assert not busy & set(leaving) or len(workers) > endpoint.workers_max
