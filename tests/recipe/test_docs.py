"""docs/recipe.md says what the model says: every field with its default and range, every condition, true examples."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from annotated_types import Ge, Gt, Le
from jsonschema import Draft202012Validator

from factory.recipe import loads
from factory.recipe.conditions import CONDITIONS, TYPES
from factory.recipe.rules import HANDLERS
from factory.recipe.schema import schema
from factory.recipe.words import block_at, block_of, fields

PAGE = (Path(__file__).parents[2] / "docs" / "recipe.md").read_text()
ROWS = {row[0]: row[1:] for row in re.findall(r"^\| `([\w.]+)` \| (.*?) \| (.*?) ?\| (.*) \|$", PAGE, re.M)}
EXAMPLES = [text for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.S) if "\nname:" in text]


def default_of(name: str) -> str:
    """Return a field's default as the page writes it."""
    path = tuple(name.split("."))
    block = block_at(path[:-1])
    assert block
    info = block.model_fields[path[-1]]
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    if value in (None, (), {}) or block_of(info.annotation):
        return "\N{EN DASH}"
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def bounds_of(annotation: Any, metadata: Any) -> set[str]:
    """Return the numbers that bound a field, those of a union's members too."""
    marks = [
        *metadata,
        *(m for inner in getattr(annotation, "__args__", ()) for m in getattr(inner, "__metadata__", ())),
    ]
    marks += [mark for inner in marks for mark in getattr(inner, "metadata", ())]
    values = {
        m.ge if isinstance(m, Ge) else m.gt if isinstance(m, Gt) else m.le for m in marks if isinstance(m, Ge | Gt | Le)
    }
    return {f"{value:g}" if isinstance(value, float) else str(value) for value in values}


@pytest.mark.parametrize("name", list(fields()))
def test_every_field_has_its_row_with_its_default(name: str) -> None:
    """The page has a row for each field of the model, and its default there is the model's."""
    assert name in ROWS, f"docs/recipe.md has no row for {name}"
    assert ROWS[name][0] == default_of(name)


@pytest.mark.parametrize("name", [name for name in fields() if name != "endpoint.scaler.value"])
def test_every_range_is_the_models(name: str) -> None:
    """The bounds of a number are in its row (the scaler's value has two ranges, by its type)."""
    path = tuple(name.split("."))
    block = block_at(path[:-1])
    assert block
    info = block.model_fields[path[-1]]
    for bound in bounds_of(info.annotation, info.metadata):
        assert re.search(rf"\b{bound}\b", ROWS[name][1]), f"{name}: {bound} is not in its row"


def test_the_page_has_no_field_that_is_none() -> None:
    """Each row of the table of fields is a field of the model."""
    table = PAGE.partition("## Every field")[2].partition("## Short forms")[0]
    assert set(re.findall(r"^\| `([\w.]+)` \|", table, re.M)) == set(fields())


@pytest.mark.parametrize("name", CONDITIONS)
def test_every_condition_has_its_row(name: str) -> None:
    """Each condition of `expect` is in the table of conditions."""
    assert re.search(rf"^\| `{name}` \| ", PAGE.partition("## What a test may expect")[2], re.M)


def test_types_and_handlers_are_listed() -> None:
    """The names that `type` and `handler.name` take are on the page."""
    assert all(name in PAGE.partition("| `type` |")[2].partition("\n")[0] for name in TYPES)
    assert ", ".join(HANDLERS) in ROWS["handler.name"][1]


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_examples_are_recipes(text: str) -> None:
    """Each example on the page loads, and meets the schema."""
    loads(text, Path("example.yaml"))
    assert Draft202012Validator(schema()).is_valid(yaml.safe_load(text))


def test_the_first_example_is_short_and_the_second_is_whole() -> None:
    """The first has 8 lines after the schema's or fewer; the second uses every top-level key and every block."""
    short, whole = EXAMPLES[:2]
    assert len(short.splitlines()) <= 9
    written = set(loads(whole, Path("example.yaml")).recipe.model_dump(exclude_unset=True))
    assert written == {name for name in fields() if "." not in name}


@pytest.mark.parametrize(("short", "long"), re.findall(r"^\| `(\w+: .*)` \| `(\w+: .*)` \|$", PAGE, re.M))
def test_the_short_forms_are_what_the_page_says(short: str, long: str) -> None:
    """Each pair of the table gives equal recipes."""
    rest = {"name": "name: demo", "image": "image: {repository: a/b}", "handler": "handler: echo"}
    texts = [
        "\n".join([line.replace("…", "a/b"), *(v for k, v in rest.items() if not line.startswith(k))])
        for line in (short, long)
    ]
    assert loads(texts[0], Path("r.yaml")).recipe == loads(texts[1], Path("r.yaml")).recipe
