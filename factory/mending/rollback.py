"""rollback: an earlier release's image and configuration come back, and answer the recipe's test jobs.

What is being put back is in the journal before RunPod is changed: killed anywhere, the next run goes on with it and
doesn't go back one release further.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from factory.account import Endpoint, EndpointSpec
from factory.errors import CannotChange, FactoryError, ImageNotInRegistry, TestJobFailed
from factory.journal import Journal, Past
from factory.live import AccountDoors
from factory.mending.history import Ran, choose, ran
from factory.ports import Cloud, Registry
from factory.proving import ask, problems_in
from factory.provisioning.desired import login_name
from factory.recipe.model import Test
from factory.records import JobAnswer, Progress, Tell
from factory.restoring import as_past, as_template, put_back
from factory.stages.provision import START_LIMIT_S
from factory.stages.run import find_endpoint
from factory.telling import stage
from factory.wording import count_text


@dataclass(frozen=True, slots=True)
class RolledBack:
    """An endpoint that runs an earlier release again; `replaced` is the image that it ran before."""

    endpoint_id: str
    image: str
    replaced: str
    answers: tuple[JobAnswer, ...]


def listed(name: str, cloud: Cloud, journal_of: Callable[[str], Journal]) -> tuple[Ran, ...]:
    """Return what ran on the endpoint of that name or id, newest first; what its journal knows also when it is gone."""
    endpoint = next((e for e in cloud.endpoints() if name in (e.spec.name, e.id)), None)
    releases = cloud.releases(endpoint.id) if endpoint else ()
    journal = journal_of(endpoint.spec.name if endpoint else name)
    return ran(journal.memory.history, endpoint, releases)


def name_of(endpoint: str, cloud: Cloud) -> str:
    """Return the name of the endpoint of that name or id: its journal is by that. Raises EndpointNotFound."""
    return find_endpoint(endpoint, cloud).spec.name


def roll_back(
    name: str,
    tests: Sequence[Test],
    account: AccountDoors,
    registry: Registry,
    journal: Journal,
    to: str | None,
    tell: Tell,
) -> RolledBack:
    """Put an earlier release of the endpoint of that name back, wait until the workers are on it, and ask test jobs.

    Raises EndpointNotFound, AmbiguousName, CannotChange, ImageNotInRegistry,
    RolloutTimedOut, TestJobFailed (it runs, and fails its tests), and what the doors raise.
    """
    cloud, memory = account.cloud, journal.memory
    with stage("rollback", tell) as under_way:
        endpoint = find_endpoint(name, cloud)
        target = _target(endpoint, cloud, journal, to)
        spec = _restorable(target.endpoint, endpoint, cloud)
        _check_image(spec.image, registry, tell)
        memory.rollback = target
        journal.save()
        put_back(
            cloud,
            endpoint,
            as_template(spec),
            spec,
            tell,
            limit_s=START_LIMIT_S + spec.execution_timeout_ms / 1000,
        )
        under_way.summary = f"endpoint {endpoint.id} runs {spec.image.rpartition('/')[2]} again"
    with stage("run", tell) as under_way:
        answers = _proved(tests, account, journal, endpoint, target, tell)
        under_way.summary = f"{count_text(len(answers), 'job')} answered" if answers else "no test jobs to ask"
    return RolledBack(endpoint.id, spec.image, endpoint.spec.image, answers)


def _target(endpoint: Endpoint, cloud: Cloud, journal: Journal, to: str | None) -> Past:
    """Return what to put back: what a killed run was at, unless another is named now."""
    rows = ran(journal.memory.history, endpoint, cloud.releases(endpoint.id))
    under_way = journal.memory.rollback
    if to is None and under_way is not None and under_way.endpoint_id == endpoint.id:
        return under_way
    row = choose(rows, endpoint.spec, to)
    assert row.endpoint is not None, "only what has a configuration is chosen"
    return Past(
        at=row.at,
        outcome="good",
        endpoint_id=endpoint.id,
        endpoint=row.endpoint,
        version=row.version,
        models=row.models,
    )


def _check_image(image: str, registry: Registry, tell: Tell) -> None:
    """Refuse an image that is gone; one that this machine can't ask for may be there for RunPod."""
    try:
        is_gone = registry.digest(image) is None
    except FactoryError as error:
        tell(Progress("note", "rollback", f"whether the image is still there is not known ({error.what})"))
        return
    if is_gone:
        raise ImageNotInRegistry(
            "the registry no longer has that release's image",
            where=image,
            fix="go back to another one (`factory releases`, --to DIGEST), or release the recipe again",
        )


def _restorable(spec: EndpointSpec, endpoint: Endpoint, cloud: Cloud) -> EndpointSpec:
    """Return the configuration with the ids that things have now. Raises CannotChange for what is gone."""
    where = f"endpoint {endpoint.id}"
    volumes = {volume.id for volume in cloud.volumes()}
    if gone := [volume_id for volume_id in spec.volume_ids if volume_id not in volumes]:
        raise CannotChange(
            f"that release needs volume {', '.join(gone)}, which is gone",
            where=where,
            fix="run `factory release`, which makes a new one",
        )
    if bool(spec.cpus) != bool(endpoint.spec.cpus):
        raise CannotChange(
            "that release had workers of another kind (CPU or GPU), and RunPod gives an endpoint none of another kind",
            where=where,
            fix="run `factory provision --replace` with the earlier recipe",
        )
    logins = {login.id: login.name for login in cloud.logins()}
    if spec.login_id is None or spec.login_id in logins:
        return replace(spec, name=endpoint.spec.name)
    name = login_name(spec.image)
    found = next((login_id for login_id, known in logins.items() if known == name), None)
    if found is None:
        raise CannotChange(
            f"that release pulled with a registry login that is gone, and there is no {name}",
            where=where,
            fix="run `factory provision`, which makes the login",
        )
    return replace(spec, name=endpoint.spec.name, login_id=found)


def _proved(
    tests: Sequence[Test], account: AccountDoors, journal: Journal, endpoint: Endpoint, target: Past, tell: Tell
) -> tuple[JobAnswer, ...]:
    """Ask the test jobs, and note how it ended."""
    memory = journal.memory
    answers = [ask(account.jobs, endpoint.id, test, number, tell) for number, test in enumerate(tests, 1)]
    what, found = problems_in(answers)
    live = find_endpoint(endpoint.id, account.cloud)
    memory.rollback, memory.pending, memory.before, memory.tested = None, "", None, ""
    memory.note(as_past(live, "failed" if found else "good", problems=found, restored=target))
    journal.save()
    if found:
        raise TestJobFailed(
            f"{what}; {live.spec.image} runs all the same",
            where=f"endpoint {endpoint.id}",
            fix="ask `factory diagnose`, or go back to another release (`factory releases`, --to DIGEST)",
            details={"problems": list(found), "image": live.spec.image},
        )
    return tuple(answers)
