"""Make a lock: ask the package index, the registry and the Hub what a recipe means now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from factory.errors import FactoryError
from factory.locking.lock import Asked, Lock, model_of
from factory.ports import PackageIndex
from factory.recipe.model import Recipe
from factory.records import LockedPackage, ModelFiles


@dataclass(frozen=True, slots=True)
class Made:
    """A lock, and a sentence for each part that could not be locked."""

    lock: Lock
    notes: tuple[str, ...] = ()


def make(
    recipe: Recipe,
    runtime: Sequence[str],
    *,
    models: Sequence[ModelFiles],
    base_digest: Callable[[str], str | None],
    index: PackageIndex,
    kept: Lock | None,
) -> Made:
    """Return a recipe's lock. Of `kept` every version and the base stay that the recipe still allows.

    `models` are resolved already, at their locked commits where those shall stay. Raises RenderError when no versions
    go together.
    """
    asked = Asked.of(recipe, runtime)
    base, notes = _base(asked, base_digest, kept)
    if recipe.image.base:
        notes.append("image.base brings packages that only pip in that base can see: Python packages are not locked")
        return Made(Lock(asked, base, (), None, tuple(map(model_of, models))), tuple(notes))
    preferred = (*kept.runtime, *(kept.packages or ())) if kept else ()
    every = index.resolve([*asked.pip, *asked.runtime], asked.python, preferred)
    names = {each.name for each in index.resolve([*asked.options, *asked.runtime], asked.python, every)}
    ours, others = _split(every, names)
    return Made(Lock(asked, base, ours, others, tuple(map(model_of, models))), tuple(notes))


def _base(asked: Asked, digest_of: Callable[[str], str | None], kept: Lock | None) -> tuple[str | None, list[str]]:
    """Return the base's digest, and a note when it can't be had. A tag moves, and a lock that is kept doesn't."""
    if kept and kept.base and kept.asked.base == asked.base:
        return kept.base, []
    if "@" in asked.base:
        return asked.base.partition("@")[2], []
    try:
        digest = digest_of(asked.base)
    except FactoryError as error:
        return None, [f"the base is not locked: {error}"]
    return digest, [] if digest else [f"the base is not locked: its registry has no {asked.base}"]


def _split(
    packages: Sequence[LockedPackage], names: set[str]
) -> tuple[tuple[LockedPackage, ...], tuple[LockedPackage, ...]]:
    ours = tuple(each for each in packages if each.name in names)
    return ours, tuple(each for each in packages if each.name not in names)
