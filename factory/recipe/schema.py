"""The JSON Schema of a recipe file, shorthands included: what an editor needs to complete and check as one types."""

from __future__ import annotations

from typing import Any

from factory.recipe.conditions import SHAPES, TYPES
from factory.recipe.model import Recipe
from factory.recipe.rules import HANDLERS

Schema = dict[str, Any]

_FILE = {"type": "string", "pattern": r"^[^/~\\:][^:\\]*\.py$", "description": "A Python file beside the recipe."}


def schema() -> Schema:
    """Return the schema (JSON Schema 2020-12). What ties fields together is left to `factory check`."""
    result = _tidy(Recipe.model_json_schema())
    definitions, properties = result["$defs"], result["properties"]
    definitions["Condition"] = _condition()
    definitions["Handler"]["properties"]["name"]["anyOf"][0] = {"enum": list(HANDLERS)}
    definitions["Gpu"]["anyOf"] = [{"required": ["pools"]}, {"required": ["min_vram_gb"]}]
    definitions["Test"]["properties"]["expect"]["additionalProperties"] = {"anyOf": [_reference("Condition"), {}]}
    model = {"anyOf": [_reference("Model"), definitions["Model"]["properties"]["repo"]]}
    pools = definitions["Gpu"]["properties"]["pools"]["items"]
    properties |= {
        "model": {**model, "description": "The only model; short for `models` with one entry."},
        "models": {**properties["models"], "items": model},
        "gpu": _also(properties["gpu"], "Gpu", pools, {"type": "array", "items": pools, "minItems": 1}),
        "handler": _also(properties["handler"], "Handler", {"enum": list(HANDLERS)}, _FILE),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A recipe of factory",
        **result,
        "not": {"required": ["model", "models"]},
    }


def _reference(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _also(field: Schema, block: str, *shorthands: Schema) -> Schema:
    """Return the field's schema, widened by what its block may be written as."""
    return {"description": field["description"], "anyOf": [_reference(block), *shorthands]}


def _condition() -> Schema:
    number: Schema = {"type": "number"}
    count: Schema = {"type": "integer", "minimum": 0}
    anything: Schema = {}
    shapes: dict[str, Schema] = {
        "equals": anything,
        "contains": anything,
        "type": {"enum": [*TYPES, None]},
        "length": count,
        "min_length": count,
        "max_length": count,
        "min": number,
        "max": number,
        "matches": {"type": "string", "format": "regex"},
        "starts_with": {"type": ["string", "array"]},
        "within": {"type": "number", "minimum": 0},
    }
    return {
        "type": "object",
        "description": "What a value in the answer must meet.",
        "properties": {name: shapes[name] for name in SHAPES},
        "additionalProperties": False,
        "minProperties": 1,
    }


def _tidy(node: Any) -> Any:
    """Drop pydantic's generated titles, and close the mappings whose keys have a form."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    tidy = {key: _tidy(value) for key, value in node.items() if not (key == "title" and isinstance(value, str))}
    return {**tidy, "additionalProperties": False} if "patternProperties" in tidy else tidy
