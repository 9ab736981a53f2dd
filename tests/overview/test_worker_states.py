"""What the states of workers mean, by example."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from factory.account import CloudWorker, Endpoint, EndpointSpec, Health
from factory.overview.worker_states import counts, explained, verdict

NO_JOBS = {"inQueue": 0, "inProgress": 0}
WAITING = {"inQueue": 2, "inProgress": 0}


def endpoint(workers_max: int = 3) -> Endpoint:
    """An endpoint."""
    return Endpoint("ep", EndpointSpec("demo", "org/demo:1", 20, pools=("ADA_24",), workers_max=workers_max), True)


@pytest.mark.parametrize(
    ("workers", "jobs", "workers_max", "words"),
    [
        ({}, NO_JOBS, 3, "asleep: the next job starts a worker"),
        ({}, WAITING, 3, "no worker yet: no GPU so far"),
        ({}, WAITING, 0, "off: workers max is 0"),
        ({"throttled": 2}, WAITING, 3, "no free GPU"),
        ({"initializing": 1, "throttled": 1}, WAITING, 3, "starting"),
        ({"unhealthy": 1}, WAITING, 3, "crashing"),
        ({"unhealthy": 1, "initializing": 1}, WAITING, 3, "crashing"),
        ({"unhealthy": 1, "idle": 1}, NO_JOBS, 3, "some crash"),
        ({"running": 1}, WAITING, 3, "starting: in start-up code"),
        ({"running": 1}, {"inQueue": 5, "inProgress": 1}, 3, "serving"),
        ({"idle": 1, "ready": 1}, NO_JOBS, 3, "serving"),
        ({"running": 1}, NO_JOBS, 3, "up"),
    ],
)
def test_an_endpoint_in_a_few_words(
    workers: Mapping[str, int], jobs: Mapping[str, int], workers_max: int, words: str
) -> None:
    """A crash loop isn't called capacity, nor start-up code serving."""
    health = Health(jobs, workers)
    assert verdict(endpoint(workers_max), counts(None, health), health) == words


@pytest.mark.parametrize(
    ("running", "jobs", "said"),
    [
        (1, WAITING, [(1, "still in start-up code: 2 jobs in the queue, and none taken")]),
        (3, {"inQueue": 1, "inProgress": 2}, [(2, "serving a job"), (1, "still in start-up code: 1 job in the queue")]),
        (1, {"inQueue": 4, "inProgress": 1}, [(1, "serving a job")]),
        (1, NO_JOBS, [(1, "the container is up, and there is no job for it")]),
    ],
)
def test_running_is_told_by_the_queue(running: int, jobs: Mapping[str, int], said: list[tuple[int, str]]) -> None:
    """RunPod calls a worker running from its container's start on: only jobs under way say that it serves."""
    lines = explained({"running": running}, Health(jobs, {}))
    assert [line.count for line in lines] == [count for count, _ in said]
    assert all(line.meaning.startswith(text) for line, (_, text) in zip(lines, said, strict=True))


def test_counts_come_from_the_list_where_health_is_missing() -> None:
    """And what they do then, nobody says."""
    found = counts((CloudWorker("w", "RUNNING", False), CloudWorker("v", "UNHEALTHY", False)), None)
    assert found == {"running": 1, "unhealthy": 1}
    assert explained(found, None)[0].meaning == "the container is up; whether it serves a job, nobody said"
