"""A lock is made of what the index, the registry and the Hub say now; what was locked stays where it may."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import yaml

from factory.errors import RegistryUnreachable, RenderError
from factory.locking.lock import Lock
from factory.locking.making import changes, make
from factory.ports import PackageIndex
from factory.recipe.load import loads
from factory.recipe.model import Recipe
from factory.records import LockedPackage

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
RUNTIME = ("runpod==1",)
NEEDS = {"runpod": ["idna"], "torch": ["sympy", "idna"], "idna": [], "sympy": []}


class FakeIndex:
    """An index in memory: each package has a newest version, and needs others."""

    def __init__(self, **newest: str) -> None:
        self.newest = {"runpod": "1", "idna": "3", "torch": "2", "sympy": "1"} | newest

    def resolve(
        self, requirements: Sequence[str], python: str, preferred: Sequence[LockedPackage]
    ) -> tuple[LockedPackage, ...]:
        """Take the asked version, else the preferred one, else the newest."""
        kept = {each.name: each.version for each in preferred}
        asked = {line.partition("==")[0]: line.partition("==")[2] for line in requirements if line[0] != "-"}
        names, waiting = set[str](), list(asked)
        while waiting:
            name = waiting.pop()
            if name not in NEEDS:
                raise RenderError(f"no package index has {name}")
            if name not in names:
                names.add(name)
                waiting += NEEDS[name]
        versions = {name: asked.get(name) or kept.get(name) or self.newest[name] for name in names}
        return tuple(LockedPackage(name, versions[name], (DIGEST,)) for name in sorted(names))


_index: type[PackageIndex] = FakeIndex


def recipe_of(**image: object) -> Recipe:
    """Return a recipe with these packages."""
    whole = {"repository": "factory/demo", "pip": ["--extra-index-url https://x.org/simple", "torch"]} | image
    return loads(yaml.safe_dump({"name": "demo", "image": whole, "handler": "echo"}), __file__).recipe  # type: ignore[arg-type]


def made(recipe: Recipe, kept: Lock | None = None, digest: str | None = DIGEST, **newest: str) -> Lock:
    """Make a lock; the registry says `digest`."""
    return make(recipe, RUNTIME, models=(), base_digest=lambda _: digest, index=FakeIndex(**newest), kept=kept).lock


def test_the_runtime_has_a_layer_of_its_own() -> None:
    """Packages that the runtime needs are in its part, so that recipes which agree on them share a layer."""
    lock = made(recipe_of())
    assert [each.name for each in lock.runtime] == ["idna", "runpod"]
    assert lock.packages is not None and [each.name for each in lock.packages] == ["sympy", "torch"]
    assert lock.base == DIGEST and lock.base_image is not None and lock.base_image.pinned.endswith(f"@{DIGEST}")


def test_what_is_locked_stays() -> None:
    """A newer version and a tag that moved change nothing, but what the recipe pins otherwise does."""
    before = made(recipe_of())
    assert made(recipe_of(), before, OTHER, sympy="9", torch="9") == before
    pinned = made(recipe_of(pip=["torch==7"]), before, OTHER, sympy="9")
    assert changes(before, pinned) == ("torch 2 → 7",)
    upgraded = made(recipe_of(), None, OTHER, sympy="9", torch="9")
    assert changes(before, upgraded) == (
        f"python:3.11-slim-bookworm {DIGEST[:19]} → {OTHER[:19]}",
        "sympy 1 → 9",
        "torch 2 → 9",
    )
    assert changes(None, upgraded) == ()


def test_another_base_is_asked_for_anew() -> None:
    """The digest that was locked is of another base."""
    before = made(recipe_of())
    assert made(recipe_of(python="3.12"), before, OTHER).base == OTHER
    named = f"debian:12@{OTHER}"
    assert made(recipe_of(base=named), before, DIGEST).base == OTHER


def away(_: str) -> str | None:
    """Be a registry that doesn't answer."""
    raise RegistryUnreachable("no answer")


@pytest.mark.parametrize(
    ("digest_of", "says"),
    [(away, "no answer"), (lambda _: None, "has no python:3.11"), (None, "FACTORY_BASE stands in")],
)
def test_a_base_that_cannot_be_had_is_a_note(digest_of: object, says: str) -> None:
    """The rest is locked, and the lock says that the base isn't."""
    found = make(recipe_of(), RUNTIME, models=(), base_digest=digest_of, index=FakeIndex(), kept=None)  # type: ignore[arg-type]
    assert found.lock.base is None and found.lock.packages
    assert len(found.notes) == 1 and says in found.notes[0]


def test_a_base_with_packages_leaves_them_to_pip() -> None:
    """Only pip in that base knows what is there already: nothing is locked of Python's packages, and that is said."""
    recipe = recipe_of(base="pytorch/pytorch:2")
    found = make(recipe, RUNTIME, models=(), base_digest=lambda _: DIGEST, index=FakeIndex(), kept=None)
    assert found.lock.packages is None and found.lock.requirements is None and found.lock.base == DIGEST
    assert "only pip in that base" in found.notes[0]
