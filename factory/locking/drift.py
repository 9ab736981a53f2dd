"""Does a lock still belong to its recipe? Told without a network, each difference by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from factory.errors import LockDrift
from factory.locking.lock import Asked, Lock, lock_path, read
from factory.recipe.model import Recipe
from factory.records import ModelFiles

MANY = 5


def differences(lock: Lock, asked: Asked) -> tuple[str, ...]:
    """Return what a recipe asks otherwise than its lock answers, one short sentence each; empty when it belongs."""
    return tuple(_differences(lock, asked))


def _differences(lock: Lock, asked: Asked) -> Iterator[str]:
    was = lock.asked
    if was.python != asked.python:
        yield f"image.python is {asked.python}, and {was.python} is locked"
    if was.base != asked.base:
        yield f"the base is {asked.base}, and {was.base} is locked"
    for what, now, then in (
        ("image.pip", asked.pip, was.pip),
        ("the worker runtime", asked.runtime, was.runtime),
        ("models", _model_texts(asked), _model_texts(was)),
    ):
        yield from (f"{what}: {line} is not locked" for line in now if line not in then)
        yield from (f"{what}: {line} is locked and no longer asked for" for line in then if line not in now)
        if now != then and sorted(now) == sorted(then):
            yield f"{what}: another order"


def _model_texts(asked: Asked) -> tuple[str, ...]:
    texts = []
    for repo, revision, include, exclude in asked.models:
        parts = [f"include {', '.join(include)}" if include else "", f"exclude {', '.join(exclude)}" if exclude else ""]
        texts.append(" ".join([f"{repo}@{revision}", *filter(None, parts)]))
    return tuple(texts)


def belonging(recipe: Path, asked: Asked, *, is_demanded: bool, has_own_base: bool) -> tuple[Lock | None, str]:
    """Return the lock that a build is to use, and a sentence when there is one that doesn't belong to the recipe.

    `has_own_base`: the build starts from the recipe's base, and not from one that stands in for it. Raises LockDrift
    for a file that is no lock; when it is demanded, for none, for one of another recipe and for one without a base.
    """
    lock = read(recipe)
    if lock is None:
        if is_demanded:
            raise missing(recipe)
        return None, ""
    found = differences(lock, asked)
    if is_demanded and has_own_base and lock.base is None:
        found = (*found, "the base is not locked: its registry could not be asked")
    if not found:
        return lock, ""
    if is_demanded:
        raise drift(recipe, found)
    return None, f"{drift(recipe, found)}; until then all is resolved anew"


def drift(recipe: Path, found: Sequence[str]) -> LockDrift:
    """Return the error that names each difference."""
    path = lock_path(recipe)
    fix = f"run `factory lock {recipe}` and commit {path.name}"
    return LockDrift("; ".join(found), where=str(path), fix=fix, details={"differences": list(found)})


def missing(recipe: Path) -> LockDrift:
    """Return the error for a recipe that shall be locked and isn't."""
    return LockDrift("there is no lock", where=str(lock_path(recipe)), fix=f"run `factory lock {recipe}` and commit it")


def at_commits(recipe: Recipe, lock: Lock) -> Recipe:
    """Return the recipe with its models at the locked commits: the Hub isn't asked where a branch stands."""
    models = [
        model.model_copy(update={"revision": locked.commit})
        for model, locked in zip(recipe.models, lock.models, strict=True)
    ]
    return recipe.model_copy(update={"models": tuple(models)})


def at_kept_commits(recipe: Recipe, kept: Lock | None) -> Recipe:
    """Return the recipe with those models at their commits that a lock has of the same repository and revision."""
    if kept is None:
        return recipe
    pairs = zip(kept.asked.models, kept.models, strict=True)
    commits = {(repo, revision): locked.commit for (repo, revision, *_), locked in pairs}
    models = [
        model.model_copy(update={"revision": commits.get((model.repo, model.revision), model.revision)})
        for model in recipe.models
    ]
    return recipe.model_copy(update={"models": tuple(models)})


def as_asked(models: Sequence[ModelFiles], recipe: Recipe) -> tuple[ModelFiles, ...]:
    """Return models resolved at commits as what they are: the recipe's revisions, at those commits."""
    return tuple(replace(model, revision=asked.revision) for model, asked in zip(models, recipe.models, strict=True))


def demand_digests(recipe: Path, models: Sequence[ModelFiles], lock: Lock) -> None:
    """Hold what the Hub has at the commits against the lock. A commit can't change: LockDrift is an alarm here."""
    found: list[str] = []
    for model, locked in zip(models, lock.models, strict=True):
        have = {file.path: file.digest for file in model.files}
        wrong = sorted(path for path in have.keys() | locked.files.keys() if have.get(path) != locked.files.get(path))
        found += [_wrong(model, path, have.get(path), locked.files.get(path)) for path in wrong[:MANY]]
        found += [f"{model.repo}: {len(wrong) - MANY:,} more files"] if len(wrong) > MANY else []
    if found:
        raise LockDrift(
            "; ".join(found),
            where=str(lock_path(recipe)),
            fix="ask who changed the repository's history; `factory lock --upgrade` takes what is there now",
            details={"differences": found},
        )


def _wrong(model: ModelFiles, path: str, have: str | None, locked: str | None) -> str:
    return f"{model.repo}@{model.commit[:8]}/{path} is {have or 'absent'}, and {locked or 'nothing'} is locked"
