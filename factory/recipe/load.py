"""Read a recipe file: every problem at once, in file order, each with its line, its key and what to do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from factory.errors import RecipeError
from factory.recipe import document
from factory.recipe.model import Recipe
from factory.recipe.problems import Problem, shown
from factory.recipe.rules import broken
from factory.recipe.shorthand import Expansion
from factory.recipe.shorthand import Path as Keys
from factory.recipe.words import describe


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """A recipe with the file it came from.

    `lines` maps a dotted key of the model (`models.0.repo`) to its line, counted from 1; `names` maps those keys that
    the author wrote otherwise (`model`) to what stands there. `sha256` (hex) is of the recipe's meaning: comments,
    order of keys, shorthands and written-out defaults do not change it.
    """

    path: Path
    recipe: Recipe
    lines: Mapping[str, int]
    sha256: str
    names: Mapping[str, str] = field(default_factory=dict)

    def line(self, key: str) -> int:
        """Return the line of a dotted key, or of the nearest block above it when it isn't written; 0 without one."""
        while key and key not in self.lines:
            key = key.rpartition(".")[0]
        return self.lines.get(key, 0)

    def where(self, key: str = "") -> str:
        """Return `path:line` of a dotted key, as `line` finds it."""
        line = self.line(key)
        return f"{self.path}:{line}" if line else str(self.path)

    def name(self, key: str) -> str:
        """Return the dotted key as the author wrote it, or would have: below `model`, not below `models.0`."""
        rest = ""
        while key and key not in self.names and key not in self.lines:
            key, _, last = key.rpartition(".")
            rest = f".{last}{rest}"
        return (self.names.get(key, key) + rest).lstrip(".")


def load(path: Path) -> RecipeFile:
    """Read a recipe file, or raise RecipeError with every problem in it."""
    try:
        with path.open("rb") as file:
            content = file.read(document.MAX_BYTES + 1)
    except OSError as error:
        raise RecipeError((Problem(0, 0, "", *_unreadable(path, error)).sentence(str(path)),)) from None
    except ValueError:  # a NUL in the path
        raise RecipeError((f"{str(path)!r}: no file can have this name; name a recipe's YAML file",)) from None
    return loads(content, path)


def loads(content: str | bytes, path: Path) -> RecipeFile:
    """Read a recipe from its text; `path` is only named in sentences. Raises RecipeError with every problem."""
    try:
        text = document.decode(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
    except document.Unreadable as error:
        raise RecipeError((error.problem.sentence(str(path)),)) from None
    file, problems = _read(text)
    if file is None:
        raise _error(problems, path)
    return replace(file, path=path)


@lru_cache(maxsize=256)
def _read(text: str) -> tuple[RecipeFile | None, tuple[Problem, ...]]:
    """Read a recipe, or every problem in it, from its text, whatever file that is from.

    Kept by the whole text: a command that walks a folder reads each file as itself and as its neighbours' neighbour.
    """
    reader = document.Reader(text)
    found = [*reader.problems, *_whole(reader)]
    if reader.root is None or not isinstance(reader.root.value, dict) or reader.is_cut_short:
        return None, tuple(found)
    expansion = Expansion(reader.root)
    recipe, invalid = _validate(expansion)
    found += [*expansion.problems, *invalid, *_rules(expansion)]
    if recipe is None or found:
        return None, tuple(found)
    places = {".".join(map(str, keys)): place for keys, place in expansion.places.items() if keys}
    file = RecipeFile(
        path=Path(),
        recipe=recipe,
        lines={key: place.line for key, place in places.items()},
        sha256=_sha256(recipe),
        names={key: place.name for key, place in places.items() if key != place.name},
    )
    return file, ()


def _unreadable(path: Path, error: OSError) -> tuple[str, str]:
    if isinstance(error, FileNotFoundError):
        return "no such file", _instead(path)
    if isinstance(error, IsADirectoryError):
        return "a folder, not a file", "name a recipe's YAML file in it"
    if isinstance(error, PermissionError):
        return "no permission to read it", f"run 'chmod u+r {path}'"
    return f"can't be read ({error.strerror or error})", "name a recipe's YAML file"


def _whole(reader: document.Reader) -> Iterator[Problem]:
    """Say what is wrong with the document as a whole."""
    if reader.is_cut_short:
        return
    if reader.root is None or (reader.root.value is None and not reader.root.is_broken):
        yield Problem(0, 0, "", "empty: no recipe in it", "start with 'name:' (docs/recipe.md has 8 lines to copy)")
    elif not isinstance(reader.root.value, dict) and not reader.root.is_broken:
        root = reader.root
        what = f"expected keys like 'name:', found {shown(root.value)}"
        yield Problem(root.line, root.column, "", what, "start with 'name:'")


def _validate(expansion: Expansion) -> tuple[Recipe | None, list[Problem]]:
    try:
        # Strict, in JSON mode: lists become tuples, but no text ever becomes a number.
        return Recipe.model_validate_json(json.dumps(expansion.data), strict=True), []
    except ValidationError as error:
        return None, [p for e in _one_per_union(error) if (p := _problem(expansion, e["loc"], e))]


def _one_per_union(error: ValidationError) -> Iterator[Mapping[str, Any]]:
    """Yield the errors; of `auto`-or-a-number only the one that speaks of what was written, without pydantic's tag."""
    for item in error.errors(include_url=False):
        keys = item["loc"]
        if keys[0] == "disk" and len(keys) == 3:
            is_number = isinstance(item["input"], int) and not isinstance(item["input"], bool)
            if is_number == (item["type"] == "literal_error"):
                continue
            yield {**item, "loc": keys[:2]}
        else:
            yield item


def _problem(expansion: Expansion, keys: Keys, error: Mapping[str, Any]) -> Problem | None:
    place, _ = expansion.place(keys)
    if place.is_broken:
        return None
    return _at(expansion, keys, *describe(error, place.written))


def _rules(expansion: Expansion) -> Iterator[Problem]:
    for keys, what, fix in broken(expansion.data):
        if not expansion.place(keys)[0].is_broken:
            yield _at(expansion, keys, what, fix)


def _at(expansion: Expansion, keys: Keys, what: str, fix: str) -> Problem:
    place, rest = expansion.place(tuple(key for key in keys if key != "[key]"))
    name = ".".join(part for part in (place.name, *map(str, rest)) if part)
    return Problem(place.line, place.column, name, what, fix)


def _error(problems: Sequence[Problem], path: Path) -> RecipeError:
    in_file_order = sorted(problems, key=lambda problem: (problem.line, problem.column))
    return RecipeError(tuple(dict.fromkeys(problem.sentence(str(path)) for problem in in_file_order)))


def _sha256(recipe: Recipe) -> str:
    meaning = json.dumps(recipe.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(meaning.encode()).hexdigest()


def _instead(path: Path) -> str:
    """Return what to name instead of a file that isn't there: the one that was meant, or what lies beside it."""
    folders = (path.parent, path.parent / "recipes")
    recipes = [found for folder in folders for found in sorted(folder.glob("*.yaml")) if found.name[0] != "."]
    meant = [found for found in recipes if found.stem == path.stem]
    if meant:
        return f"did you mean {meant[0]}?"
    return f"there are {', '.join(map(str, recipes[:5]))}" if recipes else "name a recipe's YAML file"
