"""What a user names an endpoint by: its recipe's file, its name, or its id."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from factory.recipe import RecipeFile


def name_of(target: str) -> str:
    """Return the endpoint's name or id that is meant; a recipe's file means its name. Raises RecipeError."""
    file = file_of(target)
    return target if file is None else file.recipe.name


def file_of(target: str) -> RecipeFile | None:
    """Return the recipe that is named; None for an endpoint's name or id. Raises RecipeError."""
    if not target.endswith((".yaml", ".yml")):
        return None
    from factory import recipe as recipes  # pydantic and yaml: half of the time that `factory status` takes

    return recipes.load(Path(target))
