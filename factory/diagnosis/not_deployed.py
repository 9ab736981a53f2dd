"""The account has no endpoint of the recipe's name.

Cause: it was never released with this account's key, or somebody deleted or renamed it.
Command: `factory release RECIPE`.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.diagnosis import mends
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding
from factory.wording import count_text

RULE = "not_deployed"


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find a recipe without an endpoint."""
    if evidence.endpoint is not None or evidence.recipe is None or "endpoint" in evidence.gaps:
        return
    yield Finding(
        RULE,
        "error",
        f"none of the account's {count_text(len(evidence.account.endpoints), 'endpoint')} is named {evidence.name}",
        "it was never released with this account's key, or was deleted or renamed",
        mends.by_recipe(evidence, "release", "release it"),
        "certain",
    )
