"""What lies beside a recipe: the other recipes of its folder, of which some may share its volume."""

from __future__ import annotations

import threading
from pathlib import Path

from factory import recipe as recipes
from factory.errors import FactoryError


class Beside:
    """Recipes by folder, each read once in the life of this object: one command's. Thread-safe."""

    def __init__(self) -> None:
        self._folders: dict[Path, tuple[recipes.Recipe, ...]] = {}
        self._lock = threading.Lock()

    def sharing(self, file: recipes.RecipeFile) -> tuple[recipes.Recipe, ...]:
        """Return the recipes beside this one that share its volume, by their files' names.

        A volume that a recipe doesn't name has the recipe's own name, and another recipe may name that one.
        """
        own = file.recipe
        return tuple(
            other
            for other in self._recipes_in(file.path.resolve().parent)
            if other.name != own.name and other.volume_name == own.volume_name
        )

    def _recipes_in(self, folder: Path) -> tuple[recipes.Recipe, ...]:
        """Return the recipes of a folder; a file that can't be read as one shares nothing."""
        with self._lock:
            if folder not in self._folders:
                self._folders[folder] = tuple(filter(None, map(_read, sorted(folder.glob("*.yaml")))))
            return self._folders[folder]


def _read(path: Path) -> recipes.Recipe | None:
    try:
        return recipes.load(path).recipe
    except FactoryError:
        return None
