"""The model's revision names another commit than at the last release: the workers run the older weights.

Cause: a branch or tag moves when its owner pushes; an image names the commit that it was built for, so nothing changes
until the next release.
Command: `factory release RECIPE`.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.diagnosis import mends
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding

RULE = "model_changed"


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find models whose commit is another than the one released from this machine."""
    for state in evidence.models:
        if state.files is None or not state.released_commit or state.files.commit == state.released_commit:
            continue
        yield Finding(
            RULE,
            "note",
            f"{state.repo}@{state.revision} is commit {state.files.commit[:12]} now, and {state.released_commit[:12]} "
            "was released",
            "the revision has moved, or the recipe names another one, since the last release from this machine",
            mends.by_recipe(evidence, "release", ""),
            "certain",
            {"now": state.files.commit, "released": state.released_commit},
        )
