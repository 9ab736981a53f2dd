"""Workers turn unhealthy in their first start and begin again: the weights take longer than RunPod waits.

Cause: RunPod takes a worker for unhealthy that has not started within 7 minutes, unless RUNPOD_INIT_TIMEOUT says
longer, and a volume writes some 200 MB/s (docs.runpod.io, read 2026-11-23).
Command: `factory provision RECIPE`, which sets RUNPOD_INIT_TIMEOUT by the weights' bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.diagnosis import mends
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding
from factory.provisioning.desired import FETCH_BYTES_PER_S, INIT_TIMEOUT, INIT_TIMEOUT_S, init_timeout_s
from factory.wording import seconds_text, size_text

RULE = "init_timeout"


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find an endpoint whose limit is below the first start; one that has done jobs has its weights already."""
    if evidence.endpoint is None:
        return
    said = evidence.endpoint.spec.env.get(INIT_TIMEOUT, "").strip()
    if said and not said.isdecimal():
        return
    models = [state.files for state in evidence.models if state.files]
    fetched = sum(model.unique_bytes for model in models if model.placement in ("volume", "disk"))
    limit_s, takes_s = int(said) if said else INIT_TIMEOUT_S, fetched / FETCH_BYTES_PER_S
    has_worked = bool(evidence.health and evidence.health.jobs.get("completed"))
    if takes_s <= limit_s or has_worked:
        return
    is_sick = any(worker.status == "UNHEALTHY" for worker in evidence.workers)
    is_ours = evidence.recipe is not None and INIT_TIMEOUT in evidence.recipe.recipe.env
    wanted_s = init_timeout_s(fetched)
    yield Finding(
        RULE,
        "error" if is_sick else "warning",
        f"the first start brings {size_text(fetched)}, at 200 MB/s {seconds_text(takes_s)}, and RunPod waits "
        f"{seconds_text(limit_s)}" + ("" if said else f" (no {INIT_TIMEOUT})"),
        "RunPod takes the worker for broken before its weights are there, and starts another from the beginning",
        mends.by_recipe(
            evidence,
            "provision",
            f"set {INIT_TIMEOUT} to {wanted_s} in the endpoint's environment, in RunPod's console",
            edit=mends.edit(evidence, f"env.{INIT_TIMEOUT}", f'"{wanted_s}"') if is_ours else "",
        ),
        "likely",
        {"fetched_bytes": fetched, "limit_s": limit_s, "wanted_s": wanted_s},
    )
