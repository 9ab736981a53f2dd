"""The options of `command`: templates of arguments, and the job's input as a pydantic model made from the recipe."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator, model_validator

from worker_runtime.errors import InputInvalid, OptionsInvalid

Value = str | int | float | bool | None
TYPES: dict[str, type] = {"string": str, "integer": int, "number": float, "boolean": bool, "file": str}
FOLDERS = ("model_dir", "out_dir", "job_dir")


class InputSpec(BaseModel):
    """What one input of the job may be. `suffix` ends the name of the file that a `file` input becomes."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["string", "integer", "number", "boolean", "file"] = "string"
    required: bool = True
    default: str | int | float | bool | None = None
    choices: list[str | int | float] | None = Field(None, min_length=1)
    min: float | None = None
    max: float | None = None
    max_length: int | None = Field(None, ge=1)
    suffix: str = Field("", pattern=r"^(\.[A-Za-z0-9]{1,8})?$")
    description: str | None = None

    @property
    def has_value(self) -> bool:
        """Whether every job has a value for this input."""
        return self.default is not None or self.required


class Options(BaseModel):
    """docs/worker.md explains each."""

    model_config = ConfigDict(extra="forbid")

    argv: list[str | list[str]] = Field(min_length=1)
    inputs: dict[str, InputSpec] = Field(default_factory=dict)
    outputs: list[str] = Field(["**/*"], min_length=1)
    cwd: str = "{job_dir}"
    env: dict[str, str] = Field(default_factory=dict)
    timeout_s: float = Field(3600, gt=0)
    progress: str | None = None
    max_output_mb: float = Field(7, gt=0)

    @field_validator("progress")
    @classmethod
    def _has_a_group(cls, progress: str | None) -> str | None:
        if progress is not None:
            try:
                groups = re.compile(progress).groups
            except re.error as error:
                raise ValueError(f"is no regular expression ({error})") from error
            if groups < 1:
                raise ValueError("needs a group, e.g. '(\\d+)%'")
        return progress

    @field_validator("outputs")
    @classmethod
    def _stay_inside(cls, outputs: list[str]) -> list[str]:
        for pattern in outputs:
            if not pattern or pattern.startswith("/") or ".." in pattern.split("/"):
                raise ValueError(f"{pattern!r} must be a glob below out_dir")
        return outputs

    @model_validator(mode="after")
    def _placeholders_have_values(self) -> Options:
        if not isinstance(self.argv[0], str):
            raise ValueError("argv.0: the program can't be optional")
        singles = [part for part in self.argv if isinstance(part, str)] + [self.cwd, *self.env.values()]
        groups = [text for part in self.argv if not isinstance(part, str) for text in part]
        for text in singles + groups:
            for name in placeholders(text):
                is_input = name not in FOLDERS and not name.startswith("models.")
                if is_input and name not in self.inputs:
                    raise ValueError(f"{text!r}: {{{name}}} is no input of this handler")
                if is_input and text in singles and not self.inputs[name].has_value:
                    raise ValueError(f"{text!r}: {{{name}}} may be absent; put it into a list with its flag")
        return self


def placeholders(template: str) -> list[str]:
    """Return the names in a template, in order. Raises ValueError for one that can't be read."""
    found = []
    for _, name, spec, conversion in Formatter().parse(template):
        if name is None:
            continue
        if not name or spec or conversion:
            raise ValueError(f"{template!r}: a placeholder is {{name}}; write {{{{ and }}}} for braces")
        found.append(name)
    return found


def fill(template: str, values: Mapping[str, Value]) -> str:
    """Return the template with its placeholders filled; a boolean is `true` or `false`."""
    parts = []
    for literal, name, _, _ in Formatter().parse(template):
        parts.append(literal)
        if name is not None:
            value = values[name]
            parts.append(str(value).lower() if isinstance(value, bool) else str(value))
    return "".join(parts)


def fill_argv(argv: Sequence[str | list[str]], values: Mapping[str, Value], texts: Mapping[str, str]) -> list[str]:
    """Return the program's arguments. `texts` are the job's text inputs, by name.

    A text that begins with `-`, alone in an argument, would be read as an option of the program: a caller could point
    it at other weights or files. Raises InputInvalid for one.
    """
    filled = []
    for part in argv:
        if isinstance(part, str):
            filled.append((part, fill(part, values)))
            continue
        names = [name for text in part for name in placeholders(text)]
        if any(values[name] is None or values[name] is False for name in names):
            continue
        kept = (text for text in part if not any(text == f"{{{name}}}" and values[name] is True for name in names))
        filled += [(text, fill(text, values)) for text in kept]
    for template, argument in filled:
        named = [name for name in placeholders(template) if name in texts]
        if named and argument.startswith("-") and not template.startswith("-"):
            raise InputInvalid(f"{named[0]}: must not begin with '-'", fix="put another character first")
        if "\0" in argument:
            raise InputInvalid(f"{(named or ['input'])[0]}: must not contain NUL", fix="remove it")
    return [argument for _, argument in filled]


def input_model(specs: Mapping[str, InputSpec]) -> type[BaseModel]:
    """Return the pydantic model of the job's input.

    Raises pydantic's ValidationError for a default that breaks its own rule, and OptionsInvalid for a bad name.
    """
    fields: dict[str, Any] = {}
    for name, spec in specs.items():
        kind: Any = Literal[tuple(spec.choices)] if spec.choices else TYPES[spec.type]
        is_number = spec.type in ("integer", "number") and not spec.choices
        limits: dict[str, Any] = {"ge": spec.min, "le": spec.max} if is_number else {}
        if spec.type == "string" and not spec.choices:
            limits["max_length"] = spec.max_length
        if not spec.has_value:
            kind = kind | None
        default: Any = ... if spec.required and spec.default is None else spec.default
        given = {k: v for k, v in limits.items() if v is not None}
        fields[name] = (kind, Field(default, description=spec.description, **given))
    config = ConfigDict(extra="forbid", strict=True, validate_default=True)
    try:
        for name, spec in specs.items():
            if spec.default is not None:
                create_model("Default", __config__=config, **{name: fields[name]})()
        return create_model("CommandInput", __config__=config, **fields)
    except (NameError, TypeError) as error:
        raise OptionsInvalid(f"handler.options.inputs: {error}", fix="choose other names") from error
