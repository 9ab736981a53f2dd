"""The recipe has a volume and the endpoint has none, or not that one: `volume_missing`, or a download at every start.

Cause: a save of the endpoint that doesn't say its volumes drops them (RunPod's GraphQL replaces the whole endpoint,
read 2026-11-23), or the volume was deleted, or made after the endpoint.
Command: `factory provision RECIPE`.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.diagnosis import mends
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding

RULE = "volume_not_attached"


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find a volume that should be mounted and isn't, and one that is named and no more there."""
    endpoint = evidence.endpoint
    if endpoint is None or "volumes" in evidence.gaps:
        return
    known = {volume.id for volume in evidence.account.volumes}
    gone = [volume_id for volume_id in endpoint.spec.volume_ids if volume_id not in known]
    if gone:
        yield _finding(evidence, f"the endpoint names volume {', '.join(gone)}, which the account doesn't have")
    elif evidence.disks and evidence.disks.volume and evidence.recipe:
        name = evidence.recipe.recipe.volume_name
        mounted = ", ".join(volume.name for volume in evidence.volumes)
        if not mounted:
            yield _finding(evidence, f"the recipe keeps its models on volume {name}, and the endpoint has no volume")
        elif all(volume.name != name for volume in evidence.volumes):
            yield _finding(evidence, f"the recipe keeps its models on volume {name}, and the endpoint has {mounted}")


def _finding(evidence: Evidence, seen: str) -> Finding:
    return Finding(
        RULE,
        "error",
        seen,
        "workers find no weights at /runpod-volume, and can't keep any there",
        mends.by_recipe(evidence, "provision", "attach a volume in RunPod's console"),
        "certain",
    )
