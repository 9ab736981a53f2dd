"""How rules word their mends: commands that work when typed, edits by the keys that the recipe's author wrote."""

from __future__ import annotations

import shlex

from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Mend


def by_recipe(evidence: Evidence, verb: str, otherwise: str, *, edit: str = "") -> Mend:
    """Return `factory VERB RECIPE`, after an edit of the recipe; `otherwise` is what to do where there is none."""
    if evidence.recipe is None:
        return Mend(otherwise)
    name, *options = verb.split()
    return Mend(" ".join(["factory", name, *options, shlex.quote(evidence.argument)]), edit=edit)


def edit(evidence: Evidence, key: str, value: str) -> str:
    """Return `KEY: VALUE` by the name that the key has in the recipe's file; "" without a recipe."""
    return f"{evidence.recipe.name(key)}: {value}" if evidence.recipe else ""


def grow(evidence: Evidence, volume_id: str, size_gb: int) -> Mend:
    """Return `factory volumes grow NAME SIZE`; by id where several volumes have the name."""
    name = next((volume.name for volume in evidence.volumes if volume.id == volume_id), volume_id)
    is_only = sum(volume.name == name for volume in evidence.account.volumes) <= 1
    return Mend(f"factory volumes grow {shlex.quote(name if is_only else volume_id)} {size_gb}")
