"""Gather all that can be known of one endpoint, once and in parallel: what the rules of the diagnosis look at.

Each question is asked in a thread of its own, and none keeps the others waiting for longer than `LIMIT_S`. What can't
be had is a gap with its reason, never an error; only an account whose endpoints can't be listed is one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from factory.account import Balance, Endpoint, EndpointSpec, Template, Volume
from factory.deploying import disks_for
from factory.diagnosis.evidence import Evidence, Failure, KnownJob, ModelState
from factory.errors import CloudUnreachable, FactoryError
from factory.glimpses import Glimpses
from factory.journal import Memory
from factory.ledger import Ledger
from factory.live import AccountDoors
from factory.looking import ImageLook
from factory.pipeline import Line
from factory.ports import Cloud, ModelHub, Registry, VolumeStore
from factory.provisioning.observed import ImageState, Observed
from factory.provisioning.plan import Plan
from factory.questions import Answer, Asking
from factory.recipe.model import Model, Recipe
from factory.records import DiskPlan
from factory.stages.plan import plan
from factory.stages.resolve import resolve
from factory.volume.failures import LeftFailure, failures

SAMPLES = 3
WINDOW_S = 0.6
"""Long enough to see a worker flip between states and to get the tails of its log, short enough to be waited for."""
LIMIT_S = 20.0
JOBS_LOOKED_AT = 20
JOBS_ASKED = 8  # of those that have not ended as far as the ledger knows
ON_THE_VOLUME = "failures on the volume"


@dataclass(frozen=True, slots=True)
class Target:
    """What is diagnosed: a recipe's endpoint, or one that is named by name or id, and who can tell of it.

    `line` is the recipe on the road (None without one), `memory` what its last release from here noted. `registry`
    sees images as this machine may. `store` opens a volume's files, None without keys for them.
    """

    name: str
    account: AccountDoors
    ledger: Ledger
    look: ImageLook
    registry: Registry
    line: Line | None = None
    memory: Memory | None = None
    store: Callable[[Volume], VolumeStore] | None = None


def gather(target: Target, *, samples: int = SAMPLES, window_s: float = WINDOW_S) -> Evidence:
    """Return all that can be known. Raises what the port raises when the account's endpoints can't be listed."""
    asking = Asking(LIMIT_S + window_s)
    account = _AccountAnswers(target.account.cloud, asking)
    recipe = _RecipeAnswers(target.line, target, asking) if target.line else None
    endpoint = _endpoint(target.name, account.listed_endpoints(), asking)
    own = _EndpointAnswers(target, endpoint, asking) if endpoint else None
    left = asking.ask(ON_THE_VOLUME, lambda: _failures(target, account.volumes_of(endpoint)))
    if own:
        own.glimpses.take(samples, window_s)
    observed = account.observed()
    disks, planned = recipe.planned(observed, is_whole=account.is_whole) if recipe else (None, None)
    template, volumes = _parts(endpoint, observed) if endpoint else (None, ())
    if target.store is None:
        asking.note(ON_THE_VOLUME, "they are read through RunPod's S3 API, which has keys of its own")
    return Evidence(
        name=target.name,
        account=observed,
        recipe=target.line.file if target.line else None,
        endpoint=endpoint,
        template=template,
        volumes=volumes,
        samples=tuple(own.glimpses.samples) if own else (),
        rollout=own.rollout.value() if own else None,
        releases=own.releases.value() or () if own else (),
        logs=own.glimpses.logs() if own else {},
        job_api_status=own.glimpses.job_api_status if own else None,
        image=own.image.value() if own else None,
        expected=recipe.image.value() if recipe else None,
        disks=disks,
        models=recipe.models.value() or () if recipe else (),
        plan=planned,
        jobs=own.jobs.value() or () if own else (),
        failures=left.value() or (),
        good=_good(target.memory),
        gaps=dict(sorted(asking.gaps.items())),
    )


class _AccountAnswers:
    """The account's lists, all asked for at once."""

    def __init__(self, cloud: Cloud, asking: Asking) -> None:
        self._endpoints = asking.ask("endpoints", cloud.endpoints)
        self._balance = asking.ask("balance", cloud.balance)
        self._gpus = asking.ask("GPU types", cloud.gpus)
        self._centers = asking.ask("data centres", cloud.data_centers)
        self._secrets = asking.ask("secrets", cloud.secrets)
        self._volumes = asking.ask("volumes", cloud.volumes)
        self._logins = asking.ask("registry logins", cloud.logins)
        self._templates = asking.ask("templates", cloud.templates)

    def listed_endpoints(self) -> tuple[Endpoint, ...]:
        """Return the endpoints; without them there is nothing to diagnose, so here a gap is an error."""
        found = self._endpoints.value()
        if found is None:
            silence = CloudUnreachable(f"no answer within {LIMIT_S:g} s", where="RunPod account", fix="try again")
            raise self._endpoints.error or silence
        return found

    def volumes_of(self, endpoint: Endpoint | None) -> tuple[Volume, ...]:
        """Return an endpoint's volumes."""
        ids = endpoint.spec.volume_ids if endpoint else ()
        return tuple(volume for volume in self._volumes.value() or () if volume.id in ids)

    @property
    def is_whole(self) -> bool:
        """Was every list to be had? A plan on half an account would be wrong."""
        answers: tuple[Answer[object], ...] = (
            *(self._balance, self._gpus, self._centers, self._secrets),
            *(self._volumes, self._logins, self._templates),
        )  # type: ignore[assignment]  # each has a type of its own
        return all(answer.value() is not None for answer in answers)

    def observed(self) -> Observed:
        """Return the account; an unknown balance is not a number, which no comparison finds too small."""
        return Observed(
            self._balance.value() or Balance(math.nan, 0.0),
            self._gpus.value() or (),
            self._centers.value() or (),
            self._secrets.value() or (),
            self._volumes.value() or (),
            self._logins.value() or (),
            self._templates.value() or (),
            self._endpoints.value() or (),
        )


class _RecipeAnswers:
    """What the Hub and the registry say of a recipe now."""

    def __init__(self, line: Line, target: Target, asking: Asking) -> None:
        self._line = line
        self._asking = asking
        self.models = asking.ask("models", lambda: _models(line.file.recipe, line.doors.hub, target.memory))
        self.image = asking.ask("the recipe's image", lambda: _expected(line, target.look))

    def planned(self, observed: Observed, *, is_whole: bool) -> tuple[DiskPlan | None, Plan | None]:
        """Return the disks and what `factory plan` would do now, as far as these can be known."""
        line, image = self._line, self.image.value()
        if image is None:
            self._asking.note("plan", "the recipe's models or image could not be looked at")
            return None, None
        try:
            disks = disks_for(line, image, observed)
        except FactoryError as error:
            self._asking.note("disks", str(error))
            return None, None
        if not is_whole:
            self._asking.note("plan", "the account could not be seen whole")
            return disks, None
        return disks, plan(line.file.recipe, disks, image, observed, models=line.models)


class _EndpointAnswers:
    """What is known of the endpoint itself."""

    def __init__(self, target: Target, endpoint: Endpoint, asking: Asking) -> None:
        cloud, reference = target.account.cloud, endpoint.spec.image
        self.rollout = asking.ask("rollout", lambda: cloud.rollout(endpoint.id))
        self.releases = asking.ask("releases", lambda: cloud.releases(endpoint.id))
        self.image = asking.ask("the endpoint's image", lambda: target.look.at(reference, target.registry))
        self.jobs = asking.ask("jobs", lambda: _jobs(target, endpoint))
        self.glimpses = Glimpses(target.account, endpoint.id, asking)


# --- one answer each -------------------------------------------------------------------------------------------------
def _endpoint(name: str, endpoints: tuple[Endpoint, ...], asking: Asking) -> Endpoint | None:
    """Return the endpoint of that name or id; of several with one name none, and the gap says so."""
    found = [endpoint for endpoint in endpoints if name in (endpoint.spec.name, endpoint.id)]
    if len(found) > 1:
        ids = ", ".join(endpoint.id for endpoint in found)
        asking.note("endpoint", f"{len(found)} endpoints have the name {name} ({ids}); name one by its id")
        return None
    return found[0] if found else None


def _parts(endpoint: Endpoint, account: Observed) -> tuple[Template | None, tuple[Volume, ...]]:
    """Return the template that the endpoint was made from (its link, else its name) and its volumes."""
    linked = (t for t in account.templates if endpoint.template_id == t.id)
    named = (t for t in account.templates if t.spec.name == endpoint.spec.name and not t.is_bound)
    template = next(linked, None) or next(named, None)
    return template, tuple(v for v in account.volumes if v.id in endpoint.spec.volume_ids)


def _expected(line: Line, look: ImageLook) -> ImageState:
    _ = line.models, line.neighbours
    return look.of(line)


def _models(recipe: Recipe, hub: ModelHub, memory: Memory | None) -> tuple[ModelState, ...]:
    """Ask the Hub for each model by itself, so that one that is gone doesn't hide the others."""
    commits = _released_commits(memory)
    return tuple(_model(recipe, model, hub, commits.get(model.repo)) for model in recipe.models)


def _model(recipe: Recipe, model: Model, hub: ModelHub, released: str | None) -> ModelState:
    try:
        (files,) = resolve(recipe.model_copy(update={"models": (model,)}), hub)
    except FactoryError as error:
        return ModelState(model.repo, model.revision, None, error.code, str(error), released)
    return ModelState(model.repo, model.revision, files, released_commit=released)


def _released_commits(memory: Memory | None) -> Mapping[str, str]:
    """Return repository → commit of what last answered its tests, as this machine's journal has it."""
    return next((past.models for past in reversed(memory.history) if past.outcome == "good"), {}) if memory else {}


def _good(memory: Memory | None) -> tuple[EndpointSpec, ...]:
    history = memory.history if memory else []
    return tuple(past.endpoint for past in reversed(history) if past.outcome == "good")


def _failures(target: Target, volumes: tuple[Volume, ...]) -> tuple[Failure, ...]:
    """Return what workers left on the endpoint's volumes, newest first; nothing without keys to look there."""
    if target.store is None:
        return ()
    found: list[LeftFailure] = []
    for volume in volumes:
        door = target.store(volume)
        door.demand()  # which says sooner than a listing that nobody answers
        found += failures(door)
    found.sort(key=lambda left: left.at, reverse=True)
    return tuple(Failure(left.at, left.worker, left.code, left.sentence, left.fix) for left in found)


def _jobs(target: Target, endpoint: Endpoint) -> tuple[KnownJob, ...]:
    """Return the ledger's newest jobs of the endpoint; RunPod is asked about those that may still change."""
    now, asked, found = time.time(), 0, []
    for entry in target.ledger.entries(endpoint_id=endpoint.id, limit=JOBS_LOOKED_AT):
        state_now, error = None, entry.error
        if entry.is_open and asked < JOBS_ASKED:
            asked += 1
            try:
                job = target.account.jobs.status(endpoint.id, entry.id)
                state_now, error = job.state, job.error or error
            except FactoryError:
                asked = JOBS_ASKED  # the job API is away: glimpses say how
        age_s = max(0.0, now - entry.submitted_at)
        found.append(KnownJob(entry.id, entry.submitted_at, entry.state, state_now, error, age_s))
    return tuple(found)
