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
    base_digest: Callable[[str], str | None] | None,
    index: PackageIndex,
    kept: Lock | None,
) -> Made:
    """Return a recipe's lock. Of `kept` every version and the base stay that the recipe still allows.

    `models` are resolved already, at their locked commits where those shall stay; `base_digest` is None where another
    base stands in for the recipe's. Raises RenderError when no versions go together.
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


def _base(
    asked: Asked, digest_of: Callable[[str], str | None] | None, kept: Lock | None
) -> tuple[str | None, list[str]]:
    """Return the base's digest, and a note when it can't be had. A tag moves, and a lock that is kept doesn't."""
    if kept and kept.base and kept.asked.base == asked.base:
        return kept.base, []
    if "@" in asked.base:
        return asked.base.partition("@")[2], []
    if digest_of is None:
        return None, ["the base is not locked: FACTORY_BASE stands in for it here"]
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


def changes(before: Lock | None, after: Lock) -> tuple[str, ...]:
    """Return what is locked otherwise than before, a line each: `numpy 2.4.5 → 2.4.6`; nothing for a first lock."""
    if before is None:
        return ()
    old, new = _named(before), _named(after)
    different = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    return tuple(f"{name} {old.get(name, 'new')} → {new.get(name, 'gone')}" for name in different)


def _named(lock: Lock) -> dict[str, str]:
    """Return everything that a lock pins, by name, in a few characters."""
    packages = (*lock.runtime, *(lock.packages or ()))
    found = {each.name: each.version or each.hashes[0][:19] for each in packages}
    found |= {each.repo: each.commit[:12] for each in lock.models}
    return found | ({lock.asked.base.partition("@")[0]: lock.base[:19]} if lock.base else {})
