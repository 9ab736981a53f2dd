"""The JSON Schema: the shipped file is current, it accepts what the loader accepts, and it knows the shorthands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from factory.recipe import load
from factory.recipe.schema import schema

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "recipes" / "recipe.schema.json"
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
VALIDATOR = Draft202012Validator(schema())
REST = {"name": "demo", "image": {"repository": "acme/demo"}}


def test_the_schema_is_a_schema() -> None:
    """The schema itself is valid JSON Schema 2020-12."""
    Draft202012Validator.check_schema(schema())


def test_the_shipped_file_is_the_schema() -> None:
    """recipes/recipe.schema.json is what `factory schema` prints; write it anew when this fails."""
    assert json.loads(SHIPPED.read_text()) == schema()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_shipped_recipe_validates_and_names_the_schema(path: Path) -> None:
    """A shipped recipe loads, meets the schema, and points editors at it in its first line."""
    load(path)
    assert not list(VALIDATOR.iter_errors(yaml.safe_load(path.read_text())))
    assert path.read_text().startswith(f"# yaml-language-server: $schema={SHIPPED.name}\n")


@pytest.mark.parametrize(
    "data",
    [
        {"handler": "echo"},
        {"handler": "my_handler.py"},
        {"handler": {"name": "echo", "options": {"a": [1, {"b": None}]}}},
        {"handler": "echo", "model": "a/b"},
        {"handler": "echo", "model": {"repo": "a/b", "placement": "image"}},
        {"handler": "echo", "models": ["a/b", {"repo": "c/d", "expect_gb": 69}]},
        {"handler": "echo", "gpu": "ADA_24"},
        {"handler": "echo", "gpu": ["ADA_24", "AMPERE_48"]},
        {"handler": "echo", "gpu": {"min_vram_gb": 24, "count": 2, "min_cuda": "12.4"}},
        {"handler": "echo", "disk": {"container": 50, "volume": "auto"}},
        {
            "handler": "echo",
            "tests": [{"input": {"a": 1}, "expect": {"$": {"type": "object"}, "a.0": [1], "b": {"c": 1}}}],
        },
        {"handler": "echo", "env": {"A": "1"}, "secrets": ["HF_TOKEN"]},
    ],
)
def test_short_and_long_forms_validate(data: dict[str, Any]) -> None:
    """What the loader takes, the schema takes."""
    assert [error.message for error in VALIDATOR.iter_errors({**REST, **data})] == []


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"handler": "echoo"},
        {"handler": "/my_handler.py"},
        {"handler": "echo", "model": "gpt2"},
        {"handler": "echo", "model": "a/b", "models": ["a/b"]},
        {"handler": "echo", "gpu": None},
        {"handler": "echo", "gpu": {"count": 1}},
        {"handler": "echo", "gpu": {"pool": "ADA_24"}},
        {"handler": "echo", "disk": {"container": 0}},
        {"handler": "echo", "endpoint": {"idle_timeout_s": 4000}},
        {"handler": "echo", "tests": [{"input": {}}]},
        {"handler": "echo", "env": {"A": 1}},
        {"handler": "echo", "env": {"1A": "1"}},
        {"handler": "echo", "image": {"repository": "acme/demo:1"}},
        {"handler": "echo", "image": {"repository": "acme/demo", "python": 3.1}},
    ],
)
def test_an_editor_marks_what_the_loader_refuses(data: dict[str, Any]) -> None:
    """Unknown keys, wrong types, ranges and forms are errors in the schema too."""
    assert not VALIDATOR.is_valid({**REST, **data})
