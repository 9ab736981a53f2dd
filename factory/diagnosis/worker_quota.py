"""Fewer workers come than the endpoint may have: the account's worker quota is used up.

Cause: all endpoints together may have so many workers as the account's balance allows (5, from $100 on 10, …,
docs.runpod.io, read 2026-11-23); a quota that shrank leaves the endpoints' figures as they were.
Command: an edit of `endpoint.workers.max`, then `factory provision RECIPE`.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.diagnosis import mends
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding, Mend
from factory.wording import count_text

RULE = "worker_quota"
_UP = ("RUNNING", "IDLE", "INITIALIZING")


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find endpoints that may have more workers in all than the quota; an error when jobs wait and no worker is up."""
    quota, endpoint = evidence.account.balance.worker_quota, evidence.endpoint
    if quota is None or endpoint is None or not endpoint.spec.workers_max:
        return
    others = sum(other.spec.workers_max for other in evidence.account.endpoints if other.id != endpoint.id)
    if others + endpoint.spec.workers_max <= quota:
        return
    is_starved = evidence.queued > 0 and not any(worker.status in _UP for worker in evidence.workers)
    yield Finding(
        RULE,
        "error" if is_starved else "warning",
        f"the account's quota is {count_text(quota, 'worker')}, and its endpoints may have "
        f"{others + endpoint.spec.workers_max} ({endpoint.spec.name} {endpoint.spec.workers_max}, others {others})",
        "RunPod starts no worker beyond the quota, so jobs wait for those of other endpoints to end",
        _mend(evidence, quota, others),
        "likely" if is_starved else "possible",
        {"quota": quota, "others": others, "own": endpoint.spec.workers_max},
    )


def _mend(evidence: Evidence, quota: int, others: int) -> Mend:
    """Lower the own figure where that suffices, else the largest other one."""
    assert evidence.endpoint is not None
    left = quota - others
    if left > 0:
        return mends.by_recipe(
            evidence,
            "provision",
            f"lower the endpoint's max workers to {left} in RunPod's console",
            edit=mends.edit(evidence, "endpoint.workers.max", str(left)),
        )
    rivals = [other.spec for other in evidence.account.endpoints if other.id != evidence.endpoint.id]
    largest = max(rivals, key=lambda spec: (spec.workers_max, spec.name))
    return Mend(
        f"lower endpoint.workers.max of {largest.name} (it has {largest.workers_max}) and provision it, or ask RunPod "
        "for a larger quota"
    )
