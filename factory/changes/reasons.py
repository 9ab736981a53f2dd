"""Why an image would be another one: the parts of two recipes and the files of two contexts, compared. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from factory.recipe.model import Recipe
from factory.records import Context
from factory.wording import count_text

NAMED = 3  # of several packages or models so many are named


@dataclass(frozen=True, slots=True)
class Side:
    """One side: the recipe, its context, and the template's own text (None when it can't be read)."""

    recipe: Recipe
    context: Context
    template: bytes | None

    def content(self, path: str) -> bytes | None:
        """Return the content of a small file of the context."""
        return next((file.content for file in self.context.files if file.path == path), None)

    def digests(self, *prefixes: str) -> Mapping[str, str]:
        """Return path → digest of the files whose path begins so."""
        return {file.path: file.digest for file in self.context.files if file.path.startswith(prefixes)}


@dataclass(frozen=True, slots=True)
class Reason:
    """One kind of change, for machines, and a few words about it, for people."""

    kind: str
    detail: str = ""

    def __str__(self) -> str:
        """Return `packages (torch==2.6)`."""
        return f"{self.kind} ({self.detail})" if self.detail else self.kind


def reasons(old: Side, new: Side) -> tuple[Reason, ...]:
    """Return why two contexts differ, at least one reason; the first is the one that costs a build the most."""
    found = [Reason(kind, detail) for kind, differs in _KINDS for detail in differs(old, new)]
    if found:
        return tuple(found)
    own = [name for name in type(new.recipe).model_fields if getattr(old.recipe, name) != getattr(new.recipe, name)]
    if own:
        return (Reason("recipe", ", ".join(own)),)
    old_files, new_files = old.digests(""), new.digests("")
    paths = sorted(path for path in {*old_files, *new_files} if old_files.get(path) != new_files.get(path))
    return (Reason("files", _few(paths)),)


def _base(old: Side, new: Side) -> Iterator[str]:
    before, now = old.context.base, new.context.base
    if before.pinned != now.pinned:
        yield now.reference if before.reference != now.reference else f"{now.reference} at another digest"


def _packages(old: Side, new: Side) -> Iterator[str]:
    before, now = old.recipe.image, new.recipe.image
    lines = [*_other(before.apt, now.apt), *_other(before.pip, now.pip)]
    lines += [source.url for source in _other(before.git, now.git)]
    lines += [f"Python {now.python}"] if before.python != now.python else []
    lines += ["steps"] if before.steps != now.steps else []
    is_order = (before.apt, before.pip, before.git) != (now.apt, now.pip, now.git)
    if lines or is_order:
        yield _few(lines) if lines else "their order"
    elif old.content("requirements.txt") != new.content("requirements.txt"):
        yield "other locked versions"


def _other(old: Sequence[Any], new: Sequence[Any]) -> list[Any]:
    """Return what only one of them has, the new ones first."""
    return [line for line in new if line not in old] + [line for line in old if line not in new]


def _model(old: Side, new: Side) -> Iterator[str]:
    before, now = _models(old), _models(new)
    keys = [key for key in dict.fromkeys([*now, *before]) if before.get(key) != now.get(key)]
    if keys:
        yield _few(keys)


def _models(side: Side) -> Mapping[str, Any]:
    read = json.loads(side.content("recipe.json") or b"{}")
    return {str(model["key"]): model for model in read.get("models", [])}


def _env(old: Side, new: Side) -> Iterator[str]:
    before, now = old.recipe.image.env, new.recipe.image.env
    names = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    if names:
        yield _few(names)  # names only: a value may be a secret


def _runtime(old: Side, new: Side) -> Iterator[str]:
    before, now = old.digests("worker_runtime/"), new.digests("worker_runtime/")
    paths = sorted(path for path in {*before, *now} if before.get(path) != now.get(path))
    if paths:
        yield count_text(len(paths), "file")


def _template(old: Side, new: Side) -> Iterator[str]:
    """Yield when other text was written by a template of another name or content; the text alone has other causes."""
    names = (old.recipe.image.template, new.recipe.image.template)
    is_other = names[0] != names[1] or old.template != new.template
    is_used = old.content("Dockerfile") != new.content("Dockerfile")
    if (is_other and is_used) or old.content("install.py") != new.content("install.py"):
        yield names[1] or "factory's own"


def _handler(old: Side, new: Side) -> Iterator[str]:
    if old.content("handler.py") != new.content("handler.py"):
        yield new.recipe.handler.file or new.recipe.handler.name or ""
    elif old.recipe.handler.model_copy(update={"file": None}) != new.recipe.handler.model_copy(update={"file": None}):
        yield "options" if old.recipe.handler.name == new.recipe.handler.name else str(new.recipe.handler.name)


def _few(names: Iterable[str]) -> str:
    listed = [str(name) for name in names]
    more = len(listed) - NAMED
    return ", ".join(listed[:NAMED]) + (f" and {more} more" if more > 0 else "")


_KINDS: tuple[tuple[str, Callable[[Side, Side], Iterator[str]]], ...] = (
    ("base", _base),
    ("packages", _packages),
    ("template", _template),
    ("model", _model),
    ("runtime", _runtime),
    ("env", _env),
    ("handler", _handler),
)
