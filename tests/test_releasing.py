"""A release: what is unchanged is not done again, and what fails is put back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from fake_cloud import FakeCloud
from fake_doors import FakeDoors
from fake_engine import sha256
from fake_hub import COMMIT, FakeRegistry
from fake_jobs import FakeJobs, completed

from factory import recipe
from factory.account import JobRequest, JobResult
from factory.errors import PreflightFailed, ReleaseRolledBack, ReleaseStopped, TestJobFailed
from factory.journal import Journal
from factory.pipeline import Line, Machine
from factory.provisioning.observed import ImageState
from factory.records import GB, DiskPlan, ImageSize, Progress, PushedImage, Report
from factory.releasing import Release

SIZE = ImageSize(150_000_000, 420_000_000, is_exact=True)
RIGHT, WRONG = completed({"a": 1}), completed({"a": 2})


@dataclass
class Account:
    """RunPod in memory."""

    cloud: FakeCloud = field(default_factory=FakeCloud)
    jobs: FakeJobs = field(default_factory=lambda: FakeJobs(RIGHT))


@dataclass
class Bench:
    """A recipe, an account and a journal; images are in the registry and proved already."""

    folder: Path
    doors: FakeDoors = field(default_factory=FakeDoors)
    account: Account = field(default_factory=Account)
    ended: dict[str, str] = field(default_factory=dict)

    @property
    def journal(self) -> Journal:
        """The journal as it lies on disk."""
        return Journal.read(self.folder / "home", "demo")

    def release(self, extra: str = "") -> Release:
        """Write the recipe and put it on the road."""
        path = self.folder / "demo.yaml"
        path.write_text(
            "name: demo\nimage: {repository: acme/demo}\nhandler: echo\n"
            f"tests: [{{input: {{a: 1}}, expect: {{a: 1}}, timeout_s: 9}}]\n{extra}"
        )
        machine = Machine(home=self.folder / "home")
        context = Line(recipe.load(path), self.doors, machine, self.listener).context
        digest = "sha256:" + context.digest
        self.doors.registry.digests[context.reference] = digest
        journal = self.journal
        journal.memory.verified, journal.memory.size = digest, SIZE
        self.ended.clear()
        line = Line(recipe.load(path), self.doors, machine, self.listener)
        return Release(line, self.account, journal, Look(self.doors.registry), lambda _registry: None)

    def listener(self, stage: str) -> Callable[[Progress], None]:
        """Keep how each stage ended."""

        def hear(progress: Progress) -> None:
            if progress.kind == "stage" and progress.state != "started":
                self.ended[stage] = progress.state

        return hear


@dataclass
class Look:
    """The registry as a stranger sees it: everything in it, unless it is private."""

    registry: FakeRegistry
    is_private: bool = False

    def __call__(self, line: Line, pushed: PushedImage, *, is_public: bool | None = None) -> ImageState:
        """Say that the image is there."""
        return ImageState(
            pushed.reference,
            size=SIZE,
            is_public=not self.is_private if is_public is None else is_public,
            has_login=True,
        )

    def public_digest(self, reference: str) -> str | None:
        """Show a public image's tag."""
        return None if self.is_private else self.registry.digest(reference)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An empty account and a folder for recipe and journal."""
    return Bench(tmp_path)


def test_a_first_release_makes_all_and_asks_the_test_jobs(bench: Bench) -> None:
    """Template and endpoint are made, the test job goes through the endpoint, and the journal has no debt."""
    released = bench.release().walk()
    (endpoint,) = bench.account.cloud.held_endpoints.values()
    assert released.deployment.endpoint_id == endpoint.id
    assert bench.account.jobs.requests_made == [(endpoint.id, JobRequest({"a": 1}))]
    assert [answer.problems for answer in released.answers] == [()]
    memory = bench.journal.memory
    assert (memory.pending, memory.before) == ("", None) and endpoint.id in memory.tested


def test_an_unchanged_release_does_nothing_and_says_so(bench: Bench) -> None:
    """The second run changes nothing, builds nothing, asks no job, and every stage says "unchanged"."""
    bench.release().walk()
    changes, asked = bench.account.cloud.changes(), len(bench.account.jobs.requests_made)
    released = bench.release().walk()
    assert bench.account.cloud.changes() == changes and len(bench.account.jobs.requests_made) == asked
    assert not released.deployment.was_changed and not bench.doors.engine.built
    assert set(bench.ended.values()) == {"cached"}
    assert list(bench.ended) == ["resolve", "check", "size", "render", "build", "push", "verify", "provision", "run"]


def test_a_release_that_fails_its_tests_is_put_back(bench: Bench) -> None:
    """Image and configuration of before are there again, the exit code says so, and the next run tries anew."""
    bench.release().walk()
    (before,) = bench.account.cloud.held_endpoints.values()
    (template,) = bench.account.cloud.held_templates.values()
    bench.account.jobs.script = WRONG
    with pytest.raises(ReleaseRolledBack, match=r"1 of 1 test job failed: 1: a: .*; acme/demo@sha256:.* is back"):
        bench.release("env: {NEW: value}\ndisk: {container: 90}\n").walk()
    (after,) = bench.account.cloud.held_endpoints.values()
    assert (after.id, after.spec) == (before.id, before.spec)
    assert [t.spec for t in bench.account.cloud.held_templates.values()] == [template.spec]
    assert bench.journal.memory.pending == "" and bench.ended["run"] == "failed"
    bench.account.jobs.script = RIGHT
    assert bench.release("env: {NEW: value}\n").walk().deployment.was_changed


GPU = "gpu: [AMPERE_24]\n"
ORG_SMALL = f"https://huggingface.co/org/small:{COMMIT}"


def cached(repo: str) -> str:
    """The lines of a recipe whose model RunPod brings."""
    return f"{GPU}model: {{repo: {repo}, placement: cached}}\n"


@pytest.mark.parametrize("is_rest", [False, True])
@pytest.mark.parametrize(
    ("first", "then", "models"),
    [
        (cached("org/small"), cached("org/medium"), (ORG_SMALL,)),
        (GPU, cached("org/small"), ()),
        (cached("org/small"), cached("org/small") + "env: {NEW: value}\n", (ORG_SMALL,)),
    ],
)
def test_cached_models_are_put_back_as_well(
    bench: Bench, first: str, then: str, models: tuple[str, ...], is_rest: bool
) -> None:
    """Those of the release before, none where it had none; by either API."""
    bench.account.cloud.are_models_hidden = is_rest
    bench.doors.hub.sizes = {"org/small": GB // 10, "org/medium": GB}
    endpoint_id = bench.release(first).walk().deployment.endpoint_id
    bench.account.jobs.script = WRONG
    with pytest.raises(ReleaseRolledBack):
        bench.release(then).walk()
    assert bench.account.cloud.held_models.get(endpoint_id, ()) == models
    bench.account.jobs.script = RIGHT
    assert not bench.release(first).walk().deployment.was_changed


def test_a_first_release_that_fails_costs_nothing(bench: Bench) -> None:
    """There is nothing to go back to: the workers are stopped, and a mended release starts them again."""
    bench.account.jobs.script = WRONG
    for _ in range(2):  # also the second time there is no good release to go back to
        with pytest.raises(ReleaseStopped, match="its workers are stopped"):
            bench.release().walk()
        (endpoint,) = bench.account.cloud.held_endpoints.values()
        assert (endpoint.spec.workers_min, endpoint.spec.workers_max) == (0, 0)
    bench.account.jobs.script = RIGHT
    bench.release().walk()
    assert next(iter(bench.account.cloud.held_endpoints.values())).spec.workers_max == 3


def test_a_job_that_nobody_answers_is_cancelled_and_the_release_put_back(bench: Bench) -> None:
    """A worker that never comes up is a failed test, and its job doesn't stay in the queue."""
    bench.release().walk()
    bench.account.jobs.script = lambda _request: [JobResult("", "IN_QUEUE")]
    with pytest.raises(ReleaseRolledBack, match="has not ended after"):
        bench.release("env: {NEW: value}\n").walk()
    assert bench.account.jobs.cancelled == ["job-2"]


def test_a_release_killed_between_the_change_and_its_tests_still_goes_back(bench: Bench) -> None:
    """What was there before is on disk before anything changes, and the next run goes on with the tests."""
    bench.release().walk()
    (before,) = bench.account.cloud.held_endpoints.values()

    def killed() -> None:
        raise KeyboardInterrupt

    bench.account.jobs.on_look = killed
    with pytest.raises(KeyboardInterrupt):
        bench.release("env: {NEW: value}\n").walk()
    assert bench.journal.memory.pending == "update"
    bench.account.jobs.on_look = lambda: None
    bench.account.jobs.script = WRONG
    with pytest.raises(ReleaseRolledBack):
        bench.release("env: {NEW: value}\n").walk()
    assert bench.ended["provision"] == "cached"
    assert next(iter(bench.account.cloud.held_endpoints.values())).spec == before.spec


def test_what_is_in_the_way_at_runpod_is_found_before_a_build(bench: Bench) -> None:
    """A missing secret stops the release before the engine is asked: nobody waits for a build in vain."""
    release = bench.release("secrets: [HF_TOKEN]\n")
    bench.doors.registry.digests.pop(release.line.context.reference)
    with pytest.raises(PreflightFailed, match="HF_TOKEN"):
        release.walk()
    assert not bench.doors.engine.built and bench.account.cloud.changes() == []


def test_new_tests_alone_put_nothing_back(bench: Bench) -> None:
    """When only the tests changed, a failure is theirs: the deployment stays."""
    bench.release().walk()
    release = bench.release()
    test = release.line.file.recipe.tests[0]
    changed = release.line.file.recipe.model_copy(update={"tests": (test.model_copy(update={"expect": {"a": 9}}),)})
    release.line.file = replace(release.line.file, recipe=changed)
    changes = bench.account.cloud.changes()
    with pytest.raises(TestJobFailed, match="1 of 1 test job failed"):
        release.walk()
    assert bench.account.cloud.changes() == changes


def test_the_history_has_what_ran_and_how_it_ended(bench: Bench) -> None:
    """A good release, one that was put back, and nothing for a run that changed and asked nothing."""
    bench.release().walk()
    bench.release().walk()
    bench.account.jobs.script = WRONG
    with pytest.raises(ReleaseRolledBack):
        bench.release("env: {NEW: value}\n").walk()
    (endpoint,) = bench.account.cloud.held_endpoints.values()
    good, bad = bench.journal.memory.history
    assert (good.outcome, good.endpoint, good.problems, good.restored_at) == ("good", endpoint.spec, (), 0.0)
    assert (bad.outcome, bad.endpoint.env) == ("rolled_back", {"NEW": "value"}) and "1: a: " in bad.problems[0]
    assert good.at <= bad.at and "@" in good.who and good.digest.startswith("sha256:")


def test_a_first_release_that_fails_is_in_the_history_as_stopped(bench: Bench) -> None:
    """With the scale that it had, not the one that it was stopped with."""
    bench.account.jobs.script = WRONG
    with pytest.raises(ReleaseStopped):
        bench.release().walk()
    (past,) = bench.journal.memory.history
    assert (past.outcome, past.endpoint.workers_max) == ("stopped", 3)


# --- as it was left --------------------------------------------------------------------------------------------------
LOOKS = ("balance", "gpus", "data_centers", "secrets", "volumes", "logins", "templates", "endpoints", "rollout")


def asked_again(bench: Bench, extra: str = "", **look: bool) -> list[str]:
    """Release again, and return what the account was asked."""
    release = bench.release(extra)
    release.look = Look(bench.doors.registry, **look)
    bench.account.cloud.calls.clear()
    release.walk()
    return bench.account.cloud.calls


def test_what_is_as_it_was_left_is_one_look(bench: Bench) -> None:
    """Right after the first release, and after one that changed something; the catalogue is left alone."""
    for extra in ("", "env: {NEW: value}\n"):
        bench.release(extra).walk()
        assert asked_again(bench, extra) == ["holdings"]


@pytest.mark.parametrize("was_private", [False, True])
def test_an_image_that_only_a_login_may_pull_is_noticed(bench: Bench, was_private: bool) -> None:
    """Workers could not start: the login is made. That anybody may pull by now needs nothing, and is not asked."""
    release = bench.release()
    release.look, release.login_for = Look(bench.doors.registry, was_private), lambda _registry: ("ada", "secret")
    release.walk()
    assert bool(bench.account.cloud.held_logins) is was_private
    release = bench.release()
    release.look, release.login_for = Look(bench.doors.registry, not was_private), lambda _registry: ("ada", "secret")
    bench.account.cloud.calls.clear()
    assert release.walk().deployment.was_changed is not was_private
    assert bench.account.cloud.held_logins and (bench.account.cloud.calls == ["holdings"]) is was_private


def test_what_was_never_seen_right_is_not_settled(bench: Bench) -> None:
    """A release that is killed, or fails its tests, leaves nothing to rely on: the next looks at everything."""
    bench.release().walk()
    assert bench.journal.memory.settled
    bench.account.jobs.script = WRONG
    with pytest.raises(ReleaseRolledBack):
        bench.release("env: {NEW: value}\n").walk()
    assert not bench.journal.memory.settled
    bench.account.jobs.script = RIGHT
    assert set(LOOKS) <= set(asked_again(bench))


class Meeting:
    """Doors that answer when so many of them are being asked at once."""

    def __init__(self, count: int) -> None:
        self.barrier = threading.Barrier(count)

    def at(self, door: object, name: str) -> None:
        """Let a method answer once the others are asked, too; each meets once."""
        answer, has_met = getattr(door, name), threading.Event()

        def meet(*args: object, **kwargs: object) -> object:
            if not has_met.is_set():
                has_met.set()
                self.barrier.wait(timeout=20)
            return answer(*args, **kwargs)

        setattr(door, name, meet)


def test_all_is_asked_at_once(bench: Bench) -> None:
    """RunPod and the registry answer only while the Hub is being asked: one after the other would never end."""
    model = f"{GPU}model: {{repo: org/small, placement: volume}}\n"
    bench.release(model).walk()
    release, meeting = bench.release(model), Meeting(3)
    for door, name in (
        (bench.doors.hub, "info"),
        (bench.account.cloud, "holdings"),
        (bench.doors.registry, "digest"),
    ):
        meeting.at(door, name)
    bench.account.cloud.calls.clear()
    assert not release.walk().deployment.was_changed and bench.account.cloud.calls == ["holdings"]


@dataclass
class ProvingLine(Line):
    """A line whose images need no content: each proof is counted."""

    proofs: int = 0

    def verify(self, pushed: PushedImage, *, runs: bool) -> tuple[Report, DiskPlan]:
        """Prove it."""
        self.proofs += 1
        return Report(pushed, SIZE, ()), self.plan


@pytest.mark.parametrize("is_forced", [False, True])
def test_force_does_every_stage_again(bench: Bench, is_forced: bool) -> None:
    """Built, pushed, proved, all of the account looked at, and the test jobs asked; without it none of these."""
    bench.release().walk()
    release = bench.release()
    line = release.line
    release.line = ProvingLine(line.file, line.doors, line.machine, line.tell, is_forced=is_forced)
    if is_forced:  # it is built to the digest that was proved
        release.journal.memory.verified = sha256(line.context.reference)
        bench.doors.registry.digests[line.context.reference] = release.journal.memory.verified
    bench.account.cloud.calls.clear()
    bench.account.jobs.requests_made.clear()
    release.walk()
    made = 2 if is_forced else 0  # the image, and its environment for the patch lane
    assert (len(bench.doors.engine.built), len(bench.doors.engine.pushed)) == (made, made)
    assert release.line.proofs == is_forced and len(bench.account.jobs.requests_made) == is_forced
    assert ("gpus" in bench.account.cloud.calls) is is_forced
