"""Weights are loaded anew by every worker, or `/workspace/…: No such file or directory`.

Cause: pods mount their volume at /workspace, serverless workers theirs at /runpod-volume, without a setting
(docs.runpod.io, read 2026-11-23); a Hugging Face cache elsewhere is on the worker's own disk and lost with it.
Command: an edit of `env.NAME`, then `factory provision RECIPE`.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.diagnosis import mends
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding, Mend
from factory.recipe.volume_paths import VOLUME, is_off_volume, names_workspace, on_volume

RULE = "wrong_paths"


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find variables that name /workspace, and caches that are not on the endpoint's volume."""
    if evidence.endpoint is None:
        return
    spec = evidence.endpoint.spec
    for name, value in sorted(spec.env.items()):
        if names_workspace(value):
            yield Finding(
                RULE,
                "error",
                f"env.{name} of the endpoint names /workspace",
                f"/workspace is where pods have their volume; a serverless worker has it at {VOLUME}",
                _mend(evidence, name, on_volume(value)),
                "certain",
                {"variable": name},
            )
        elif spec.volume_ids and is_off_volume(name, value):
            yield Finding(
                RULE,
                "warning",
                f"env.{name} of the endpoint is {value}, which is not on the volume",
                "what libraries keep there is lost with each worker, so each downloads it again",
                _mend(evidence, name, f"{VOLUME}/huggingface"),
                "certain",
                {"variable": name},
            )


def _mend(evidence: Evidence, name: str, better: str) -> Mend:
    """A variable that the recipe says is written there otherwise; any other goes with the next provisioning."""
    is_ours = evidence.recipe is not None and name in evidence.recipe.recipe.env
    return mends.by_recipe(
        evidence,
        "provision",
        f"set {name} to {better} in the endpoint's environment, in RunPod's console",
        edit=mends.edit(evidence, f"env.{name}", better) if is_ours else "",
    )
