"""Variables: what fits and what doesn't is graphql-core's own judgement, said in the words of graphql-js 16."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import hypothesis.strategies as st
import pytest
from graphql import GraphQLSchema, OperationDefinitionNode, build_schema, parse
from graphql.execution.values import VariableValues, get_variable_values
from hypothesis import given, settings

from factory.emulator.runpod.graphql_wording import inspected, wrong_variables

QUERY = """mutation Save($template: SaveTemplateInput!, $endpoint: EndpointInput, $ids: [String!], $size: Int = 5) {
  saveTemplate(input: $template) { id }
}"""
SOUND = {"name": "n", "imageName": "i", "dockerArgs": "", "containerDiskInGb": 5, "volumeInGb": 0, "env": []}


@cache
def schema() -> GraphQLSchema:
    """The emulator's schema."""
    return build_schema(files("factory.emulator.runpod").joinpath("schema.graphql").read_text())


def operation() -> OperationDefinitionNode:
    """The operation of `QUERY`."""
    [found] = parse(QUERY).definitions
    assert isinstance(found, OperationDefinitionNode)
    return found


def messages(variables: dict[str, Any]) -> list[str]:
    """Return what is wrong with the variables of `QUERY`."""
    return [wrong.message for wrong in wrong_variables(schema(), operation(), variables)]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"template": SOUND}, []),
        ({"template": SOUND, "ids": "one", "endpoint": None, "size": None}, []),
        ({}, ['Variable "$template" of required type "SaveTemplateInput!" was not provided.']),
        ({"template": None}, ['Variable "$template" of non-null type "SaveTemplateInput!" must not be null.']),
        (
            {"template": "x"},
            ['Variable "$template" got invalid value "x"; Expected type "SaveTemplateInput" to be an object.'],
        ),
        (
            {"template": SOUND, "endpoint": {}},
            ['Variable "$endpoint" got invalid value {}; Field "name" of required type "String!" was not provided.'],
        ),
        (
            {"template": SOUND, "endpoint": {"name": "abc", "flashBoot": True}},
            [
                'Variable "$endpoint" got invalid value { name: "abc", flashBoot: true }; Field "flashBoot" is not '
                'defined by type "EndpointInput".'
            ],
        ),
        (
            {"template": SOUND | {"env": [{"key": "A", "value": None}, {"key": 5, "value": ""}]}},
            [
                'Variable "$template" got invalid value null at "template.env[0].value"; Expected non-nullable type '
                '"String!" not to be null.',
                'Variable "$template" got invalid value 5 at "template.env[1].key"; String cannot represent a non '
                "string value: 5",
            ],
        ),
        (
            {"template": SOUND | {"containerDiskInGb": "ten", "volumeInGb": 1.5}},
            [
                'Variable "$template" got invalid value "ten" at "template.containerDiskInGb"; Int cannot represent '
                'non-integer value: "ten"',
                'Variable "$template" got invalid value 1.5 at "template.volumeInGb"; Int cannot represent '
                "non-integer value: 1.5",
            ],
        ),
        (
            {"template": SOUND, "endpoint": {"name": "abc", "flashBootType": "ON", "scalerValue": 2**40}},
            [
                'Variable "$endpoint" got invalid value 1099511627776 at "endpoint.scalerValue"; Int cannot represent '
                "non 32-bit signed integer value: 1099511627776",
                'Variable "$endpoint" got invalid value "ON" at "endpoint.flashBootType"; Value "ON" does not exist '
                'in "FlashBootType" enum.',
            ],
        ),
        (
            {"template": SOUND, "ids": ["a", None]},
            [
                'Variable "$ids" got invalid value null at "ids[1]"; '
                'Expected non-nullable type "String!" not to be null.'
            ],
        ),
    ],
)
def test_each_mistake_has_apollos_words(variables: dict[str, Any], expected: list[str]) -> None:
    """The message names the variable, the value and the place in it, and says what was expected."""
    assert messages(variables) == expected


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**33), 2**33) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
_NEARLY = st.fixed_dictionaries(
    {"name": st.just("n") | _JSON, "imageName": st.just("i")},
    optional={
        "dockerArgs": st.just("") | _JSON,
        "containerDiskInGb": st.just(5) | _JSON,
        "volumeInGb": st.just(0) | _JSON,
        "env": st.lists(st.fixed_dictionaries({"key": st.just("A")}, optional={"value": _JSON}), max_size=2) | _JSON,
        "isServerless": st.booleans() | _JSON,
        "more": _JSON,
    },
)


@settings(max_examples=80)
@given(st.dictionaries(st.sampled_from(["template", "endpoint", "ids", "size"]), _NEARLY | _JSON | st.just(SOUND)))
def test_it_agrees_with_graphql_core(variables: dict[str, Any]) -> None:
    """For any JSON: something is wrong exactly where graphql-core finds something wrong."""
    node = operation()
    judged = get_variable_values(schema(), node.variable_definitions or (), variables)
    assert (messages(variables) == []) is isinstance(judged, VariableValues)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('it\'s "so"', '"it\'s \\"so\\""'),
        ({}, "{}"),
        ([], "[]"),
        ({"a": {"b": {"c": {"d": 1}, "e": [1], "f": {}}}}, "{ a: { b: { c: [Object], e: [Array], f: {} } } }"),
        (list(range(12)), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ... 2 more items]"),
        (list(range(11)), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ... 1 more item]"),
        ([True, None, 1.5], "[true, null, 1.5]"),
    ],
)
def test_values_look_like_javascript(value: object, text: str) -> None:
    """As graphql-js prints a value: two levels deep, ten items long."""
    assert inspected(value) == text
