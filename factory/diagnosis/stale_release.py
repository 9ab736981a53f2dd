"""A change has not reached the workers: the template was changed and the endpoint wasn't released, or workers are old.

Cause: an endpoint keeps the copy of the template that it was released with, so a change of the template alone reaches
nobody (RunPod's REST v2, read 2026-11-23); and a worker keeps its version until it has ended its job and is replaced.
Command: `factory provision RECIPE`, which releases the endpoint and waits until the workers are on it.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.account import EndpointSpec, TemplateSpec
from factory.diagnosis import mends
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding
from factory.wording import count_text

RULE = "stale_release"
_FIELDS = ("image", "container_disk_gb", "login_id")


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find a template that is ahead of its endpoint, and workers that are behind it."""
    yield from _template(evidence)
    yield from _workers(evidence)


def _template(evidence: Evidence) -> Iterator[Finding]:
    endpoint, template = evidence.endpoint, evidence.template
    if endpoint is None or template is None or not template.is_serverless:
        return
    differing = _differing(template.spec, endpoint.spec)
    if not differing:
        return
    yield Finding(
        RULE,
        "warning",
        f"template {template.spec.name} and endpoint {endpoint.spec.name} differ in {', '.join(differing)}",
        "the template was changed and the endpoint was not released since, so workers start from the old copy",
        mends.by_recipe(evidence, "provision", "release the endpoint in RunPod's console (Manage, New Release)"),
        # Without a recipe or a link the template has but the same name.
        "certain" if evidence.recipe or endpoint.template_id else "possible",
        {"fields": differing},
    )


def _differing(template: TemplateSpec, endpoint: EndpointSpec) -> list[str]:
    """Return the names of fields; no value of the environment, which may be secret.

    A variable that the endpoint alone has is its own: GraphQL lays those over the template's.
    """
    fields = [name for name in _FIELDS if getattr(template, name) != getattr(endpoint, name)]
    return fields + [f"env.{name}" for name, value in sorted(template.env.items()) if endpoint.env.get(name) != value]


def _workers(evidence: Evidence) -> Iterator[Finding]:
    """Find old workers that were there all the time that we looked."""
    if not evidence.samples or evidence.endpoint is None:
        return
    first = {worker.id for worker in evidence.samples[0].workers if worker.is_stale}
    stale = [worker for worker in evidence.workers if worker.is_stale and worker.id in first]
    if not stale:
        return
    versions = sorted({f"version {worker.version}" for worker in stale if worker.version is not None})
    newest = evidence.rollout.version if evidence.rollout else evidence.endpoint.version
    on = f" on {', '.join(versions)}" if versions else ""
    now = f", the endpoint is at version {newest}" if newest is not None else ""
    yield Finding(
        RULE,
        "warning",
        f"{len(stale)} of {count_text(len(evidence.workers), 'worker')} run an older configuration{on}{now}",
        "a worker keeps its version until its job has ended and a new one has started in its place",
        mends.by_recipe(
            evidence, "provision", "wait until their jobs have ended, or stop these workers in the console"
        ),
        "likely",
        {"workers": [worker.id for worker in stale]},
    )
