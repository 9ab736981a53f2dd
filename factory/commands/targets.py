"""What a user names an endpoint by: its recipe's file, its name, or its id."""

from __future__ import annotations

from pathlib import Path

from factory import recipe as recipes


def name_of(target: str) -> str:
    """Return the endpoint's name or id that is meant; a recipe's file means its name. Raises RecipeError."""
    is_file = target.endswith((".yaml", ".yml"))
    return recipes.load(Path(target)).recipe.name if is_file else target
