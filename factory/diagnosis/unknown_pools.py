"""Jobs wait for ever, and no worker is ever made: the endpoint asks for a GPU pool that doesn't exist.

Cause: RunPod takes any text as a pool, also a GPU's name, and never schedules what it doesn't know (read off endpoints,
2026-08).
Command: an edit of `gpu.pools`, then `factory provision RECIPE`.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.diagnosis import fitting, mends
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding
from factory.provisioning.choices import misnamed
from factory.recipe.tokens import redacted

RULE = "unknown_pools"


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find pools that the live catalogue doesn't list; nothing where it lists none."""
    offers = evidence.account.pools
    if evidence.endpoint is None or not offers:
        return
    asked = evidence.endpoint.spec.pools
    wrong = {pool: found for pool in asked if (found := misnamed(pool, offers))}
    if not wrong:
        return
    is_all = len(wrong) == len(asked)
    seen = "; ".join(f"{redacted(pool)!r} {found.what}" for pool, found in wrong.items())
    rest = [pool for pool in asked if pool in offers] + [found.meant for found in wrong.values() if found.meant]
    yield Finding(
        RULE,
        "error" if is_all else "warning",
        f"{seen} ({'; '.join(found.fix for found in wrong.values())})",
        "RunPod accepts it and never schedules a worker" + ("" if is_all else " there; the other pools must do"),
        mends.by_recipe(
            evidence,
            "provision",
            f"give the endpoint {' and '.join(dict.fromkeys(rest)) or 'other pools'} in RunPod's console",
            edit=_edit(evidence, list(dict.fromkeys(rest))),
        ),
        "certain",
        {"unknown": list(wrong), "known": rest},
    )


def _edit(evidence: Evidence, better: list[str]) -> str:
    """A recipe that says the wrong pools itself must say others; else provisioning replaces them."""
    gpu = evidence.recipe.recipe.gpu if evidence.recipe else None
    if gpu is None or all(pool in evidence.account.pools for pool in gpu.pools):
        return ""
    named = better or fitting.best(evidence, fitting.fits(evidence, gpu))
    return mends.edit(evidence, "gpu.pools", f"[{', '.join(named)}]")
