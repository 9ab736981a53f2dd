"""A token or password stands in plain sight, in the endpoint's environment or in a start command.

Cause: whoever may read the account's endpoints, templates or a worker's log reads it; RunPod fills in
`{{ RUNPOD_SECRET_NAME }}` when a worker starts (docs.runpod.io, read 2026-11-23), so no value need be there.
Command: revoke it, make a secret in RunPod's console, name it in `secrets`, then `factory provision RECIPE`.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.diagnosis import mends
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding, Mend, Severity, Sureness
from factory.diagnosis.startup_arguments import arguments
from factory.recipe.tokens import looks_random, secret_in, token_in

RULE = "plain_token"


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find tokens by their issuer's prefix, by their randomness or by their variable's name; never show one."""
    if evidence.endpoint is not None:
        template = evidence.template.spec.env if evidence.template else {}
        for name, value in sorted({**template, **evidence.endpoint.spec.env}.items()):
            if kind := secret_in(name, value):
                is_certain = token_in(value) is not None
                yield _finding(evidence, f"env.{name} holds {kind}", _of_variable(evidence, name), is_certain)
    for where, args in arguments(evidence):
        token = token_in(args)
        if token or looks_random(args):
            what = token[0] if token else "what looks like a key or token"
            mend = mends.by_recipe(evidence, "provision", "revoke it, and clear the start command in RunPod's console")
            yield _finding(evidence, f"the start command of the {where} holds {what}", mend, token is not None)


def _finding(evidence: Evidence, seen: str, mend: Mend, is_certain: bool) -> Finding:
    severity: Severity = "warning"
    sureness: Sureness = "certain" if is_certain else "likely"
    return Finding(
        RULE,
        severity,
        seen,
        "whoever reads the account, a template or a log reads it too: revoke it, and let RunPod fill in a secret",
        mend,
        sureness,
    )


def _of_variable(evidence: Evidence, name: str) -> Mend:
    """A variable of the recipe becomes a secret there; one that only RunPod has goes with the next provisioning."""
    is_ours = evidence.recipe is not None and name in evidence.recipe.recipe.env
    secrets = [*(evidence.recipe.recipe.secrets if evidence.recipe else ()), name]
    return mends.by_recipe(
        evidence,
        "provision",
        f"revoke it, make a secret in RunPod's console, and set {name} to {{{{ RUNPOD_SECRET_{name} }}}}",
        edit=mends.edit(evidence, "secrets", f"[{', '.join(secrets)}]") if is_ours else "",
    )
