"""Schema failures in the words that RunPod's REST v2 answers with.

Recorded there: `$: missing property 'dataCenter'`, `$: additional properties 'dataCenterId' not allowed`,
`$.action: value must be one of 'start', 'stop', …` and, at v1, `got array, want object`. Those are the messages of
github.com/santhosh-tekuri/jsonschema v6 behind a JSON path; the other kinds follow that library's wording.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from jsonschema.exceptions import ValidationError

_DEEPER = ("allOf", "anyOf", "oneOf")


def worded(errors: Iterable[ValidationError], document: dict[str, Any]) -> list[str]:
    """Return one line per failure, each once, in the order of the paths; `document` is where references lead."""
    lines = {line: None for error in errors for line in _lines(error, document)}
    return sorted(lines, key=lambda line: line.split(": ")[0])


def _lines(error: ValidationError, document: dict[str, Any]) -> Iterator[str]:
    if error.validator in ("oneOf", "anyOf") and error.context:
        yield from (line for inner in _nearest_branch(error) for line in _lines(inner, document))
        return
    text = _text(error, document)
    if text:
        yield f"{error.json_path}: {text}"


def _nearest_branch(error: ValidationError) -> list[ValidationError]:
    """Return the failures of the alternative that the value comes nearest to: the one with fewest."""
    branches: dict[Any, list[ValidationError]] = defaultdict(list)
    for inner in error.context or ():
        branches[inner.schema_path[0]].append(inner)
    return min(branches.values(), key=len)


def _text(error: ValidationError, document: dict[str, Any]) -> str:
    want: Any = error.validator_value
    got: Any = error.instance
    match error.validator:
        case "type":
            wanted = [want] if isinstance(want, str) else want
            return f"got {_type(got)}, want {' or '.join(wanted)}"
        case "required":
            return _named("missing property", "missing properties", [name for name in want if name not in got])
        case "additionalProperties" | "unevaluatedProperties":
            known = set(_declared(error.schema, document))
            extra = [name for name in got if name not in known]
            return f"additional properties {_quoted(extra)} not allowed" if extra else ""
        case "enum":
            return f"value must be {'one of ' if len(want) > 1 else ''}{_quoted(want)}"
        case "const":
            return f"value must be {_quoted([want])}"
        case "minimum" | "maximum":
            return f"{error.validator}: got {got}, want {want}"
        case "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties":
            return f"{error.validator}: got {len(got)}, want {want}"
        case "pattern":
            return f"'{got}' does not match pattern '{want}'"
        case "format":
            return f"'{got}' is not valid {want}"
        case "uniqueItems":
            return "items at {} and {} are equal".format(*_equal_pair(got))
        case "dependentRequired":
            return _dependent(got, want)
    return error.message


def _equal_pair(items: list[Any]) -> tuple[int, int]:
    texts = [json.dumps(item, sort_keys=True) for item in items]
    second = next((k for k, text in enumerate(texts) if text in texts[:k]), len(texts) - 1)
    return texts.index(texts[second]), second


def _dependent(got: dict[str, Any], rules: dict[str, list[str]]) -> str:
    for name, needed in rules.items():
        missing = [other for other in needed if name in got and other not in got]
        if missing:
            return f"properties {_quoted(missing)} required, if '{name}' exists"
    return ""


def _declared(schema: Any, document: dict[str, Any]) -> Iterator[str]:
    """Yield every property that a schema names for the same object.

    Where another rule fails, JSON Schema counts what stands beside it as unevaluated; only names that the schema
    doesn't have at all are worth saying.
    """
    if not isinstance(schema, dict):
        return
    yield from schema.get("properties", ())
    if "$ref" in schema:
        target = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        yield from _declared(target, document)
    for inner in [part for key in _DEEPER for part in schema.get(key, ())] + [schema.get("then"), schema.get("else")]:
        yield from _declared(inner, document)


def _named(one: str, many: str, names: list[str]) -> str:
    return f"{one if len(names) == 1 else many} {_quoted(names)}"


def _quoted(values: Iterable[Any]) -> str:
    return ", ".join(f"'{value}'" if isinstance(value, str) else str(value) for value in values)


def _type(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"
