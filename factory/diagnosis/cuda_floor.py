"""No worker starts, or one ends with `unsatisfied condition: cuda>=…`: the CUDA floor doesn't match image and hosts.

Cause: an endpoint takes hosts from its `minCudaVersion` on, by default 12.0 (read off created endpoints, 2026-08): a
floor above every host is never scheduled, one below what the image needs lands on hosts whose driver is too old.
Command: an edit of `gpu.min_cuda`, then `factory provision RECIPE`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from factory.diagnosis import mends
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding
from factory.provisioning import choices
from factory.provisioning.observed import PoolOffer, as_pair

RULE = "cuda_floor"
DEFAULT = "12.0"
_REFUSED = re.compile(r"unsatisfied condition: cuda ?>= ?(?P<version>\d+\.\d+)")


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find a floor above all hosts of the endpoint's pools, and one below what the image needs."""
    if evidence.endpoint is None or not evidence.endpoint.spec.pools:
        return
    pools = [evidence.account.pools[pool] for pool in evidence.endpoint.spec.pools if pool in evidence.account.pools]
    floor = evidence.endpoint.spec.min_cuda
    if floor and pools and not any(choices.has_cuda(pool, floor) for pool in pools):
        yield _too_high(evidence, floor, pools)
        return
    needed, line = _needed(evidence)
    if needed and as_pair(floor or DEFAULT) < as_pair(needed):
        old = sorted({f"{pool.id} from {pool.cuda_versions[0]} on" for pool in pools if _has_older(pool, needed)})
        if old or line:
            yield _too_low(evidence, floor, needed, old, line)


def _needed(evidence: Evidence) -> tuple[str | None, str]:
    """Return the CUDA that the image needs, and the line of a worker that was refused for it."""
    for worker, lines in evidence.logs.items():
        for line in reversed(lines):
            if found := _REFUSED.search(line.line):
                return found["version"], f"worker {worker}: {line.line[:160]}"
    return (evidence.image.cuda if evidence.image else None), ""


def _has_older(pool: PoolOffer, needed: str) -> bool:
    return bool(pool.cuda_versions) and as_pair(pool.cuda_versions[0]) < as_pair(needed)


def _too_high(evidence: Evidence, floor: str, pools: list[PoolOffer]) -> Finding:
    highest = max((pool.cuda_versions[-1] for pool in pools), key=as_pair)
    image = evidence.image.cuda if evidence.image else None
    fits = image is None or as_pair(image) <= as_pair(highest)
    is_said = bool(evidence.recipe and evidence.recipe.recipe.gpu and evidence.recipe.recipe.gpu.min_cuda)
    lower = image if image and fits else highest
    return Finding(
        RULE,
        "error",
        f"the endpoint wants CUDA {floor}, and the hosts of {', '.join(pool.id for pool in pools)} end at {highest}",
        "RunPod finds no host, so it never starts a worker",
        mends.by_recipe(
            evidence,
            "provision" if fits else "release",
            f"lower the endpoint's CUDA version to {lower} in RunPod's console",
            edit=mends.edit(evidence, "gpu.min_cuda", f'"{lower}"') if is_said or not fits else "",
        ),
        "certain",
        {"floor": floor, "highest": highest},
    )


def _too_low(evidence: Evidence, floor: str | None, needed: str, old: list[str], line: str) -> Finding:
    gpu = evidence.recipe.recipe.gpu if evidence.recipe else None
    is_said = bool(gpu and gpu.min_cuda and as_pair(gpu.min_cuda) < as_pair(needed))
    hosts = f"; hosts: {', '.join(old)}" if old else ""
    says = f"from CUDA {floor} on" if floor else f"without a floor, which is CUDA {DEFAULT}"
    return Finding(
        RULE,
        "error" if line else "warning",
        line or f"the image needs CUDA {needed}, and the endpoint takes hosts {says}{hosts}",
        "on a host with an older driver the container can't start",
        mends.by_recipe(
            evidence,
            "provision",
            f"set the endpoint's CUDA version to {needed} in RunPod's console",
            edit=mends.edit(evidence, "gpu.min_cuda", f'"{needed}"') if is_said or line else "",
        ),
        "certain" if line else "likely",
        {"floor": floor, "needed": needed},
    )
