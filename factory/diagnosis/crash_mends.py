"""What to do about a version that crashes: put the recipe's configuration back, or the release before, or mend it."""

from __future__ import annotations

import shlex

from factory.account import EndpointSpec
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Mend
from factory.diagnosis.worker_ends import Ends
from factory.provisioning.actions import ROLLING


def is_down(evidence: Evidence, ends: Ends) -> bool:
    """Does this worker keep ending, with nothing done in between? RunPod may show such a one as RUNNING or IDLE."""
    if ends.status in ("UNHEALTHY", "INITIALIZING"):
        return True
    busy = evidence.health.jobs.get("inProgress", 0) if evidence.health else 0
    return len(ends.codes) > 1 and evidence.queued > 0 and not busy


def is_drifted(evidence: Evidence) -> bool:
    """Does the endpoint run another configuration than the recipe's, and could `provision` put the recipe's there?"""
    plan = evidence.plan
    if plan is None or plan.existing.endpoint is None or plan.blocker(is_final=True) is not None:
        return False
    action = plan.action("endpoint")
    return action is not None and any(change.field in ROLLING for change in action.changes)


def has_good_one_before(evidence: Evidence) -> bool:
    """Did another image or environment answer its tests before this one was released?"""
    if evidence.endpoint is None:
        return False
    now = _what_runs(evidence.endpoint.spec)
    return any(_what_runs(spec) != now for spec in evidence.good)


def mend(evidence: Evidence, advice: str, *, edit: str = "") -> Mend:
    """Return what ends the crashes. `advice` is for when nothing can be put back; `edit` what then helps instead."""
    argument = shlex.quote(evidence.argument)
    if is_drifted(evidence):
        return Mend(f"factory provision {argument}")
    if has_good_one_before(evidence):
        return Mend(f"factory rollback {argument}")
    if evidence.recipe and edit:
        return Mend(f"factory provision {argument}", edit=edit)
    release = f"factory release {argument}" if evidence.recipe else "release it again"
    return Mend(f"{advice}, then `{release}`" if evidence.recipe else f"{advice}, then {release}")


def _what_runs(spec: EndpointSpec) -> tuple[object, ...]:
    return spec.image, tuple(sorted(spec.env.items())), spec.container_disk_gb, spec.pools
