"""Every rule in its order, and what they find together: the worst and surest first, each thing said once."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from types import ModuleType

from factory.diagnosis import (
    balance,
    container_disk_too_small,
    crash_loop,
    cuda_floor,
    disk_full,
    endpoint_gone,
    execution_timeout,
    exit_codes,
    gpu_not_available,
    image_latest,
    image_missing,
    image_not_released,
    image_platform,
    image_private,
    image_pull_pending,
    init_timeout,
    job_gone,
    model_changed,
    model_denied,
    model_gone,
    no_workers,
    not_deployed,
    payload_too_large,
    plain_token,
    sdk_version,
    secret_missing,
    stale_release,
    start_failed,
    startup_arguments,
    startup_not_finished,
    unknown_pools,
    volume_not_attached,
    volume_too_small,
    vram_too_small,
    worker_quota,
    wrong_paths,
)
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding

Rule = Callable[[Evidence], Iterator[Finding]]

# Causes come before what follows from them: of two findings with one rank, the one whose rule stands higher is first.
MODULES: tuple[ModuleType, ...] = (
    balance,
    not_deployed,
    endpoint_gone,
    no_workers,
    model_denied,
    model_gone,
    secret_missing,
    image_missing,
    image_private,
    image_platform,
    image_pull_pending,
    unknown_pools,
    cuda_floor,
    vram_too_small,
    volume_not_attached,
    volume_too_small,
    disk_full,
    container_disk_too_small,
    worker_quota,
    gpu_not_available,
    start_failed,
    exit_codes,
    init_timeout,
    crash_loop,
    startup_not_finished,
    execution_timeout,
    payload_too_large,
    job_gone,
    wrong_paths,
    model_changed,
    image_not_released,
    image_latest,
    sdk_version,
    plain_token,
    startup_arguments,
    stale_release,
)
RULES: tuple[Rule, ...] = tuple(module.find for module in MODULES)


def diagnose(evidence: Evidence, rules: Iterable[Rule] = RULES) -> tuple[Finding, ...]:
    """Return what is wrong, ranked: by severity, then sureness, then the rules' order. Nobody is asked."""
    found = [_judged(finding, evidence) for rule in rules for finding in rule(evidence)]
    return _folded(sorted(found, key=lambda finding: finding.rank))


def _judged(finding: Finding, evidence: Evidence) -> Finding:
    """Call a mend safe that only puts the recipe's configuration back onto an endpoint which is there.

    It buys nothing, removes nothing, and the plan said beforehand what it changes.
    """
    mend = finding.mend
    is_safe = mend.command == f"factory provision {shlex.quote(evidence.argument)}" and not mend.edit
    if mend.is_safe or not is_safe or evidence.plan is None or evidence.plan.blocker(is_final=True) is not None:
        return finding
    actions = evidence.plan.actions
    only_changes = all(action.kind in ("update", "release", "unchanged") for action in actions)
    grows = any(action.resource == "volume" and action.is_change for action in actions)
    return replace(finding, mend=replace(mend, is_safe=only_changes and not grows))


def _folded(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Fold findings of one rule with one cause and one command into the first; its details say what else was seen."""
    kept: dict[tuple[str, str, str], Finding] = {}
    for finding in found:
        key = (finding.rule, finding.cause, str(finding.mend))
        if key not in kept:
            kept[key] = finding
        elif finding.seen != kept[key].seen:
            first = kept[key]
            before = first.details.get("also_seen", ())
            also = (*before, finding.seen) if isinstance(before, tuple) else (finding.seen,)
            kept[key] = replace(first, details={**first.details, "also_seen": tuple(dict.fromkeys(also))})
    return tuple(kept.values())
