"""How what is there differs from what must be, resource by resource and field by field.

| kind | means |
| --- | --- |
| create | it isn't there |
| update | changed in place, no worker notices |
| release | a new version: workers roll |
| replace | can't become what it must be; removed and made again, only when that is asked for |
| impossible | can't become what it must be, and is never removed |
| unchanged | nothing to do |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from factory.account import Endpoint, EndpointSpec, Login, Template, TemplateSpec, Volume
from factory.provisioning.desired import VolumeWish
from factory.provisioning.observed import NEW
from factory.recipe.tokens import is_secret_name, looks_random, redacted, token_in

Kind = Literal["create", "update", "release", "replace", "impossible", "unchanged"]
Resource = Literal["volume", "login", "template", "endpoint"]

HIDDEN = "(hidden)"
# What a worker is made of: a change makes a new version and rolls the workers. The rest changes in place (REST v1's
# OpenAPI on PATCH /endpoints, and runpod-flash's list, both read 2026-11-23; they differ on FlashBoot alone).
CONTAINER = ("image", "container_disk_gb", "env", "login")
PLACEMENT = ("pools", "gpu_count", "min_cuda", "cpus", "data_centers")
SCALING = (
    "workers_min",
    "workers_max",
    "idle_timeout_s",
    "scaler",
    "scaler_value",
    "execution_timeout_ms",
    "flashboot",
)
ROLLING = frozenset({*CONTAINER, *PLACEMENT, "volume", "args", "models"})


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field: what it is and what it will be, fit to be shown (secrets hidden)."""

    field: str
    old: object
    new: object
    note: str = ""


@dataclass(frozen=True, slots=True)
class Action:
    """What happens to one resource. `id` is empty until it exists; `fix` is what to do about one that can't."""

    kind: Kind
    resource: Resource
    name: str
    id: str = ""
    changes: tuple[FieldChange, ...] = ()
    reason: str = ""
    fix: str = ""
    is_ambiguous: bool = False

    @property
    def is_change(self) -> bool:
        """Does anything happen?"""
        return self.kind != "unchanged"


def for_volume(wish: VolumeWish, wanted: Sequence[str], volumes: Sequence[Volume]) -> tuple[Action, Volume | None]:
    """Compare the network volume; `wanted` are the recipe's own data centres. It only ever grows."""
    found = [volume for volume in volumes if volume.name == wish.name]
    if len(found) > 1:
        return _ambiguous("volume", wish.name, [f"{v.id} in {v.data_center}" for v in found]), None
    if not found:
        return _new_volume(wish, wanted), None
    volume = found[0]
    if wanted and volume.data_center not in wanted:
        return Action(
            "impossible",
            "volume",
            wish.name,
            volume.id,
            (FieldChange("data_center", volume.data_center, ", ".join(wanted)),),
            f"volume {wish.name} is in {volume.data_center}, the recipe wants {', '.join(wanted)}; volumes never move",
            f"add {volume.data_center} to endpoint.data_centers, or name another volume in the recipe (volume: …)",
        ), volume
    if volume.size_gb < wish.size_gb:
        change = FieldChange("size_gb", volume.size_gb, wish.size_gb, "it never shrinks again")
        return Action("update", "volume", wish.name, volume.id, (change,)), volume
    reason = "made by another recipe of this run" if volume.id == NEW else ""
    if volume.size_gb > wish.size_gb:
        reason = f"{volume.size_gb} GB, more than the {wish.size_gb} GB needed; volumes never shrink"
    return Action("unchanged", "volume", wish.name, volume.id, reason=reason), volume


def _new_volume(wish: VolumeWish, wanted: Sequence[str]) -> Action:
    if wish.data_center is None:
        where = f"none of {', '.join(wanted)} has" if wanted else "no data centre has"
        return Action(
            "impossible",
            "volume",
            wish.name,
            reason=f"{where} network volumes",
            fix="name a data centre that has them in endpoint.data_centers",
        )
    return Action(
        "create",
        "volume",
        wish.name,
        changes=(
            FieldChange("data_center", None, wish.data_center, "" if wanted else "chosen by stock; it never moves"),
            FieldChange("size_gb", None, wish.size_gb),
        ),
    )


def for_login(name: str, logins: Sequence[Login]) -> tuple[Action, Login | None]:
    """Compare the registry login: it is there or not, since its password can't be read back."""
    found = [login for login in logins if login.name == name]
    if len(found) > 1:
        return _ambiguous("login", name, [login.id for login in found]), None
    if not found:
        return Action("create", "login", name, reason="the image is private"), None
    reason = "made by another recipe of this run" if found[0].id == NEW else "its password can't be compared"
    return Action("unchanged", "login", name, found[0].id, reason=reason), found[0]


def for_template(
    spec: TemplateSpec, login: str | None, templates: Sequence[Template]
) -> tuple[Action, Template | None]:
    """Compare the template; those that the platform bound to an endpoint are none of ours."""
    found = [template for template in templates if template.spec.name == spec.name and not template.is_bound]
    if len(found) > 1:
        return _ambiguous("template", spec.name, [template.id for template in found]), None
    if not found:
        changes = _container_changes(None, spec, login)
        return Action("create", "template", spec.name, changes=changes), None
    template = found[0]
    if not template.is_serverless:
        return Action(
            "replace",
            "template",
            spec.name,
            template.id,
            (FieldChange("is_serverless", False, True),),
            f"template {spec.name} is a pod template, which no endpoint can use and RunPod never changes into one",
            "run `factory provision --replace`, which removes it and makes it again, or rename it at RunPod",
        ), template
    changes = _container_changes(template.spec, spec, login)
    if template.args:
        changes += (FieldChange("args", _shown_args(template.args), "", "the image's own command runs"),)
    return Action("update" if changes else "unchanged", "template", spec.name, template.id, changes), template


def for_endpoint(
    spec: EndpointSpec,
    login: str | None,
    volume: str | None,
    endpoints: Sequence[Endpoint],
    models: Sequence[str] = (),
) -> tuple[Action, Endpoint | None]:
    """Compare the endpoint. `volume` is the desired volume's name, `models` are the desired cached models."""
    found = [endpoint for endpoint in endpoints if endpoint.spec.name == spec.name]
    if len(found) > 1:
        return _ambiguous("endpoint", spec.name, [endpoint.id for endpoint in found]), None
    if not found:
        changes = _endpoint_changes(None, spec, login, volume) + _model_changes((), models)
        return Action("create", "endpoint", spec.name, changes=changes), None
    endpoint = found[0]
    if blocker := _cannot_become(endpoint, spec):
        change, reason = blocker
        fix = "run `factory provision --replace`: its id and URL change, and its queued jobs are lost"
        return Action("replace", "endpoint", spec.name, endpoint.id, (change,), reason, fix), endpoint
    changes = _endpoint_changes(endpoint.spec, spec, login, volume) + _model_changes(models_of(endpoint), models)
    if endpoint.extra.get("args"):  # REST v2 has them on the endpoint itself, GraphQL on its template
        changes += (FieldChange("args", _shown_args(endpoint.extra["args"]), "", "the image's own command runs"),)
    kind: Kind = "unchanged"
    kept = sorted(set(endpoint.extra) - {"args", "models"})
    reason = f"kept as they are: {', '.join(kept)}" if kept else ""
    if changes:
        kind = "release" if any(change.field in ROLLING for change in changes) else "update"
    return Action(kind, "endpoint", spec.name, endpoint.id, changes, reason), endpoint


def _cannot_become(endpoint: Endpoint, spec: EndpointSpec) -> tuple[FieldChange, str] | None:
    if not endpoint.is_queue:
        what = f"endpoint {spec.name} is a load balancer, and RunPod makes no queue of one"
        return FieldChange("type", "load balancer", "queue"), what
    if bool(endpoint.spec.cpus) != bool(spec.cpus):
        old, new = ("CPU", "GPU") if endpoint.spec.cpus else ("GPU", "CPU")
        what = f"endpoint {spec.name} has {old} workers, and RunPod gives none of another kind to it"
        return FieldChange("compute", old, new), what
    return None


# --- fields ----------------------------------------------------------------------------------------------------------
def _container_changes(
    old: TemplateSpec | EndpointSpec | None, new: TemplateSpec | EndpointSpec, login: str | None
) -> tuple[FieldChange, ...]:
    """Compare what templates and endpoints have in common."""
    changes = []
    if old is None or old.image != new.image:
        changes.append(FieldChange("image", old.image if old else None, new.image))
    if old is None or old.container_disk_gb != new.container_disk_gb:
        changes.append(FieldChange("container_disk_gb", old.container_disk_gb if old else None, new.container_disk_gb))
    if (old is None and new.env) or (old is not None and dict(old.env) != dict(new.env)):
        changes.append(_env_change(old.env if old else {}, new.env))
    if (old.login_id if old else None) != new.login_id:
        changes.append(FieldChange("login", old.login_id if old else None, login))
    return tuple(changes)


def _endpoint_changes(
    old: EndpointSpec | None, new: EndpointSpec, login: str | None, volume: str | None
) -> tuple[FieldChange, ...]:
    changes = list(_container_changes(old, new, login))
    for name in (*PLACEMENT, *SCALING):
        if name == "gpu_count" and new.cpus:
            continue  # a CPU worker has none, whatever RunPod says of it
        before, after = getattr(old, name, None), getattr(new, name)
        if before != after and not (old is None and after in (None, ())):
            changes.append(FieldChange(name, before, after, _note(name, before, after)))
    before_ids = old.volume_ids if old else ()
    if before_ids != new.volume_ids:
        note = "unlinked; it stays, and is billed" if not new.volume_ids else ""
        changes.append(FieldChange("volume", ", ".join(before_ids) or None, volume, note))
    return tuple(changes)


def models_of(endpoint: Endpoint) -> tuple[str, ...]:
    """Return the cached models that an endpoint is known to have; REST v2's own list of endpoints says none."""
    return tuple(endpoint.extra.get("models") or ())


def _model_changes(old: Sequence[str], new: Sequence[str]) -> tuple[FieldChange, ...]:
    """Compare the cached models; their order means nothing."""
    if set(old) == set(new):
        return ()
    return (FieldChange("models", tuple(old), tuple(new), "" if new else "none: RunPod brings no model any more"),)


def _note(name: str, before: object, after: object) -> str:
    if name == "workers_max" and after == 0:
        return "no job will run"
    if name == "min_cuda" and after is None and before is not None:
        return "no floor"
    return ""


def _env_change(old: Mapping[str, str], new: Mapping[str, str]) -> FieldChange:
    """Show the whole environment, since it is replaced and not merged. What only RunPod holds is never shown."""
    before = {name: shown_value(name, value) if name in new else HIDDEN for name, value in sorted(old.items())}
    after = {name: shown_value(name, value) for name, value in sorted(new.items())}
    gone = ", ".join(sorted(set(old) - set(new)))
    note = "" if not old else f"replaced whole{f'; {gone} will be gone' if gone else ''}"
    return FieldChange("env", before, after, note)


def shown_value(name: str, value: str) -> str:
    """Return a variable's value as it may be printed: a reference to a secret as it is, what may be one hidden."""
    if value.strip().startswith("{{") and value.strip().endswith("}}"):
        return value
    return HIDDEN if is_secret_name(name) or token_in(value) or looks_random(value) else value


def _shown_args(args: str) -> str:
    return HIDDEN if looks_random(args) else redacted(args)


def _ambiguous(resource: Resource, name: str, ids: Sequence[str]) -> Action:
    return Action(
        "impossible",
        resource,
        name,
        reason=f"{len(ids)} {resource}s have the name {name} ({', '.join(ids)})",
        fix="rename or remove all but one at RunPod",
        is_ambiguous=True,
    )
