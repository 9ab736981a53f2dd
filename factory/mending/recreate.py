"""recreate: an endpoint is deleted and made anew with the same configuration, under a new id.

For an endpoint whose job API answers 404 while the management APIs still list it (seen by users after an unpaid
balance). All that is needed to make it is in the journal before it is deleted: killed anywhere, the next run goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from factory.account import Endpoint
from factory.errors import AmbiguousName, CannotChange, CloudRefused, FactoryError, ImageNotInRegistry, PreflightFailed
from factory.journal import Journal, Recreation
from factory.mending import env_file
from factory.ports import Cloud, Registry
from factory.records import Progress, Tell
from factory.restoring import as_template, template_behind
from factory.stages.run import find_endpoint
from factory.telling import stage

LEAST_BALANCE_USD = 0.01  # RunPod refuses to make an endpoint below it (its own words, recorded 2026)


@dataclass(frozen=True, slots=True)
class EnvLine:
    """Where the new id is written to: the variable `key` of a file."""

    path: Path
    key: str


@dataclass(frozen=True, slots=True)
class Recreated:
    """An endpoint under its new id. `lost` names what RunPod did not take over."""

    name: str
    old_id: str
    new_id: str
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Planned:
    """What would be done: an endpoint's configuration, and whether a killed run has begun with it already."""

    journal: Journal
    recreation: Recreation
    is_under_way: bool


def plan(name: str, cloud: Cloud, home: Path, registry: Registry) -> Planned:
    """Look at what would be made anew, and make sure that it could be. `name` is the endpoint's, or its id.

    Raises EndpointNotFound, AmbiguousName, CannotChange, PreflightFailed and ImageNotInRegistry.
    """
    endpoints = cloud.endpoints()
    unfinished = _unfinished(name, home)
    if unfinished is not None and all(e.id != unfinished.recreation.old_id for e in endpoints):
        return unfinished
    endpoint = find_endpoint(name, cloud)
    _check(endpoint, cloud, registry)
    if unfinished is not None and _is_stopped(endpoint, unfinished.recreation):
        return replace(unfinished, is_under_way=False)
    template = template_behind(cloud, endpoint)
    recreation = Recreation(
        old_id=endpoint.id,
        endpoint=endpoint.spec,
        template=template.spec.name if template.id else endpoint.spec.name,
        others=tuple(e.id for e in endpoints if e.spec.name == endpoint.spec.name and e.id != endpoint.id),
        models=cloud.models(endpoint.id) if endpoint.spec.pools else (),
        extra=endpoint.extra,
    )
    return Planned(Journal.read(home, endpoint.spec.name), recreation, is_under_way=False)


def _unfinished(name: str, home: Path) -> Planned | None:
    """Return what a killed run had begun, by the endpoint's name or its old id."""
    for journal in _journals(home):
        recreation = journal.memory.recreation
        if recreation is not None and name in (recreation.endpoint.name, recreation.old_id):
            return Planned(journal, recreation, is_under_way=True)
    return None


def _is_stopped(endpoint: Endpoint, recreation: Recreation) -> bool:
    """Was a run killed in the middle of the delete, which takes the workers away first?"""
    known = recreation.endpoint
    stopped = replace(known, workers_min=0, workers_max=0)
    return endpoint.id == recreation.old_id and endpoint.spec in (known, stopped)


def _journals(home: Path) -> Iterator[Journal]:
    for path in sorted((home / "releases").glob("*.json")):
        yield Journal.read(home, unquote(path.stem))


def _check(endpoint: Endpoint, cloud: Cloud, registry: Registry) -> None:
    """Refuse before anything is deleted what could not be made afterwards."""
    where = f"endpoint {endpoint.id}"
    if not endpoint.is_queue:
        raise CannotChange(
            "it is a load balancer, and factory makes queues", where=where, fix="make it anew in RunPod's console"
        )
    balance = cloud.balance()
    if balance.balance_usd < LEAST_BALANCE_USD:
        raise PreflightFailed(
            f"the balance is ${balance.balance_usd:.2f}, and RunPod makes no endpoint below $0.01",
            where=where,
            fix="pay first (console.runpod.io, Billing); then run it again",
            details={"balance_usd": balance.balance_usd},
        )
    try:
        is_there = registry.digest(endpoint.spec.image) is not None
    except FactoryError:
        return  # RunPod's login may read what this machine can't
    if not is_there:
        raise ImageNotInRegistry(
            "the registry no longer has the endpoint's image, so no worker could start",
            where=endpoint.spec.image,
            fix="run `factory release`, which makes it",
        )


def recreate(planned: Planned, cloud: Cloud, tell: Tell, env_line: EnvLine | None = None) -> Recreated:
    """Delete the endpoint and make it anew. Raises SettingsError, AmbiguousName, and what the port raises."""
    journal, recreation = planned.journal, planned.recreation
    with stage("recreate", tell) as under_way:
        if env_line is not None:
            env_file.check(env_line.path, env_line.key)
        journal.memory.recreation = recreation
        journal.save()
        old = next((e for e in cloud.endpoints() if e.id == recreation.old_id), None)
        if old is not None:
            tell(Progress("step", "endpoint", f"removing endpoint {old.id}", "started"))
            cloud.delete_endpoint(old)
        new = _made(recreation, cloud, tell)
        lost = _completed(new, recreation, cloud)
        if env_line is not None:
            env_file.rewrite(env_line.path, env_line.key, new.id)
        memory = journal.memory
        memory.recreation, memory.tested, memory.pending, memory.before, memory.rollback = None, "", "", None, None
        journal.save()
        under_way.summary = f"endpoint {new.id} in place of {recreation.old_id}"
    return Recreated(recreation.endpoint.name, recreation.old_id, new.id, lost)


def _made(recreation: Recreation, cloud: Cloud, tell: Tell) -> Endpoint:
    """Return the new endpoint: the one that a killed run made, else a new one."""
    spec, known = recreation.endpoint, {recreation.old_id, *recreation.others}
    found = [e for e in cloud.endpoints() if e.spec.name == spec.name and e.id not in known]
    if len(found) > 1:
        ids = ", ".join(endpoint.id for endpoint in found)
        raise AmbiguousName(
            f"{len(found)} endpoints have the name {spec.name} now ({ids})", where="RunPod account", fix="remove one"
        )
    if found:
        return found[0]
    template_spec = replace(as_template(spec), name=recreation.template)
    template = next((t for t in cloud.templates() if t.spec.name == recreation.template and not t.is_bound), None)
    if template is None:
        template = cloud.create_template(template_spec)
    elif template.spec != template_spec:
        template = cloud.update_template(template, template_spec)
    tell(Progress("step", "endpoint", f"making endpoint {spec.name}", "started"))
    return cloud.create_endpoint(spec, template)


def _completed(new: Endpoint, recreation: Recreation, cloud: Cloud) -> tuple[str, ...]:
    """Give the new endpoint what a create has no words for, and name what it lacks in the end."""
    lost = set(recreation.extra)
    if recreation.models and cloud.models(new.id) != recreation.models:
        try:
            cloud.set_models(new.id, recreation.models)
        except CloudRefused:  # gone from the Hub meanwhile: the endpoint is worth more than its cache
            lost.add("models")
    if recreation.extra and new.spec == recreation.endpoint:
        cloud.update_endpoint(replace(new, extra=recreation.extra), recreation.endpoint, template_behind(cloud, new))
        new = next((e for e in cloud.endpoints() if e.id == new.id), new)
    return tuple(sorted(lost - set(new.extra)))
