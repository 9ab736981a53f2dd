"""The whole road: a recipe becomes a live endpoint that answers its test jobs.

    check → resolve → size → render → build → push → verify → provision → run

What is unchanged is not done again: an image that the registry has is not built, a digest that was proved is not proved
anew, an account that is as it should be is left alone, a deployment that answered these tests is not asked again. When
the test jobs fail on a new release, what was there before is put back.
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Protocol

from factory.account import Endpoint, Holdings
from factory.deploying import disks_for
from factory.errors import FactoryError, ReleaseRolledBack, ReleaseStopped, TestJobFailed
from factory.journal import Before, Journal, Outcome, Settled
from factory.live import AccountDoors
from factory.pipeline import Line, Walk
from factory.proving import ask, problems_in
from factory.provisioning.actions import models_of
from factory.provisioning.desired import wants_cached
from factory.provisioning.observed import ImageState, Observed
from factory.provisioning.plan import Plan
from factory.recipe.model import Test
from factory.records import Deployment, JobAnswer, Progress, PushedImage, Tell
from factory.restoring import as_past, as_template, put_back
from factory.settling import as_left, decided_from, holdings, look_again, seen
from factory.shipping import is_own, take_as_it_is
from factory.stages.plan import plan
from factory.stages.provision import LoginFor, observe, provision
from factory.wording import count_text


class Look(Protocol):
    """What a registry says of an image: `looking.ImageLook`."""

    def __call__(self, line: Line, pushed: PushedImage, *, is_public: bool | None = None) -> ImageState:
        """Look at an image that is in its registry."""
        ...

    def public_digest(self, reference: str) -> str | None:
        """Return the digest that a tag has for a stranger."""
        ...


@dataclass(frozen=True, slots=True)
class Released:
    """A live endpoint, and what its test jobs answered; `answers` is empty when they had been answered before."""

    deployment: Deployment
    answers: tuple[JobAnswer, ...]


@dataclass
class Release:
    """One recipe on its way to a live endpoint.

    `look` says what the registry holds, `login_for` what this machine logs in with; with `runs` False verify starts no
    container; `is_replacing` lets an endpoint or template that can't be changed be made anew.
    """

    line: Line
    account: AccountDoors
    journal: Journal
    look: Look
    login_for: LoginFor
    runs: bool = True
    is_replacing: bool = False
    answers: list[JobAnswer] = field(default_factory=list)
    _was_public: bool = False  # a stranger saw the image's tag, just now
    _decided: tuple[Plan, Observed] | None = None  # what this run's look at the whole account led to

    def walk(self) -> Released:
        """Walk the road from where it stopped. Raises what the stages raise, ReleaseRolledBack and ReleaseStopped."""
        line, memory = self.line, self.journal.memory
        line.known = dict(memory.fingerprints)
        looking = self._look_again()
        _ = line.findings, line.plan, line.context
        memory.fingerprints.update(line.fingerprints)
        pushed = self._image()
        self._verified(pushed)
        deployment = self._as_left(pushed, looking) or self._provisioned(pushed)
        self._tested(deployment)
        return Released(deployment, tuple(self.answers))

    # --- the image ---------------------------------------------------------------------------------------------------
    def _image(self) -> PushedImage:
        """Return the image in the registry; where it is there already, the engine is not asked at all."""
        context = self.line.context
        digest = None if self.line.is_forced else self._digest(context.reference)
        if digest is None or not is_own(self.line, context, digest):
            self._foresee()
            return self.line.pushed
        return take_as_it_is(self.line, digest)

    def _digest(self, reference: str) -> str | None:
        """Return the digest that the tag has; of a public image as a stranger sees it, which tells both at once."""
        settled = self.journal.memory.settled
        if settled is not None and settled.is_public and (digest := self.look.public_digest(reference)):
            self._was_public = True
            return digest
        return self.line.doors.registry.digest(reference)

    def _foresee(self) -> None:
        """Find what is in the way at RunPod (balance, quota, pools, secrets) before minutes go into a build."""
        planned, _ = self._plan(ImageState(self.line.context.reference, is_pushed=False))
        if blocker := planned.blocker(is_replacing=self.is_replacing):
            raise blocker

    def _plan(self, image: ImageState) -> tuple[Plan, Observed]:
        """Look at the account, and say what would happen with this image."""
        observed = observe(self.account.cloud, with_models=wants_cached(self.line.file.recipe))
        return self._plan_on(observed, image), observed

    def _plan_on(self, observed: Observed, image: ImageState) -> Plan:
        line = self.line
        return plan(line.file.recipe, disks_for(line, image, observed), image, observed, models=line.models)

    def _verified(self, pushed: PushedImage) -> None:
        """Prove the image unless this digest was proved before; when forced, prove it all the same."""
        line, memory = self.line, self.journal.memory
        if memory.size and memory.verified == pushed.digest and not line.is_forced:
            with line.stage("verify") as stage:
                stage.is_cached, stage.summary = True, f"proved before: {pushed.digest[:19]}…"
            return
        report, _ = line.verify(pushed, runs=self.runs)
        memory.verified, memory.size = pushed.digest, report.size
        self.journal.save()

    # --- the account -------------------------------------------------------------------------------------------------
    def _look_again(self) -> Future[Holdings | None] | None:
        """Begin to look at what an earlier release had settled, while the Hub is asked."""
        memory, line = self.journal.memory, self.line
        settled = memory.settled
        if settled is None or memory.pending or line.is_forced:
            return None
        return look_again(settled, line, lambda: self.account.cloud, self.look.public_digest)

    def _as_left(self, pushed: PushedImage, looking: Future[Holdings | None] | None) -> Deployment | None:
        """Return the deployment when everything is as the last release left it; None when all must be looked at."""
        settled, line = self.journal.memory.settled, self.line
        if looking is None or settled is None or self._was_public != settled.is_public:
            return None
        image = self.look(line, pushed, is_public=settled.is_public)
        if decided_from(line, image, self.journal.memory.size) != settled.decided_from:
            return None
        with line.stage("provision") as stage:
            held = looking.result()
            deployment = as_left(settled, line.file.recipe.name, held) if held else None
            if deployment is None:
                return self._provision(pushed, stage)
            stage.is_cached, stage.summary = True, f"endpoint {deployment.endpoint_id}, as it was left"
            return deployment

    def _provisioned(self, pushed: PushedImage) -> Deployment:
        with self.line.stage("provision") as stage:
            return self._provision(pushed, stage)

    def _provision(self, pushed: PushedImage, stage: Walk) -> Deployment:
        """Look at the whole account, and make it what it must be."""
        image = self.look(self.line, pushed)
        planned, observed = self._plan(image)
        for finding in planned.findings:
            if finding.severity == "warning":
                stage.tell(Progress("note", "provision", finding.sentence))
        self._remember(planned)
        deployment = provision(
            planned, self.account.cloud, stage.tell, is_replacing=self.is_replacing, login_for=self.login_for
        )
        self._decided = (planned, observed)
        stage.is_cached = not deployment.was_changed
        stage.summary = f"endpoint {deployment.endpoint_id}"
        return deployment

    def _settle(self, deployment: Deployment) -> None:
        """Note that nothing is left to change, once that has been seen; after a change the account is looked at again.

        Only what a plan on the account as it is now calls unchanged is settled.
        """
        memory, line = self.journal.memory, self.line
        if self._decided is None:
            return
        planned, observed = self._decided
        volume = line.file.recipe.volume_name if deployment.volume_id else ""
        login = planned.desired.login or ""
        if deployment.was_changed:
            held = holdings(self.account.cloud, line, volume=bool(volume), login=bool(login))
            observed = replace(
                observed,
                endpoints=held.endpoints,
                templates=held.templates,
                volumes=held.volumes,
                logins=held.logins,
            )
        image = planned.image
        is_settled = image.is_public is not None and not self._plan_on(observed, image).has_changes
        before, memory.settled = memory.settled, None
        if is_settled:
            memory.settled = Settled(
                line.context.reference,
                decided_from(line, image, memory.size),
                seen(line.file.recipe.name, observed, volume=volume, login=login),
                bool(image.is_public),
                volume,
                login,
            )
        if memory.settled != before:
            self.journal.save()

    def _remember(self, planned: Plan) -> None:
        """Write down what to put back before anything is changed; an earlier run's note stays until tests pass."""
        memory, endpoint, template = self.journal.memory, planned.existing.endpoint, planned.existing.template
        is_stuck = planned.blocker(is_replacing=self.is_replacing, is_final=True) is not None
        if is_stuck or memory.pending or not planned.has_changes:
            return
        memory.pending, memory.settled = "first", None
        if endpoint is not None and endpoint.spec.workers_max > 0:
            memory.pending = "update"
            action = planned.action("endpoint")
            is_of_models = action is not None and any(change.field == "models" for change in action.changes)
            memory.before = Before(
                endpoint.id,
                template.spec if template else as_template(endpoint.spec),
                endpoint.spec,
                models_of(endpoint) if is_of_models else None,
            )
        self.journal.save()

    # --- the proof ---------------------------------------------------------------------------------------------------
    def _tested(self, deployment: Deployment) -> None:
        line, memory = self.line, self.journal.memory
        tests = line.file.recipe.tests
        mark = _mark(deployment, tests)
        with line.stage("run") as stage:
            # A release that was killed before its tests has changed what they answered, and is still to be judged.
            is_answered = memory.tested == mark and not deployment.was_changed and not memory.pending
            if is_answered and not line.is_forced:
                stage.is_cached, stage.summary = True, f"{count_text(len(tests), 'job')} answered before"
                self._settle(deployment)
                return
            for number, test in enumerate(tests, 1):
                self.answers.append(ask(self.account.jobs, deployment.endpoint_id, test, number, stage.tell))
            if any(answer.problems for answer in self.answers):
                self._undo(deployment, stage.tell)
            stage.summary = f"{count_text(len(tests), 'job')} answered" if tests else "the recipe has no tests"
        memory.tested, memory.pending, memory.before = mark, "", None
        memory.rollback = memory.recreation = None
        memory.note(as_past(self._endpoint(deployment), "good", line.models))
        self.journal.save()
        self._settle(deployment)

    def _endpoint(self, deployment: Deployment) -> Endpoint:
        return next(e for e in self.account.cloud.endpoints() if e.id == deployment.endpoint_id)

    def _undo(self, deployment: Deployment, tell: Tell) -> None:
        """Put back what was there before this release, and raise what the test jobs said."""
        memory = self.journal.memory
        what, found = problems_in(self.answers)
        where = f"endpoint {deployment.endpoint_id}"
        details: dict[str, object] = {"problems": list(found), "image": deployment.image}
        fix = "mend the handler or the test's `expect`, then release again"
        if not memory.pending:
            raise TestJobFailed(what, where=where, fix=fix, details=details)
        before = memory.before
        endpoint = self._endpoint(deployment)
        if before is not None and before.endpoint_id == endpoint.id:
            put_back(self.account.cloud, endpoint, before.template, before.endpoint, tell, models=before.models)
            outcome: Outcome = "rolled_back"
            error: FactoryError = ReleaseRolledBack(
                f"{what}; {before.endpoint.image} is back, with its configuration",
                where=where,
                fix=fix,
                details=details | {"restored": before.endpoint.image},
            )
        else:
            stopped = replace(endpoint.spec, workers_min=0, workers_max=0)
            put_back(self.account.cloud, endpoint, as_template(stopped), stopped, tell)
            outcome = "stopped"
            error = ReleaseStopped(
                f"{what}; it is the first release, so its workers are stopped (workers.max 0) and cost nothing",
                where=where,
                fix=fix,
                details=details,
            )
        memory.pending, memory.before, memory.tested, memory.rollback = "", None, "", None
        memory.note(as_past(endpoint, outcome, self.line.models, problems=found))
        self.journal.save()
        raise error


def _mark(deployment: Deployment, tests: tuple[Test, ...]) -> str:
    """Name a deployment with the tests that it must answer."""
    asked = json.dumps([test.model_dump(mode="json") for test in tests], sort_keys=True)
    return f"{deployment.endpoint_id} {deployment.image} {hashlib.sha256(asked.encode()).hexdigest()[:16]}"
