"""What a user names an endpoint by: its recipe's file, its name, or its id."""

from __future__ import annotations

from pathlib import Path


def name_of(target: str) -> str:
    """Return the endpoint's name or id that is meant; a recipe's file means its name. Raises RecipeError."""
    if not target.endswith((".yaml", ".yml")):
        return target
    from factory import recipe as recipes  # pydantic and yaml: half of the time that `factory status` takes

    return recipes.load(Path(target)).recipe.name
