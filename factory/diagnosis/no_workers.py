"""Jobs wait for ever, since the endpoint may have no worker (`workersMax` 0), or has fewer than the recipe says.

Cause: somebody or `factory guard` set it, or RunPod did: an endpoint without requests is lowered to 2 workers at most
after 3 days, and to none after 7 (docs.runpod.io, read 2026-11-23).
Command: `factory provision RECIPE`, after `endpoint.workers.max: 3` where the recipe itself says none.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.diagnosis import mends
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding
from factory.recipe.model import Workers

RULE = "no_workers"
IDLE_LIMIT = 2


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find an endpoint that may have no worker, or the two that RunPod leaves to an idle one."""
    if evidence.endpoint is None:
        return
    has = evidence.endpoint.spec.workers_max
    said = evidence.recipe.recipe.endpoint.workers.max if evidence.recipe else None
    says = "" if said is None else f", the recipe says {said}"
    if has == 0:
        usual = Workers().max
        yield Finding(
            RULE,
            "error",
            f"the endpoint's workersMax is 0{says}" + (f"; {evidence.queued} jobs wait" if evidence.queued else ""),
            "without a worker no job runs; RunPod sets 0 after 7 days without requests, `factory guard` on crashes",
            mends.by_recipe(
                evidence,
                "provision",
                f"set the endpoint's max workers to {usual} in RunPod's console",
                edit=mends.edit(evidence, "endpoint.workers.max", str(usual)) if said == 0 else "",
            ),
            "certain",
            {"workers_max": has},
        )
    elif has == IDLE_LIMIT and said is not None and said > IDLE_LIMIT:
        yield Finding(
            RULE,
            "warning",
            f"the endpoint's workersMax is {has}{says}",
            "RunPod lowers it to 2 after 3 days without requests, so a burst of jobs waits longer",
            mends.by_recipe(evidence, "provision", ""),
            "likely",
            {"workers_max": has},
        )
