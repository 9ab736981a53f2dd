"""The weights can't be fetched: the model is gated, and the token has no access, or the worker has no token.

Cause: a gated repository on the Hub gives its files only to accounts that accepted its licence; the worker needs such
an account's token as a RunPod secret.
Command: an edit of `secrets: [HF_TOKEN]`, then `factory provision RECIPE`; the licence is accepted on the model's page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from factory.diagnosis import mends
from factory.diagnosis.evidence import Evidence, ModelState
from factory.diagnosis.finding import Finding, Mend

RULE = "model_denied"
TOKEN = "HF_TOKEN"  # noqa: S105 - a variable's name
_DENIED = re.compile(r"\bhub_denied\b|GatedRepoError|Access to model .* is restricted")


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find models that this machine may not read, and gated ones that the worker may not."""
    told = _denied(evidence)
    for state in evidence.models:
        files = state.files
        if state.problem_code == "access_denied" or (files and files.is_readable is False):
            yield _finding(f"{state.repo} may not be read with this machine's token", _accept(state))
        elif files and files.gated != "no" and files.placement in ("volume", "disk") and not _has_token(evidence):
            seen = f"{state.repo} is gated, and the endpoint's environment has no {TOKEN}"
            yield _finding(seen, _hand_over(evidence))
        elif told and (files is None or files.gated != "no"):
            yield _finding(told, _accept(state))


def _has_token(evidence: Evidence) -> bool:
    return evidence.endpoint is None or bool(evidence.endpoint.spec.env.get(TOKEN))


def _denied(evidence: Evidence) -> str | None:
    """Return what a worker said of it."""
    for worker, lines in evidence.logs.items():
        for line in reversed(lines):
            if _DENIED.search(line.line):
                return f"worker {worker}: {line.line[:160]}"
    left = next((failure for failure in reversed(evidence.failures) if failure.code == "hub_denied"), None)
    return f"worker {left.worker}: {left.sentence} (at {left.at})" if left else None


def _accept(state: ModelState) -> Mend:
    return Mend(f"accept the licence on https://huggingface.co/{state.repo} with the account of {TOKEN}")


def _hand_over(evidence: Evidence) -> Mend:
    said = evidence.recipe.recipe.secrets if evidence.recipe else ()
    return mends.by_recipe(
        evidence,
        "provision",
        f"hand {TOKEN} to the endpoint as a RunPod secret",
        edit="" if TOKEN in said else mends.edit(evidence, "secrets", f"[{', '.join([*said, TOKEN])}]"),
    )


def _finding(seen: str, mend: Mend) -> Finding:
    cause = "a worker that has not fetched the weights yet can't, and fails in its start"
    return Finding(RULE, "error", seen, cause, mend, "likely")
