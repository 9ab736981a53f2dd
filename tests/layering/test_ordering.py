"""Which recipe goes next: one of each group first, the others when what they share is there."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.layering.ordering import Queue


def taken(queue: Queue, count: int) -> list[int | None]:
    """Take some items without ending any."""
    return [queue.take() for _ in range(count)]


def test_one_of_each_group_goes_first_and_the_largest_group_before() -> None:
    """Of a pair, a single and a group of three, the three's first goes first."""
    assert taken(Queue(["pair", "one", "three", "three", "pair", "three"]), 3) == [2, 0, 1]


def test_the_others_go_when_the_first_has_made_what_they_share() -> None:
    """While the first is at work only other groups go; then its group does, in the order given."""
    queue = Queue(["a", "a", "a", "b"])
    assert taken(queue, 2) == [0, 3]
    queue.end(0, is_made=True)
    assert taken(queue, 2) == [1, 2]
    assert queue.take() is None


def test_the_next_takes_over_when_the_first_fails() -> None:
    """A failure frees its group for one other member, not for all at once."""
    queue = Queue(["a", "a", "a"])
    assert queue.take() == 0
    queue.end(0, is_made=False)
    assert queue.take() == 1
    assert queue.order == (2,)
    queue.end(1, is_made=True)
    assert queue.take() == 2


def test_close_sends_the_waiting_home() -> None:
    """A worker that waits for another's environment gets None when all is over."""
    queue = Queue(["a", "a"])
    assert queue.take() == 0
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(queue.take)
        queue.close()
        assert waiting.result(timeout=10) is None


@pytest.mark.parametrize("workers", [1, 4])
@given(keys=st.lists(st.sampled_from("abc"), max_size=12), failing=st.sets(st.integers(0, 11)))
def test_every_item_is_taken_once_and_none_beside_its_groups_maker(
    workers: int, keys: list[str], failing: set[int]
) -> None:
    """Whatever fails, each item goes once, and nobody works in a group whose environment is being made."""
    queue, lock = Queue(keys), threading.Lock()
    done: list[int] = []
    making: set[str] = set()
    made: set[str] = set()

    def work() -> None:
        while (item := queue.take()) is not None:
            with lock:
                assert keys[item] not in making
                making.update({keys[item]} - made)
            with lock:
                done.append(item)
                making.discard(keys[item])
                made.update(set() if item in failing else {keys[item]})
            queue.end(item, is_made=item not in failing)

    with ThreadPoolExecutor(workers) as pool:
        for future in [pool.submit(work) for _ in range(workers)]:
            future.result(timeout=30)
    assert sorted(done) == list(range(len(keys)))
