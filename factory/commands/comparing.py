"""`factory changed` at work: the repository around the recipes, and a line for either side of each."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from factory import settings, wiring
from factory.beside import Beside
from factory.changes import Changes, compare_all
from factory.commands.display import waiting
from factory.errors import SettingsError
from factory.pipeline import Line
from factory.recipe.load import RecipeFile
from factory.records import tell_nobody

PATIENCE_S = 1.0  # a registry that is away is a gap on both sides alike: the base isn't pinned, and no room is saved


def compare(recipes: Sequence[Path], revision: str | None) -> Changes:
    """Compare recipes (none named: recipes/*.yaml of the repository here) with a revision; raises SettingsError.

    Without a revision every recipe is new.
    """
    machine = settings.read()
    checkout = wiring.checkout(recipes[0].absolute().parent if recipes else Path())
    root = checkout.root.resolve()
    for path in recipes:
        if not path.resolve().is_relative_to(root):
            what = f"{path} is in no folder of the repository {root}"
            raise SettingsError(what, where="RECIPES", fix="name recipes of one repository")
    paths = list(recipes) or [Path(os.path.relpath(path)) for path in sorted((root / "recipes").glob("*.yaml"))]
    commit = checkout.commit(revision) if revision is not None else None
    shared, beside = wiring.Shared(machine, patience_s=PATIENCE_S), Beside()

    def line_for(file: RecipeFile, sources: Path | None) -> Line:
        own = replace(wiring.machine(machine, file), sources=sources)
        return Line(file, wiring.Clients(machine, file, shared), own, lambda _stage: tell_nobody, beside=beside)

    with tempfile.TemporaryDirectory(prefix="factory-") as folder, waiting(f"comparing {len(paths)} recipe(s)"):
        return compare_all(
            paths, checkout, commit, Path(folder).resolve(), line_for, whole=None if recipes else root / "recipes"
        )
