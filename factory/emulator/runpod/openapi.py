"""RunPod's published OpenAPI of REST v2 as the law of the REST face: what may come in and what may go out.

The document is RunPod's own, unchanged: https://api.runpod.io/v2/openapi.json, version 2.0.0 as published in August
2026, taken 2026-11-23. It is OpenAPI 3.1, so its schemas are JSON Schema 2020-12 and `jsonschema` can hold them.

    law = published()
    law.find("GET", "/v2/serverless/abc")      # Match(operation, {"id": "abc"}), NoSuchPath or WrongMethod raised
    operation.body.problems({"name": 1})       # ["$.name: got number, want string", "$: missing property 'type'"]
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from factory.emulator.runpod.openapi_wording import worded
from factory.emulator.runpod.times import parsed_time

_URN = "urn:runpod"
_METHODS = ("get", "put", "post", "patch", "delete")
_FORMATS = FormatChecker(formats=())


@_FORMATS.checks("date-time", raises=ValueError)
def _is_time(value: object) -> bool:
    return not isinstance(value, str) or parsed_time(value) is not None


def _check_pattern(_: Any, pattern: str, value: object, __: Any) -> Iterator[ValidationError]:
    if isinstance(value, str) and not re.search(_ecma(pattern), value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _ecma(pattern: str) -> str:
    """Return a pattern that means to Python what it means in JSON Schema: `$` is the very end, `\\d` is ASCII."""
    return re.sub(r"\$(?=\||$)", r"\\Z", pattern.replace(r"\d", "[0-9]"))


_Validator: Any = extend(Draft202012Validator, {"pattern": _check_pattern})  # type: ignore[no-untyped-call]


class NoSuchPath(Exception):
    """The document has no such path."""


class WrongMethod(Exception):
    """The path is there, for other methods: those in `allowed`."""

    def __init__(self, allowed: list[str]) -> None:
        super().__init__(", ".join(allowed))
        self.allowed = allowed


class Schema:
    """One schema of the document, by its JSON pointer."""

    def __init__(self, document: dict[str, Any], registry: Any, pointer: str) -> None:
        self._document = document
        self._validator = _Validator({"$ref": f"{_URN}#{quote(pointer)}"}, registry=registry, format_checker=_FORMATS)

    def problems(self, value: object, at: str = "$") -> list[str]:
        """Return what is wrong with a value, in RunPod's words; `at` is what the value is called there."""
        found = worded(self._validator.iter_errors(value), self._document)
        return [at + text.removeprefix("$") for text in found]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the query or of the header. `kind` is the JSON type that its text is read as."""

    name: str
    place: str
    kind: str
    schema: Schema


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    id: str
    method: str
    path: str
    parameters: tuple[Parameter, ...]
    body: Schema | None
    answers: Mapping[str, Mapping[str, Schema]]  # status (or `default`) → media type → schema

    @property
    def malformed_status(self) -> int:
        """The status for a body that can't be read at all: 400, or 422 where only that is documented."""
        return 422 if "422" in self.answers and "400" not in self.answers else 400

    def answer_problems(self, status: int, media_type: str | None, body: object) -> list[str]:
        """Return what the document holds against an answer of ours; `media_type` is None when it has no body."""
        media = self.answers.get(str(status), self.answers.get("default"))
        if media is None:
            return [f"status {status} is not documented for {self.id}"]
        if media_type is None:
            return [f"status {status} of {self.id} needs a body"] if media else []
        if media_type not in media:
            return [f"{media_type} is not documented for status {status} of {self.id}"]
        return [] if media_type == "text/event-stream" else media[media_type].problems(body)


class Match(NamedTuple):
    """An operation, and what the path says."""

    operation: Operation
    path: dict[str, str]


class OpenApi:
    """The document and its operations."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = json.loads(files(__package__).joinpath("runpod-openapi-v2.json").read_bytes())
        resource = Resource.from_contents(self.document, default_specification=DRAFT202012)
        self._registry: Any = Registry().with_resource(_URN, resource).crawl()
        self.operations = {operation.id: operation for operation in self._read()}
        self._paths: dict[str, dict[str, Operation]] = {}
        for operation in self.operations.values():
            self._paths.setdefault(operation.path, {})[operation.method] = operation

    def find(self, method: str, raw_path: str) -> Match:
        """Return the operation of a method and a percent-encoded path. Raises NoSuchPath, WrongMethod.

        A path without parameters wins: /v2/registries/delegations is not the registry called `delegations`.
        """
        parts = raw_path.split("/")
        matches = [(path, found) for path in self._paths if (found := _matched(path, parts)) is not None]
        if not matches:
            raise NoSuchPath(raw_path)
        path, values = min(matches, key=lambda match: len(match[1]))
        if method not in self._paths[path]:
            raise WrongMethod(sorted(self._paths[path]))
        return Match(self._paths[path][method], values)

    def _read(self) -> Iterator[Operation]:
        for path, item in self.document["paths"].items():
            for method in _METHODS:
                if method in item:
                    yield self._operation(path, method, f"/paths/{_escaped(path)}/{method}")

    def _operation(self, path: str, method: str, pointer: str) -> Operation:
        _, data = self._followed(pointer)
        return Operation(
            id=data["operationId"],
            method=method.upper(),
            path=path,
            parameters=tuple(
                self._parameter(f"{pointer}/parameters/{i}") for i in range(len(data.get("parameters", ())))
            ),
            body=self._schema(f"{pointer}/requestBody/content/application~1json/schema")
            if "requestBody" in data
            else None,
            answers={status: self._media(f"{pointer}/responses/{status}") for status in data["responses"]},
        )

    def _parameter(self, pointer: str) -> Parameter:
        pointer, data = self._followed(pointer)
        _, schema = self._followed(f"{pointer}/schema")
        return Parameter(data["name"], data["in"], schema["type"], self._schema(f"{pointer}/schema"))

    def _media(self, pointer: str) -> dict[str, Schema]:
        pointer, data = self._followed(pointer)
        content = data.get("content", {})
        return {media: self._schema(f"{pointer}/content/{_escaped(media)}/schema") for media in content}

    def _schema(self, pointer: str) -> Schema:
        return Schema(self.document, self._registry, pointer)

    def _followed(self, pointer: str) -> tuple[str, dict[str, Any]]:
        """Return a pointer and what is there, references followed."""
        data: Any = self.document
        for part in pointer.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            data = data[int(key)] if isinstance(data, list) else data[key]
        return self._followed(data["$ref"].removeprefix("#")) if "$ref" in data else (pointer, data)


@functools.cache
def published() -> OpenApi:
    """Return the document, read once."""
    return OpenApi()


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _matched(path: str, parts: list[str]) -> dict[str, str] | None:
    """Return the values of a path's parameters, or None where it doesn't match."""
    names = path.split("/")
    if len(names) != len(parts):
        return None
    values = {}
    for name, part in zip(names, parts, strict=True):
        if name.startswith("{") and part:
            values[name[1:-1]] = unquote(part)
        elif name != part:
            return None
    return values
