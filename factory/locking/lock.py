"""A recipe's lock: `recipes/NAME.lock` beside it, JSON with one package or file a line, so that a diff can be read.

What it holds is what a build would otherwise ask of the outside: every Python package with the hashes of its wheels for
linux/amd64 and the image's Python, the base image's digest, each model's commit and the digests of its files. `asked`
holds what those are the answer to, so that a lock which no longer belongs to its recipe is known without a network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.errors import LockDrift
from factory.recipe.model import Model, Recipe
from factory.records import BaseImage, LockedPackage, ModelFiles

FORMAT = 1
AGAIN = "run `factory lock` again"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a recipe says that a lock answers; `runtime` are the worker runtime's own requirements."""

    python: str
    base: str
    pip: tuple[str, ...]
    runtime: tuple[str, ...]
    models: tuple[tuple[str, str, tuple[str, ...], tuple[str, ...]], ...]  # repository, revision, include, exclude

    @property
    def options(self) -> list[str]:
        """The lines of image.pip that are pip's options, such as an index."""
        return [line for line in self.pip if line.lstrip().startswith("-")]

    @classmethod
    def of(cls, recipe: Recipe, runtime: Sequence[str]) -> Asked:
        """Return what this recipe asks."""
        image = recipe.image
        return cls(image.python, image.base_reference, image.pip, tuple(runtime), tuple(map(_asked, recipe.models)))


@dataclass(frozen=True, slots=True)
class LockedModel:
    """A model at one commit: path → digest, as `ModelFile.digest` has it."""

    repo: str
    commit: str
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Lock:
    """What is locked. `base` is None when its registry could not be asked, `packages` when only the base can tell.

    `runtime` are those of the packages that the worker runtime needs: one layer for all recipes that agree on them.
    """

    asked: Asked
    base: str | None
    runtime: tuple[LockedPackage, ...]
    packages: tuple[LockedPackage, ...] | None
    models: tuple[LockedModel, ...]

    @property
    def base_image(self) -> BaseImage | None:
        """The base by its digest; None when it isn't locked."""
        if self.base is None:
            return None
        return BaseImage(self.asked.base, self.base if "@" not in self.asked.base else None)

    @property
    def requirements(self) -> tuple[str, str] | None:
        """The requirements files of the two layers, each with the options that image.pip has.

        The second holds all: where hashes are demanded, they are of what is there already too.
        """
        if self.packages is None:
            return None
        every = sorted((*self.runtime, *self.packages), key=lambda each: each.name)
        return _requirements(self.asked.options, self.runtime), _requirements(self.asked.options, every)


def lock_path(recipe: Path) -> Path:
    """Return where a recipe's lock lies."""
    return recipe.with_suffix(".lock")


def model_of(model: ModelFiles) -> LockedModel:
    """Return what a lock keeps of a model."""
    return LockedModel(model.repo, model.commit, {file.path: file.digest for file in model.files})


def read(recipe: Path) -> Lock | None:
    """Return a recipe's lock, None when it has none. Raises LockDrift for a file that is no lock."""
    path = lock_path(recipe)
    try:
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"no lock file of factory's ({type(error).__name__})"
        raise LockDrift(what, where=str(path), fix=f"{AGAIN}, or remove the file") from error


def parse(text: str) -> Lock:
    """Read a lock's text. Raises ValueError, KeyError, TypeError or AttributeError for another one."""
    value = json.loads(text)
    if value["factory_lock"] != FORMAT:
        raise ValueError(f"format {value['factory_lock']!r}, not {FORMAT}")
    asked, packages = value["asked"], value["packages"]
    if len(asked["models"]) != len(value["models"]):
        raise ValueError("another number of models than was asked for")
    models = [
        (each["repo"], each["revision"], tuple(each["include"]), tuple(each["exclude"])) for each in asked["models"]
    ]
    return Lock(
        Asked(asked["python"], asked["base"], tuple(asked["pip"]), tuple(asked["runtime"]), tuple(models)),
        value["base"],
        tuple(map(_package, value["runtime"])),
        None if packages is None else tuple(map(_package, packages)),
        tuple(LockedModel(each["repo"], each["commit"], dict(each["files"])) for each in value["models"]),
    )


def text_of(lock: Lock) -> str:
    """Return a lock's text: the same lock, the same bytes."""
    asked = lock.asked
    value = {
        "factory_lock": FORMAT,
        "asked": {
            "python": asked.python,
            "base": asked.base,
            "pip": asked.pip,
            "runtime": asked.runtime,
            "models": [
                {"repo": repo, "revision": revision, "include": include, "exclude": exclude}
                for repo, revision, include, exclude in asked.models
            ],
        },
        "base": lock.base,
        "runtime": [str(package) for package in lock.runtime],
        "packages": None if lock.packages is None else [str(package) for package in lock.packages],
        "models": [
            {"repo": each.repo, "commit": each.commit, "files": dict(sorted(each.files.items()))}
            for each in lock.models
        ],
    }
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _asked(model: Model) -> tuple[str, str, tuple[str, ...], tuple[str, ...]]:
    return model.repo, model.revision, model.include, model.exclude


def _requirements(options: Sequence[str], packages: Sequence[LockedPackage]) -> str:
    return "".join(f"{line}\n" for line in [*options, *map(str, packages)])


def _package(line: Any) -> LockedPackage:
    """Read a requirement with its hashes: `name==version --hash=sha256:…` or `name @ url --hash=…`."""
    requirement, *hashes = (part.strip() for part in str(line).split("--hash="))
    name, found, rest = requirement.partition(" @ " if " @ " in requirement else "==")
    if not (name and found and rest and hashes):
        raise ValueError(f"no locked package: {line!r}")
    is_url = found != "=="
    return LockedPackage(name, "" if is_url else rest, tuple(hashes), rest if is_url else None)
