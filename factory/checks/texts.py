"""Every text of a recipe with its key, for rules that read them all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from factory.recipe import RecipeFile


def texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield (dotted key, text) of every text in a value, keys of mappings included, in order."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            path = f"{key}.{name}" if key else str(name)
            yield path, str(name)
            yield from texts(inner, path)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from texts(inner, f"{key}.{index}")


def recipe_texts(file: RecipeFile) -> Iterator[tuple[str, str]]:
    """Yield every text of a recipe that its author wrote."""
    return texts(file.recipe.model_dump(mode="json", exclude_defaults=True))


def environment(file: RecipeFile) -> Iterator[tuple[str, str, str]]:
    """Yield (key, name, value) of every variable, those of the image first."""
    for block, values in (("image.env", file.recipe.image.env), ("env", file.recipe.env)):
        for name, value in values.items():
            yield f"{block}.{name}", name, value
