"""The guard over an account in memory: what it does when it sees trouble, and when it sees none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest
from fake_cloud import FakeCloud
from fake_jobs import FakeJobs

from factory.account import CloudWorker, EndpointSpec, Health, TemplateSpec
from factory.errors import CloudFailed, EndpointNotFound, GuardStopped
from factory.mending.guard import BLIND_LOOKS, Guard, Guarded, Watch
from factory.records import tell_nobody

SPEC = EndpointSpec("demo", "demo:1", 20, pools=("ADA_24",), workers_min=1)
TEMPLATE = TemplateSpec("demo", "demo:1", 20)


@dataclass
class Jobs(FakeJobs):
    """Counts as a test sets them."""

    counts: Mapping[str, int] = field(default_factory=dict)
    purged: list[str] = field(default_factory=list)

    def health(self, endpoint_id: str) -> Health:
        """Return the counts."""
        return Health(self.counts, self.workers)

    def purge(self, endpoint_id: str) -> int:
        """Drop what waits."""
        self.purged.append(endpoint_id)
        return self.counts.get("inQueue", 0)


@dataclass
class Blind(FakeCloud):
    """Fails at the looks that it is told."""

    looks: int = 0
    blind: tuple[int, ...] = ()

    def workers(self, endpoint_id: str) -> tuple[CloudWorker, ...]:
        """Return the workers, or fail."""
        self.looks += 1
        if self.looks in self.blind:
            raise CloudFailed("HTTP 500")
        return super().workers(endpoint_id)


@dataclass
class Scene:
    """An account with one endpoint, and a clock that each pause moves."""

    cloud: FakeCloud = field(default_factory=FakeCloud)
    jobs: Jobs = field(default_factory=Jobs)
    now_s: float = 0.0
    on_pause: Callable[[], None] = lambda: None

    def guard(self, **words: float) -> Guarded:
        """Watch the endpoint for two minutes, or as it is said."""
        watch = Watch(**{"lasting_s": 120.0, "crash_patience_s": 30.0, "pull_patience_s": 60.0} | words)  # type: ignore[arg-type]
        return Guard(self, watch, tell_nobody, clock=lambda: self.now_s, pause=self.pause).run("demo")

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        assert seconds >= 0
        self.now_s += max(seconds, 0.001)
        self.on_pause()

    def show(self, *statuses: str) -> None:
        """Give the endpoint workers of these states."""
        self.cloud.held_workers["ep2"] = tuple(
            CloudWorker(f"w{number}", status, is_stale=False)  # type: ignore[arg-type]
            for number, status in enumerate(statuses)
        )


@pytest.fixture
def scene() -> Scene:
    """A deployment whose worker is idle."""
    scene = Scene()
    scene.cloud.create_endpoint(SPEC, scene.cloud.create_template(TEMPLATE))
    scene.show("IDLE")
    scene.cloud.calls.clear()
    return scene


def test_a_well_endpoint_is_left_alone(scene: Scene) -> None:
    """It was watched for as long as was said, and nothing changed."""
    scene.on_pause = lambda: setattr(scene.jobs, "counts", {"completed": int(scene.now_s) // 10, "failed": 1})
    guarded = scene.guard()
    assert guarded == Guarded("ep2", scene.now_s, completed=12, failed=1) and scene.now_s >= 120
    assert scene.cloud.changes() == []


def test_a_crash_loop_is_stopped(scene: Scene) -> None:
    """workers.max is 0, everything else as it was; the waiting jobs stay where nobody asked."""
    scene.show("UNHEALTHY", "UNHEALTHY")
    scene.jobs.counts = {"inQueue": 3}
    with pytest.raises(
        GuardStopped, match=r"2 workers unhealthy again and again for 30 s, .* its workers are stopped"
    ) as told:
        scene.guard()
    (endpoint,) = scene.cloud.held_endpoints.values()
    assert (endpoint.spec.workers_min, endpoint.spec.workers_max, endpoint.spec.image) == (0, 0, "demo:1")
    assert scene.jobs.purged == [] and told.value.details["kind"] == "crash_loop" and told.value.exit_code == 98
    assert scene.now_s < 40


def test_the_waiting_jobs_are_dropped_where_that_is_asked(scene: Scene) -> None:
    """After the workers are stopped, and counted."""
    scene.show("UNHEALTHY")
    scene.jobs.counts = {"inQueue": 3}
    with pytest.raises(GuardStopped, match="3 waiting jobs purged"):
        scene.guard(is_purging=True)
    assert scene.jobs.purged == ["ep2"]


def test_an_endpoint_that_is_stopped_already_is_said_to_be(scene: Scene) -> None:
    """A guard that was killed after stopping it ends as it would have: purged, and not well."""
    scene.show("UNHEALTHY")
    with pytest.raises(GuardStopped):
        scene.guard()
    scene.cloud.calls.clear()
    with pytest.raises(GuardStopped, match=r"no worker may start \(workers.max is 0\), 0 waiting jobs purged"):
        scene.guard(is_purging=True)
    assert scene.cloud.changes() == [] and scene.jobs.purged == ["ep2"]


def test_one_that_can_not_be_seen_for_a_while_is_watched_on(scene: Scene) -> None:
    """A few failures are RunPod's; more of them end the guard with what RunPod said."""
    blind = Blind(held_templates=scene.cloud.held_templates, held_endpoints=scene.cloud.held_endpoints)
    scene.cloud = blind
    blind.blind = tuple(range(2, 2 + BLIND_LOOKS - 1))
    assert scene.guard().endpoint_id == "ep2"
    blind.looks, blind.blind = 0, tuple(range(2, 2 + BLIND_LOOKS))
    with pytest.raises(CloudFailed):
        scene.guard()


def test_no_such_endpoint(scene: Scene) -> None:
    """It says which there are."""
    with pytest.raises(EndpointNotFound, match="there are demo"):
        Guard(scene, Watch(), tell_nobody).run("other")
