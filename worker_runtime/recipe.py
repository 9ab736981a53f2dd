"""`/app/recipe.json`: what `factory render` tells the worker, and nothing more."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from worker_runtime.errors import RecipeError

Placement = Literal["volume", "image", "disk", "cached"]


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WeightFile(_Block):
    """One file of a model. `digest` is `sha256:<hex>`, or `git-sha1:<hex>` of the git blob."""

    path: Annotated[str, StringConstraints(min_length=1)]
    size_bytes: int = Field(ge=0)
    digest: Annotated[str, StringConstraints(pattern=r"^(sha256:[0-9a-f]{64}|git-sha1:[0-9a-f]{40})$")]

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise ValueError("must be a path inside the repository")
        return path


class Model(_Block):
    """One model at one commit: where its weights lie, and every file with size and digest."""

    key: Annotated[str, StringConstraints(min_length=1)]
    repo: Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.-]+$")]
    commit: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
    placement: Placement
    load_dtype: str | None = None
    files: tuple[WeightFile, ...] = Field(min_length=1)

    @property
    def folder(self) -> str:
        """The repository's folder in a Hugging Face cache."""
        return "models--" + self.repo.replace("/", "--")


class HandlerBlock(_Block):
    """A built-in handler by `name`, or the `file` beside recipe.json that has the class `Handler`."""

    name: str | None = None
    file: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_of_both(self) -> HandlerBlock:
        if (self.name is None) == (self.file is None):
            raise ValueError("must have either a name or a file")
        return self


class WorkerRecipe(_Block):
    """The whole of recipe.json."""

    name: str
    recipe_sha256: str
    handler: HandlerBlock
    models: tuple[Model, ...] = ()


def problems(error: ValidationError, *, limit: int = 20) -> str:
    """Return every problem of a validation as `path: what (found)`, joined by `; `; at most `limit` of them."""
    found = error.errors(include_url=False, include_context=False)
    lines = []
    for entry in found[:limit]:
        path = ".".join(str(part) for part in entry["loc"]) or "input"
        what = entry["msg"].removeprefix("Value error, ")
        value = entry.get("input")
        is_shown = entry["type"] != "missing" and isinstance(value, str | int | float | bool | None)
        lines.append(f"{path}: {what} (found {repr(value)[:60]})" if is_shown else f"{path}: {what}")
    if len(found) > limit:
        lines.append(f"and {len(found) - limit} more")
    return "; ".join(lines)


def load(path: Path) -> WorkerRecipe:
    """Read recipe.json, or raise RecipeError with every problem in one sentence."""
    fix = "build the image again with `factory build`"
    try:
        return WorkerRecipe.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RecipeError(f"{path} can't be read ({error.strerror})", fix=fix) from error
    except ValidationError as error:
        raise RecipeError(f"{path}: {problems(error)}", fix=fix) from error
