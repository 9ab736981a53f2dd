"""All that is known of an endpoint at one moment, gathered once: what the rules look at. Frozen; no rule asks anybody.

What could not be had is None (or empty) and named in `gaps`: a rule says nothing about what it doesn't know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from factory.account import CloudWorker, Endpoint, EndpointSpec, Health, LogLine, Release, Rollout, Template, Volume
from factory.provisioning.observed import ImageState, Observed
from factory.provisioning.plan import Plan
from factory.recipe.load import RecipeFile
from factory.records import DiskPlan, ModelFiles


@dataclass(frozen=True, slots=True)
class Sample:
    """One look of several at health and workers; `at_s` is seconds since the first."""

    at_s: float
    health: Health | None
    workers: tuple[CloudWorker, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownJob:
    """A job of the ledger, and what RunPod says of it now (`state_now` None: it wasn't asked)."""

    id: str
    submitted_at: float
    state_before: str
    state_now: str | None
    error: str | None = None
    age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure that a worker left on the volume (`.factory/failures/*.json`)."""

    at: str
    worker: str
    code: str
    sentence: str
    fix: str


@dataclass(frozen=True, slots=True)
class ModelState:
    """One model of the recipe on the Hub now. `released_commit` is what the last release from here had."""

    repo: str
    revision: str
    files: ModelFiles | None
    problem_code: str = ""  # of factory.errors: access_denied, repo_not_found, revision_not_found …
    problem: str = ""
    released_commit: str | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """One endpoint.

    `endpoint` is None when the account has none of that name. `job_api_status` is the HTTP status of the job API's
    answer to /health (200, 404 …). `image` is the image that the endpoint runs, as its registry has it now, and
    `expected` the recipe's as it should be. `plan` is what `factory plan` would do now. `logs` are by worker id, newest
    last. `good` are the configurations that answered their tests when they were released from this machine, newest
    first: what a rollback can put back.
    """

    name: str
    account: Observed
    recipe: RecipeFile | None = None
    endpoint: Endpoint | None = None
    template: Template | None = None
    volumes: tuple[Volume, ...] = ()
    samples: tuple[Sample, ...] = ()
    rollout: Rollout | None = None
    releases: tuple[Release, ...] = ()
    logs: Mapping[str, tuple[LogLine, ...]] = field(default_factory=dict)
    job_api_status: int | None = None
    image: ImageState | None = None
    expected: ImageState | None = None
    disks: DiskPlan | None = None
    models: tuple[ModelState, ...] = ()
    plan: Plan | None = None
    jobs: tuple[KnownJob, ...] = ()
    failures: tuple[Failure, ...] = ()
    good: tuple[EndpointSpec, ...] = ()
    gaps: Mapping[str, str] = field(default_factory=dict)

    @property
    def workers(self) -> tuple[CloudWorker, ...]:
        """The workers as they were last seen."""
        return self.samples[-1].workers if self.samples else ()

    @property
    def health(self) -> Health | None:
        """The counts as they were last seen."""
        return self.samples[-1].health if self.samples else None

    @property
    def queued(self) -> int:
        """Jobs that wait."""
        return self.health.jobs.get("inQueue", 0) if self.health else 0

    @property
    def argument(self) -> str:
        """How commands name this endpoint: the recipe's path, else the endpoint's name or id."""
        return str(self.recipe.path) if self.recipe else self.name
