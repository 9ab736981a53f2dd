"""Does a lock belong to its recipe: each difference by name, and what a build does with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from factory.errors import LockDrift
from factory.locking.drift import as_asked, at_commits, at_kept_commits, belonging, demand_digests, differences
from factory.locking.lock import Asked, Lock, LockedModel, lock_path, text_of
from factory.recipe.load import loads
from factory.recipe.model import Recipe
from factory.records import LockedPackage, ModelFile, ModelFiles

RECIPE = Path("demo.yaml")
RUNTIME = ("runpod==1",)
MODEL = (("org/one", "main", ("*.json",), ()),)
ASKED = Asked("3.11", "python:3.11-slim-bookworm", ("six==1", "numpy==2"), RUNTIME, MODEL)
COMMIT, DIGEST = "c" * 40, "sha256:" + "1" * 64
LOCK = Lock(
    ASKED,
    "sha256:" + "b" * 64,
    (LockedPackage("runpod", "1", (DIGEST,)),),
    (LockedPackage("six", "1", (DIGEST,)),),
    (LockedModel("org/one", COMMIT, {"a.json": DIGEST}),),
)


def recipe_of(**blocks: Any) -> Recipe:
    """Return a recipe with the model that is locked."""
    import yaml

    image = {"repository": "factory/demo", "pip": ["six==1", "numpy==2"]} | blocks.pop("image", {})
    plain = {"name": "demo", "image": image, "handler": "echo", "models": [{"repo": "org/one", "include": ["*.json"]}]}
    return loads(yaml.safe_dump(plain | blocks), RECIPE).recipe


def files(digest: str = DIGEST, path: str = "a.json") -> tuple[ModelFiles, ...]:
    """Return what resolve finds at the locked commit."""
    chosen = (ModelFile(path, 3, digest),)
    return (ModelFiles("org/one", "one", COMMIT, COMMIT, chosen, "volume", repo_bytes=3),)


def test_a_recipe_asks_what_its_lock_was_made_for() -> None:
    """Nothing differs, and order of include or an equal recipe doesn't matter."""
    assert Asked.of(recipe_of(), RUNTIME) == ASKED
    assert differences(LOCK, ASKED) == ()


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (replace(ASKED, python="3.12"), ["image.python is 3.12, and 3.11 is locked"]),
        (replace(ASKED, base="debian:12"), ["the base is debian:12, and python:3.11-slim-bookworm is locked"]),
        (
            replace(ASKED, pip=("six==2", "numpy==2")),
            ["image.pip: six==2 is not locked", "image.pip: six==1 is locked and no longer asked for"],
        ),
        (replace(ASKED, pip=("six==1",)), ["image.pip: numpy==2 is locked and no longer asked for"]),
        (replace(ASKED, pip=("numpy==2", "six==1")), ["image.pip: another order"]),
        (
            replace(ASKED, runtime=("runpod==2",)),
            ["the worker runtime: runpod==2 is not locked", "the worker runtime: runpod==1 is locked and no longer"],
        ),
        (
            replace(ASKED, models=(("org/one", "v2", ("*.json",), ()),)),
            ["models: org/one@v2 include *.json is not locked", "models: org/one@main include *.json is locked and no"],
        ),
        (
            replace(ASKED, models=(("org/one", "main", (), ("b",)),)),
            ["models: org/one@main exclude b is not locked", "models: org/one@main include *.json is locked and no"],
        ),
        (replace(ASKED, models=()), ["models: org/one@main include *.json is locked and no longer asked for"]),
    ],
)
def test_each_difference_has_a_name(tmp_path: Path, asked: Asked, says: list[str]) -> None:
    """All of them are named at once: a note in a plain build, LockDrift where a lock is demanded."""
    found = differences(LOCK, asked)
    assert len(found) == len(says) and all(a.startswith(b) for a, b in zip(found, says, strict=True))
    recipe = tmp_path / "demo.yaml"
    lock_path(recipe).write_text(text_of(LOCK))
    lock, note = belonging(recipe, asked, is_demanded=False, has_own_base=True)
    assert lock is None and all(each in note for each in found) and "resolved anew" in note
    with pytest.raises(LockDrift) as caught:
        belonging(recipe, asked, is_demanded=True, has_own_base=True)
    assert caught.value.details == {"differences": list(found)} and "factory lock" in caught.value.fix


def test_a_lock_that_belongs_is_used(tmp_path: Path) -> None:
    """Demanded or not; without a note."""
    recipe = tmp_path / "demo.yaml"
    lock_path(recipe).write_text(text_of(LOCK))
    for is_demanded in (False, True):
        assert belonging(recipe, ASKED, is_demanded=is_demanded, has_own_base=True) == (LOCK, "")


def test_what_is_demanded_must_be_there(tmp_path: Path) -> None:
    """No lock is LockDrift only where one is demanded; so is one without the base, unless another base stands in."""
    recipe = tmp_path / "demo.yaml"
    assert belonging(recipe, ASKED, is_demanded=False, has_own_base=True) == (None, "")
    with pytest.raises(LockDrift, match="there is no lock"):
        belonging(recipe, ASKED, is_demanded=True, has_own_base=True)
    lock_path(recipe).write_text(text_of(replace(LOCK, base=None)))
    with pytest.raises(LockDrift, match="the base is not locked"):
        belonging(recipe, ASKED, is_demanded=True, has_own_base=True)
    found, _ = belonging(recipe, ASKED, is_demanded=True, has_own_base=False)
    assert found is not None and found.base_image is None


def test_models_are_asked_for_at_their_commits() -> None:
    """The Hub gets the commit where the recipe has a branch, and the result is called by the branch again."""
    pinned = at_commits(recipe_of(), LOCK)
    assert [model.revision for model in pinned.models] == [COMMIT]
    assert [(model.revision, model.commit) for model in as_asked(files(), recipe_of())] == [("main", COMMIT)]
    assert at_kept_commits(recipe_of(), None) == recipe_of()
    other = recipe_of(models=[{"repo": "org/one"}, {"repo": "org/two"}])
    assert [model.revision for model in at_kept_commits(other, LOCK).models] == [COMMIT, "main"]


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (files("sha256:" + "2" * 64), f"a.json is sha256:{'2' * 64}, and {DIGEST} is locked"),
        (files(path="b.json"), f"b.json is {DIGEST}, and nothing is locked"),
        (files(path="b.json"), f"a.json is absent, and {DIGEST} is locked"),
    ],
)
def test_a_commit_that_holds_something_else_is_an_alarm(found: tuple[ModelFiles, ...], says: str) -> None:
    """Demanded or not: what is at a commit can't change."""
    demand_digests(RECIPE, files(), LOCK)
    with pytest.raises(LockDrift) as caught:
        demand_digests(RECIPE, found, LOCK)
    assert says in str(caught.value)


def test_many_wrong_files_are_counted() -> None:
    """Five are named, the rest is a number."""
    locked = replace(LOCK, models=(LockedModel("org/one", COMMIT, {f"f{n}": DIGEST for n in range(1200)}),))
    with pytest.raises(LockDrift, match=r"org/one: 1,196 more files"):
        demand_digests(RECIPE, files(), locked)
