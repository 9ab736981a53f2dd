"""What would stop an account's leaks: commands to type. Nothing here is ever run unasked."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from factory.overview.audit import Audit, AuditedEndpoint, Cause
from factory.provisioning.costs import HOURS_PER_MONTH

CROWDED = 0.8  # share of the worker quota from which endpoints that nobody uses are in the way


@dataclass(frozen=True, slots=True)
class Proposal:
    """One step. `loses` says what is gone for good by it, empty when it can be taken back."""

    what: str
    command: str
    usd_per_month: float = 0.0
    loses: str = ""


def proposals(seen: Audit, api_url: str) -> tuple[Proposal, ...]:
    """Return the steps, dearest first. `api_url` is RUNPOD_API_BASE_URL: what factory has no command for is a call."""
    found = [*_money(seen, api_url), *_drift(seen), *_quota(seen, api_url), *_left_over(seen, api_url)]
    return tuple(sorted(found, key=lambda one: -one.usd_per_month))


def call(method: str, api_url: str, path: str, body: object = None) -> str:
    """Return the command that calls REST v2 with the key of the environment."""
    data = f" -H 'Content-Type: application/json' -d '{json.dumps(body)}'" if body is not None else ""
    return f'curl -fsS -X {method} {api_url}/v2{path} -H "Authorization: Bearer $RUNPOD_API_KEY"{data}'


def _factory(command: str, path: str) -> str:
    return f"factory {command} {shlex.quote(path)}"


def _money(seen: Audit, api_url: str) -> Iterator[Proposal]:
    paths = {e.id: e.drift.path for e in seen.endpoints or () if e.drift}
    kept = {volume.id: volume.recipe for volume in seen.volumes or ()}
    for cause in seen.causes:
        saved = round((cause.usd_per_h or 0) * HOURS_PER_MONTH, 2)
        if cause.kind == "pod":
            stop = call("POST", api_url, f"/pods/{cause.id}/action", {"action": "stop"})
            yield Proposal(f"stop the pod {cause.name}", stop, saved, "what lies on its container disk")
        elif cause.kind == "volume" and cause.is_avoidable and not kept.get(cause.id):
            remove = call("DELETE", api_url, f"/network-volumes/{cause.id}")
            yield Proposal(f"remove the volume {cause.name}", remove, saved, "all that lies on it")
        elif cause.kind == "always on":
            yield _scaled_down(cause, paths.get(cause.id), saved, api_url)


def _scaled_down(cause: Cause, path: str | None, saved: float, api_url: str) -> Proposal:
    what = f"let the workers of {cause.name} sleep when there is no job"
    if path is None:
        return Proposal(what, call("PATCH", api_url, f"/serverless/{cause.id}", {"workers": {"min": 0}}), saved)
    return Proposal(f"{what}: set endpoint.workers.min to 0 in {path}", _factory("provision", path), saved)


def _drift(seen: Audit) -> Iterator[Proposal]:
    for endpoint in seen.endpoints or ():
        drift = endpoint.drift
        if drift and drift.state == "changed":
            what = f"bring {endpoint.name} back to its recipe ({drift.text})"
            yield Proposal(what, _factory(drift.mend, drift.path))
        elif drift and drift.state == "blocked":
            yield Proposal(f"see why {endpoint.name} can't be brought to its recipe", _factory("plan", drift.path))


def _quota(seen: Audit, api_url: str) -> Iterator[Proposal]:
    if not seen.quota or seen.quota_used is None or seen.quota_used < CROWDED * seen.quota:
        return
    for endpoint in seen.endpoints or ():
        if endpoint.is_idle and endpoint.workers_max:
            yield _removed(endpoint, api_url)


def _removed(endpoint: AuditedEndpoint, api_url: str) -> Proposal:
    what = f"remove {endpoint.name}, which nobody uses: it holds {endpoint.workers_max} of the worker quota"
    if endpoint.drift:
        return Proposal(what, _factory("destroy", endpoint.drift.path), loses="the endpoint's id")
    return Proposal(what, call("DELETE", api_url, f"/serverless/{endpoint.id}"), loses="the endpoint's id")


def _left_over(seen: Audit, api_url: str) -> Iterator[Proposal]:
    for template in seen.templates or ():
        if template.is_orphan:
            remove = call("DELETE", api_url, f"/templates/{template.id}")
            yield Proposal(f"remove the template {template.name}, which no endpoint uses", remove, loses="its text")
