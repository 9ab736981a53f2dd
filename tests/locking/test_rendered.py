"""What a lock makes of a context: every package by its hash, in the image and in the environment that it stands on."""

from __future__ import annotations

from pathlib import Path

from factory.locking.lock import Asked, Lock
from factory.recipe.load import loads
from factory.records import BaseImage, Context, LockedPackage
from factory.stages.render import render, runtime_requirements

RECIPE = "name: {name}\nimage: {{repository: factory/{name}, pip: [six]}}\nhandler: echo\n"
BASE = BaseImage("python:3.11-slim-bookworm", "sha256:" + "5" * 64)


def context_of(version: str | None, name: str = "demo") -> Context:
    """Render a recipe, with six locked at a version."""
    file = loads(RECIPE.format(name=name), Path(f"{name}.yaml"))
    runtime, six = LockedPackage("runpod", "1.12.0", ("sha256:1",)), LockedPackage("six", version or "", ("sha256:2",))
    lock = Lock(Asked.of(file.recipe, runtime_requirements()), BASE.digest, (runtime,), (six,), ())
    locked = lock.requirements if version else None
    return render(file, (), BASE, repository=f"factory/{name}", shared="factory/shared", locked=locked)


def texts(context: Context) -> dict[str, str]:
    """Return the context's files."""
    return {file.path: (file.content or b"").decode() for file in context.files}


def test_the_image_and_its_environment_are_locked() -> None:
    """Both have the two requirements files and install from them; another version is another environment."""
    context = context_of("1.17.0")
    assert context.environment is not None
    for each in (context, context.environment):
        found = texts(each)
        assert found["runtime.lock.txt"] == "runpod==1.12.0 --hash=sha256:1\n"
        assert found["recipe.lock.txt"] == "runpod==1.12.0 --hash=sha256:1\nsix==1.17.0 --hash=sha256:2\n"
        assert "install.py runtime.txt --locked runtime.lock.txt\n" in found["Dockerfile"]
        assert "install.py recipe.txt --locked recipe.lock.txt\n" in found["Dockerfile"]
    other = context_of("1.16.0").environment
    assert other is not None and other.digest != context.environment.digest


def test_recipes_with_the_same_lock_share_an_environment() -> None:
    """Their names have no influence, with a lock and without."""
    for version in ("1.17.0", None):
        one, two = context_of(version).environment, context_of(version, "other").environment
        assert one is not None and two is not None and one.digest == two.digest


def test_without_a_lock_nothing_speaks_of_one() -> None:
    """No file, and the runtime's requirements beside the recipe's."""
    found = texts(context_of(None))
    assert "recipe.lock.txt" not in found and "--locked" not in found["Dockerfile"]
    assert "install.py recipe.txt --with runtime.txt\n" in found["Dockerfile"]
