"""RunPod's business rules, one function each: it returns or raises `Refused`.

"Recorded" texts were seen in answers of the real service (fact sheet of 2026-11-23, drawn from public repositories).
The others are our own words: what RunPod says there is not known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol

from factory.emulator.runpod.catalogue import DataCenter, Tier
from factory.emulator.runpod.entities import Change, Container, Endpoint, Login, Person, Template, Volume
from factory.emulator.runpod.refusals import Refused

MIN_VOLUME_GB, MAX_VOLUME_GB = 10, 4096
"""REST v2's OpenAPI, read 2026-11-23."""
MIN_BALANCE_USD = 0.01


class Named(Protocol):
    """What has an id and a name."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def name(self) -> str:
        """Its name."""
        ...


def check_name_is_free(what: str, name: str, held: Iterable[Named], *, but: str | None = None) -> None:
    """Names of templates, registry logins and secrets are unique in an account (docs.runpod.io, read 2026-11-23)."""
    if any(other.name == name and other.id != but for other in held):
        raise Refused(400, f"{what.capitalize()} name must be unique: {name} exists")


def check_unused(what: str, users: Collection[str]) -> None:
    """What an endpoint uses can't be deleted."""
    if users:
        raise Refused(400, f"The {what} is in use by {_listed(users)}. Delete or change the endpoint first.")


def _listed(names: Collection[str]) -> str:
    return ("endpoint " if len(names) == 1 else "endpoints ") + ", ".join(sorted(names))


# --- volumes ---------------------------------------------------------------------------------------------------------
def check_volume_size(size_gb: int) -> None:
    """10 to 4096 GB."""
    if not MIN_VOLUME_GB <= size_gb <= MAX_VOLUME_GB:
        raise Refused(400, f"Network volume size must be between {MIN_VOLUME_GB} and {MAX_VOLUME_GB} GB.")


def check_growth(volume: Volume, size_gb: int) -> None:
    """A volume only grows."""
    if size_gb < volume.size_gb:
        raise Refused(
            400, f"Network volume size cannot be reduced: it has {volume.size_gb} GB, and {size_gb} GB were asked for."
        )


def chosen_tier(known: Mapping[str, DataCenter], data_center: str, tier: Tier | None) -> Tier:
    """Return the storage tier of a new volume; a wrong data centre is answered with the valid ones (REST v2's docs)."""
    valid = ", ".join(sorted(dc.id for dc in known.values() if dc.tiers and tier in (None, *dc.tiers)))
    if data_center not in known:
        raise Refused(400, f"Data center {data_center} not found. Valid data centers: {valid}")
    offered = known[data_center].tiers
    if not offered or tier not in (None, *offered):
        what = f"{tier} network volumes" if offered else "network volumes"
        raise Refused(400, f"Data center {data_center} does not support {what}. Valid data centers: {valid}")
    return tier or offered[0]


# --- endpoints -------------------------------------------------------------------------------------------------------
def check_balance(person: Person) -> None:
    """Recorded: nobody without money makes an endpoint."""
    if person.balance_usd < MIN_BALANCE_USD:
        raise Refused(400, "You must have at least $0.01 in your account balance to create an endpoint.")


def check_quota(endpoint: Endpoint, held: Iterable[Endpoint], quota: int) -> None:
    """Recorded: the sum of all endpoints' maximum of workers is limited."""
    left = max(0, quota - sum(e.workers_max for e in held if e.id != endpoint.id))
    if endpoint.workers_max > left:
        raise Refused(
            400,
            f"Max workers across all endpoints must not exceed your workers quota ({quota}). Reduce the max workers "
            f"for other endpoints or lower the max worker count for this endpoint to at most {left}.",
        )


def check_template(endpoint: Endpoint, templates: Mapping[str, Template]) -> None:
    """Recorded: both texts. A linked template must be there (and not be bound to another endpoint), for serverless."""
    if endpoint.template_id is None:
        return
    template = templates.get(endpoint.template_id)
    if template is None or template.bound_endpoint_id not in (None, endpoint.id):
        raise Refused(404, "Unable to find template")
    if not template.is_serverless:
        raise Refused(422, "Serverless endpoints cannot use pod templates. Please use a serverless template.")


def check_login(container: Container, logins: Mapping[str, Login]) -> None:
    """A container's registry login must be there."""
    if container.login_id is not None and container.login_id not in logins:
        raise Refused(400, f"Container registry auth {container.login_id} not found")


def check_workers(endpoint: Endpoint) -> None:
    """No more workers at least than at most; GPU or CPU, not both and not neither."""
    if endpoint.workers_min > endpoint.workers_max:
        raise Refused(
            400, f"workers.min ({endpoint.workers_min}) must not exceed workers.max ({endpoint.workers_max})."
        )
    if bool(endpoint.pools) == bool(endpoint.cpus):
        raise Refused(400, "Exactly one of gpu and cpu must be given.")


def check_places(endpoint: Endpoint, volumes: Mapping[str, Volume], known: Mapping[str, DataCenter]) -> None:
    """Data centres exist; volumes exist, one per data centre, where the endpoint may run."""
    for place in endpoint.data_centers:
        if not any(data_center.is_at(place) for data_center in known.values()):
            raise Refused(400, f"Data center {place} not found. Valid data centers: {', '.join(sorted(known))}")
    homes: dict[str, str] = {}
    for volume_id in endpoint.volume_ids:
        if volume_id not in volumes:
            raise Refused(400, f"Network volume {volume_id} not found")
        home = volumes[volume_id].data_center
        if home in homes:
            raise Refused(400, f"Only one network volume per data center: {homes[home]} and {volume_id} are in {home}")
        homes[home] = volume_id
        if endpoint.data_centers and not any(known[home].is_at(place) for place in endpoint.data_centers):
            raise Refused(
                400,
                f"Network volume {volume_id} is in {home}, which is not among the endpoint's data centers: "
                f"{', '.join(endpoint.data_centers)}",
            )


def check_stays(old: Endpoint, new: Endpoint) -> None:
    """A queue stays a queue, and a CPU endpoint has no GPU (REST v2: "compute family cannot be changed")."""
    if old.kind != new.kind:
        raise Refused(400, "The type of an endpoint cannot be changed.")
    if bool(old.cpus) != bool(new.cpus):
        raise Refused(400, "The compute family of an endpoint (gpu or cpu) cannot be changed.")


def changes_between(old: Endpoint, new: Endpoint) -> list[Change]:
    """Return what makes a release: everything that a worker is made of, in the words of REST v2's release diff.

    Its OpenAPI names `gpuCount`, `locations`, `template.imageName`, `template.env`; the others are named alike. Name,
    scaling, time-outs and FlashBoot change in place (REST v1's OpenAPI).
    """
    before, after = _made_of(old), _made_of(new)
    return [Change(name, before[name], after[name]) for name in before if before[name] != after[name]]


def _made_of(endpoint: Endpoint) -> dict[str, Any]:
    container = endpoint.container
    return {
        "template.imageName": container.image,
        "template.dockerArgs": container.args,
        "template.containerDiskInGb": container.disk_gb,
        "template.env": dict(container.env),
        "template.ports": list(container.ports),
        "template.containerRegistryAuthId": container.login_id,
        "gpuIds": ",".join([*endpoint.pools, *(f"-{gpu}" for gpu in endpoint.excluded_gpus)]),
        "gpuCount": endpoint.gpu_count,
        "allowedCudaVersions": ",".join(endpoint.allowed_cuda),
        "minCudaVersion": endpoint.min_cuda,
        "instanceIds": [f"{cpu.id}:{cpu.vcpus}" for cpu in endpoint.cpus],
        "locations": ",".join(endpoint.data_centers),
        "networkVolumeIds": list(endpoint.volume_ids),
        "modelReferences": list(endpoint.model_references),
    }
