"""provision: a plan becomes volume, registry login, template and endpoint, in that order.

Each step looks first, by name, right before it creates, so that a run that was killed is taken to its end by the next
and nothing exists twice. A template's change reaches no endpoint by itself: the endpoint is always saved after it, and
reads as before until then, so that a run that was killed between the two shows in the next plan.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from factory.account import Endpoint, Login, Template, Volume
from factory.errors import CannotChange, CloudRefused, PreflightFailed, RolloutTimedOut
from factory.ports import Cloud
from factory.provisioning import actions
from factory.provisioning.actions import Action
from factory.provisioning.desired import Desired
from factory.provisioning.observed import NEW, Observed
from factory.provisioning.plan import Plan
from factory.records import Deployment, Progress, Tell, tell_nobody
from factory.references import parse
from factory.wording import count_text, seconds_text

LoginFor = Callable[[str], tuple[str, str] | None]
FIRST_POLL_S, POLL_S = 0.25, 2.0  # an idle worker is replaced at once, a busy one when its job has ended
START_LIMIT_S = 420  # RunPod gives a worker 7 minutes to start (docs.runpod.io, read 2026-11-23)


def provision(
    plan: Plan,
    cloud: Cloud,
    tell: Tell = tell_nobody,
    *,
    is_replacing: bool = False,
    login_for: LoginFor = lambda _registry: None,
    limit_s: float | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> Deployment:
    """Carry out a plan, and wait until no worker runs an older configuration.

    `is_replacing` lets a template or endpoint that can't be changed be removed and made again. `login_for` gives user
    and password for a registry. `limit_s` is for the workers to roll: by default a worker's start and one job's time.
    Raises PreflightFailed, CannotChange and AmbiguousName before anything is made, RolloutTimedOut, and what the port
    raises.
    """
    blocker = plan.blocker(is_replacing=is_replacing, is_final=True)
    if blocker:
        raise blocker
    work = _Work(plan, cloud, tell, login_for, is_replacing)
    volume = work.volume()
    login = work.login()
    desired = plan.desired.with_ids(
        volume_id=volume.id if volume else None,
        login_id=login.id if login else None,
        data_center=volume.data_center if volume else None,
    )
    template = work.template(desired)
    endpoint = work.endpoint(desired, template)
    is_told_of_models = work.models(desired, endpoint)
    if plan.existing.endpoint is not None or work.was_changed:
        wait_for_rollout(
            endpoint.id,
            cloud,
            tell,
            limit_s=limit_s or START_LIMIT_S + desired.endpoint.execution_timeout_ms / 1000,
            pause=pause,
        )
    return Deployment(
        recipe=plan.recipe,
        endpoint_id=endpoint.id,
        template_id=template.id,
        volume_id=volume.id if volume else None,
        version=None if is_told_of_models else endpoint.version,
        image=desired.endpoint.image,
        was_changed=work.was_changed,
        pools=desired.endpoint.pools,
        data_centers=desired.endpoint.data_centers,
    )


@dataclass(slots=True)
class _Work:
    """One plan being carried out."""

    plan: Plan
    cloud: Cloud
    tell: Tell
    login_for: LoginFor
    is_replacing: bool
    was_changed: bool = False

    def volume(self) -> Volume | None:
        wish = self.plan.desired.volume
        if wish is None:
            return None
        action, volume = self._planned("volume"), self.plan.existing.volume
        if action.kind == "create" or action.id == NEW:
            action, volume = actions.for_volume(wish, self.plan.data_centers, self.cloud.volumes())
        _refuse(action)
        if volume is None:
            assert wish.data_center is not None, "a volume without a place is impossible, which was refused"
            self._say(action, f"in {wish.data_center}, {wish.size_gb} GB")
            return self.cloud.create_volume(wish.name, wish.data_center, wish.size_gb)
        if action.kind == "update":
            self._say(action, f"{volume.size_gb} → {wish.size_gb} GB")
            return self.cloud.grow_volume(volume, wish.size_gb)
        return volume

    def login(self) -> Login | None:
        name = self.plan.desired.login
        if name is None:
            return None
        action, login = self._planned("login"), self.plan.existing.login
        if action.kind == "create" or action.id == NEW:
            action, login = actions.for_login(name, self.cloud.logins())
        _refuse(action)
        if login is not None:
            return login
        pair = self.login_for(parse(self.plan.image.reference).registry)
        if pair is None:
            raise PreflightFailed(
                "the image is private, and this machine has no login for its registry",
                where=self.plan.image.reference,
                fix="run `docker login`",
            )
        self._say(action, "")
        return self.cloud.create_login(name, *pair)

    def template(self, desired: Desired) -> Template:
        spec = desired.template
        action, template = self._planned("template"), self.plan.existing.template
        if action.kind == "create":
            action, template = actions.for_template(spec, desired.login, self.cloud.templates())
        if action.kind == "replace" and self.is_replacing and template is not None:
            self._say(action, "")
            self.cloud.delete_template(template)
            return self.cloud.create_template(spec)
        _refuse(action)
        if template is None:
            self._say(action, "")
            return self.cloud.create_template(spec)
        if action.kind == "update":
            self._say(action, _fields(action))
            return self.cloud.update_template(template, spec)
        return template

    def endpoint(self, desired: Desired, template: Template) -> Endpoint:
        spec, name = desired.endpoint, desired.volume.name if desired.volume else None
        action, endpoint = self._planned("endpoint"), self.plan.existing.endpoint
        if action.kind == "create":
            found = self.cloud.endpoints()
            action, endpoint = actions.for_endpoint(spec, desired.login, name, found, desired.models)
        if action.kind == "replace" and self.is_replacing and endpoint is not None:
            self._say(action, "")
            self.cloud.delete_endpoint(endpoint)
            return self.cloud.create_endpoint(spec, template)
        _refuse(action)
        if endpoint is None:
            self._say(action, "")
            return self.cloud.create_endpoint(spec, template)
        if action.kind in ("update", "release"):
            self._say(action, _fields(action))
            if {change.field for change in action.changes} == {"models"}:
                return endpoint
            changed = self.cloud.update_endpoint(endpoint, spec, template)
            # Every update keeps the cached models, and REST v2's answer doesn't show them.
            return replace(changed, extra={**changed.extra, "models": actions.models_of(endpoint)})
        return endpoint

    def models(self, desired: Desired, endpoint: Endpoint) -> bool:
        """Give the endpoint its cached models, and take away those that are known and not wanted. Was that needed?

        They are no part of what is saved above, so a run that is killed in between leaves them to the next.
        """
        if set(desired.models) == set(actions.models_of(endpoint)):
            return False
        kept = self.cloud.set_models(endpoint.id, desired.models)
        if set(kept) != set(desired.models):
            raise CloudRefused(
                f"RunPod kept other cached models than it was told: {', '.join(kept) or 'none'}",
                where=f"endpoint {endpoint.id}",
                fix="write placement: volume, or see in RunPod's console what it says of the model",
                details={"status": None, "code": "not_kept", "kept": list(kept), "asked": list(desired.models)},
            )
        return True

    def _planned(self, resource: actions.Resource) -> Action:
        action = self.plan.action(resource)
        assert action is not None, f"the plan has no {resource}, though the recipe needs one"
        return action

    def _say(self, action: Action, what: str) -> None:
        self.was_changed = True
        verb = {"create": "making", "replace": "replacing"}.get(action.kind, "changing")
        text = f"{verb} {action.resource} {action.name}{f' ({what})' if what else ''}"
        self.tell(Progress("step", action.resource, text, "started"))


def _fields(action: Action) -> str:
    return ", ".join(change.field for change in action.changes)


def _refuse(action: Action) -> None:
    """Raise what a second look found in the way: something made by other hands since the plan."""
    if action.kind in ("impossible", "replace"):
        raise CannotChange(action.reason, where=f"{action.resource} {action.name}", fix=action.fix)


def wait_for_rollout(
    endpoint_id: str,
    cloud: Cloud,
    tell: Tell,
    *,
    limit_s: float,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Return once no worker runs an older configuration; no worker at all is live at once.

    Raises RolloutTimedOut after `limit_s` seconds of pauses.
    """
    waited_s, pause_s = 0.0, FIRST_POLL_S
    while True:
        rollout = cloud.rollout(endpoint_id)
        left = rollout.total - rollout.on_latest
        if not rollout.is_in_progress and left <= 0:
            workers = f"{count_text(rollout.total, 'worker')} on it" if rollout.total else "no worker is up"
            tell(Progress("log", "rollout", f"live: {workers}"))
            return
        if waited_s >= limit_s:
            raise RolloutTimedOut(
                f"{left} of {count_text(rollout.total, 'worker')} still run an older version after "
                f"{seconds_text(waited_s)}",
                where=f"endpoint {endpoint_id}",
                fix="run it again to wait on; a worker leaves after the job that it is at",
                details={"on_latest": rollout.on_latest, "total": rollout.total},
            )
        tell(Progress("log", "rollout", f"rolling: {rollout.on_latest} of {rollout.total} workers on the new version"))
        pause_s = min(pause_s, limit_s - waited_s)
        pause(pause_s)
        waited_s += pause_s
        pause_s = min(POLL_S, pause_s * 2)


def observe(cloud: Cloud, *, with_models: bool = False) -> Observed:
    """Look at the whole account, once: every list in a thread of its own. Raises what the port raises.

    `with_models` asks for the endpoints' cached models as well, over GraphQL whichever API the cloud speaks.
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(9) as pool:
        models = pool.submit(cloud.all_models) if with_models else None
        balance = pool.submit(cloud.balance)
        gpus = pool.submit(cloud.gpus)
        data_centers = pool.submit(cloud.data_centers)
        secrets = pool.submit(cloud.secrets)
        volumes = pool.submit(cloud.volumes)
        logins = pool.submit(cloud.logins)
        templates = pool.submit(cloud.templates)
        endpoints = pool.submit(cloud.endpoints)
        return Observed(
            balance.result(),
            gpus.result(),
            data_centers.result(),
            secrets.result(),
            volumes.result(),
            logins.result(),
            templates.result(),
            with_models_of(endpoints.result(), models.result() if models else {}),
        )


def with_models_of(endpoints: tuple[Endpoint, ...], models: Mapping[str, tuple[str, ...]]) -> tuple[Endpoint, ...]:
    """Return the endpoints with the cached models that each has, by id: what `Cloud.all_models` says."""
    return tuple(
        replace(endpoint, extra={**endpoint.extra, "models": models[endpoint.id]})
        if endpoint.id in models
        else endpoint
        for endpoint in endpoints
    )
