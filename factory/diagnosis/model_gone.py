"""The Hub has no such repository or revision any more: a new worker finds no weights, and no release is possible.

Cause: the repository was deleted, renamed or made private, or its branch, tag or commit was removed.
Command: an edit of `models.N.revision`, then `factory release RECIPE`; for a repository an edit of `models.N.repo`.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.diagnosis import mends
from factory.diagnosis.evidence import Evidence, ModelState
from factory.diagnosis.finding import Finding, Mend

RULE = "model_gone"


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find models that the Hub, having been asked, doesn't have."""
    for index, state in enumerate(evidence.models):
        if state.problem_code == "revision_not_found":
            seen = f"{state.repo} has no revision {state.revision} any more"
            mend = mends.by_recipe(
                evidence, "release", "", edit=mends.edit(evidence, f"models.{index}.revision", "main")
            )
        elif state.problem_code == "repo_not_found":
            seen = f"the Hub has no {state.repo}, or hides it from this token"
            mend = _for_repo(evidence, index, state)
        else:
            continue
        cause = "a worker that has not fetched the weights yet can't, and no release can be made"
        yield Finding(RULE, "error", seen, cause, mend, "likely", {"repo": state.repo, "revision": state.revision})


def _for_repo(evidence: Evidence, index: int, state: ModelState) -> Mend:
    key = evidence.recipe.name(f"models.{index}.repo") if evidence.recipe else "repo"
    return Mend(f"name another repository than {state.repo} in {key}, or give a token that may read it (HF_TOKEN)")
