"""Endpoints that are well, each in its own way, over HTTP and with real workers: nothing is found, not even a note."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from release_bench import Workshop
from runpod_box import an_endpoint
from scenes import Scene, stage

from factory.emulator.runpod.entities import Container
from factory.emulator.runpod.troubles import Crash


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """The account, the registry and the hub that all scenes share."""
    with stage(tmp_path_factory.mktemp("stage")) as opened:
        yield opened


def untouched(_: Scene) -> None:
    """It was provisioned, and nobody ever asked."""


def has_answered(scene: Scene) -> None:
    """A worker is idle after a job."""
    scene.answered()


def is_busy(scene: Scene) -> None:
    """A job runs for long, and nothing waits."""
    scene.submit(wait=20)
    scene.until(lambda: [w.status for w in scene.workers()] == ["RUNNING"], "a worker at work")


def has_a_queue(scene: Scene) -> None:
    """The only worker that there may be is at work, and two jobs wait for it."""
    scene.write(endpoint={"data_centers": ["EU-RO-1"], "workers": {"max": 1}})
    scene.factory("provision", "demo.yaml")
    is_busy(scene)
    scene.submit()
    scene.submit()


def is_kept_warm(scene: Scene) -> None:
    """One worker is always there."""
    scene.write(endpoint={"data_centers": ["EU-RO-1"], "workers": {"min": 1, "max": 2}})
    scene.factory("provision", "demo.yaml")
    scene.until(lambda: "IDLE" in [w.status for w in scene.workers()], "a warm worker")


def failed_by_its_input(scene: Scene) -> None:
    """A job failed since its own input was wrong; another was answered."""
    job = scene.submit(fail="no such voice")
    scene.until(lambda: scene.job(job).status == "FAILED", "a failed job")
    scene.answered()


def crashed_once(scene: Scene) -> None:
    """A worker's machine went away under it, once; it came back and serves."""
    scene.trouble(Crash(exit_code=137, times=1))
    scene.submit()
    scene.until(lambda: scene.has_ended(1), "one end")
    scene.answered()


def was_changed(scene: Scene) -> None:
    """A new version rolled out over a worker that served."""
    scene.answered()
    scene.write(env={"GREETING": "good morning"})
    scene.factory("provision", "demo.yaml")
    scene.answered()


def has_sick_neighbours(scene: Scene) -> None:
    """Another endpoint of the account is in a crash loop."""
    sick = an_endpoint(
        "sick", container=Container("localhost:5000/a/b:1", env={"PROGRAM": "sh -c 'exit 3'"}), workers_min=1
    )
    scene.call(lambda box: box.world.create_endpoint(sick))
    scene.answered()


def was_looked_at_before(scene: Scene) -> None:
    """Nothing changes by a diagnosis."""
    scene.answered()
    assert scene.diagnose().findings == []


HEALTHY: tuple[tuple[Callable[[Scene], None], str, str, str], ...] = (
    (untouched, "provision", "rest", "demo.yaml"),
    (untouched, "provision", "graphql", "demo.yaml"),
    (has_answered, "provision", "rest", "demo.yaml"),
    (has_answered, "provision", "rest", "demo"),
    (has_answered, "release --no-run", "rest", "demo.yaml"),
    (has_answered, "release --no-run", "graphql", "demo.yaml"),
    (is_busy, "provision", "rest", "demo.yaml"),
    (has_a_queue, "provision", "rest", "demo.yaml"),
    (is_kept_warm, "provision", "rest", "demo.yaml"),
    (failed_by_its_input, "provision", "rest", "demo.yaml"),
    (crashed_once, "provision", "rest", "demo.yaml"),
    (was_changed, "release --no-run", "rest", "demo.yaml"),
    (has_sick_neighbours, "provision", "rest", "demo.yaml"),
    (was_looked_at_before, "provision", "rest", "demo.yaml"),
)


@pytest.mark.parametrize(
    ("begin", "verb", "api", "target"),
    [pytest.param(*row, id=f"{row[0].__name__} {' '.join(row[1:])}") for row in HEALTHY],
)
def test_nothing_is_found(
    begin: Callable[[Scene], None], verb: str, api: str, target: str, place: Workshop, tmp_path: Path
) -> None:
    """No finding, no gap but the one that all have, exit code 0."""
    scene = Scene.open(place, tmp_path, verb=verb, api=api)
    begin(scene)
    found = scene.diagnose(target=target)
    assert found.findings == [] and found.code == 0
    assert set(found.record["gaps"]) <= {"failures on the volume"}
