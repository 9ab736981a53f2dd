"""What is wrong with a GraphQL request, in the words of Apollo Server, which RunPod runs.

graphql-core 3.3 says the same as graphql-js 17 with Python's quotes; RunPod's recorded answer (2026-08-20) has those of
graphql-js 16: `Cannot query field "clientBalance2" on type "User".`, without a suggestion. So the messages of
validation are put back into that form, and variables are checked here, in graphql-js 16's words (utilities/
coerceInputValue.ts and execution/values.ts, read 2026-11-23), before graphql-core sees them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from graphql import (
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLSchema,
    OperationDefinitionNode,
    Undefined,
    VariableDefinitionNode,
    is_input_object_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    type_from_ast,
)

MASKED = "Something went wrong. Please try again later or contact support."
"""What RunPod shows of an error of its own (pulumi-runpod-native issue 18, read 2026-11-23)."""
INTROSPECTION = (
    "GraphQL introspection is not allowed by Apollo Server, but the query contained __schema or __type. To enable "
    "introspection, pass introspection: true to ApolloServer in production"
)

_QUOTED = re.compile(r"(?<![\w\"'])'([\w.:$!@\[\]()]+|\w+ \{ \.\.\. \})'(?![\w\"'])")
_REQUIRED_FIELD = re.compile(
    r"Expected value of type '(\w+)!?' to include required field '(\w+)', found: .*", re.DOTALL
)
_UNKNOWN_FIELD = re.compile(
    r"Expected value of type '(\w+)!?' not to include unknown field '(\w+)', found: .*", re.DOTALL
)
_REQUIRED_ARGUMENT = re.compile(
    r"Argument '\w+\.(\w+)\((\w+):\)' of type '([^']+)' is required, but it was not provided\."
)
_NULL = re.compile(r"Expected value of non-null type '([^']+)' not to be None\.")
_NOT_AN_OBJECT = re.compile(r"Expected value of type '(\w+)!?' to be an object, found: .*", re.DOTALL)

_MAX_DEPTH = 2
_MAX_ITEMS = 10


def apollo_message(message: str, schema: GraphQLSchema) -> str:
    """Return a validation message of graphql-core in graphql-js 16's words."""
    if found := _REQUIRED_FIELD.fullmatch(message):
        kind, field = schema.type_map[found[1]], found[2]
        assert isinstance(kind, GraphQLInputObjectType)
        return f'Field "{found[1]}.{field}" of required type "{kind.fields[field].type}" was not provided.'
    if found := _UNKNOWN_FIELD.fullmatch(message):
        return f'Field "{found[2]}" is not defined by type "{found[1]}".'
    if found := _REQUIRED_ARGUMENT.fullmatch(message):
        return f'Field "{found[1]}" argument "{found[2]}" of type "{found[3]}" is required, but it was not provided.'
    if found := _NULL.fullmatch(message):
        return f'Expected value of type "{found[1]}", found null.'
    if found := _NOT_AN_OBJECT.fullmatch(message):
        return f'Expected value of type "{found[1]}", {message[message.index("found:") :].replace("found:", "found")}.'
    return _QUOTED.sub(r'"\1"', message)


class Wrong(NamedTuple):
    """One thing that is wrong with the variables, and the definition it belongs to."""

    message: str
    node: VariableDefinitionNode


def wrong_variables(
    schema: GraphQLSchema, operation: OperationDefinitionNode, variables: Mapping[str, Any]
) -> Iterator[Wrong]:
    """Yield what is wrong with a request's variables. The operation must be valid."""
    for node in operation.variable_definitions or ():
        name, kind = node.variable.name.value, type_from_ast(schema, node.type)
        if kind is None:
            continue
        if name not in variables:
            if is_non_null_type(kind) and node.default_value is None:
                yield Wrong(f'Variable "${name}" of required type "{kind}" was not provided.', node)
        elif variables[name] is None and is_non_null_type(kind):
            yield Wrong(f'Variable "${name}" of non-null type "{kind}" must not be null.', node)
        else:
            for path, value, reason in _wrong(variables[name], kind, ""):
                at = f' at "{name}{path}"' if path else ""
                yield Wrong(f'Variable "${name}" got invalid value {inspected(value)}{at}; {reason}', node)


def _wrong(value: Any, kind: GraphQLInputType | Any, path: str) -> Iterator[tuple[str, Any, str]]:
    """Yield (path, value, reason) of what a value breaks."""
    if is_non_null_type(kind):
        if value is None:
            yield path, value, f'Expected non-nullable type "{kind}" not to be null.'
        else:
            yield from _wrong(value, kind.of_type, path)
    elif value is None:
        return
    elif is_list_type(kind):
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from _wrong(item, kind.of_type, f"{path}[{index}]")
        else:
            yield from _wrong(value, kind.of_type, path)
    elif is_input_object_type(kind):
        yield from _wrong_object(value, kind, path)
    elif is_leaf_type(kind):
        yield from _wrong_leaf(value, kind, path)


def _wrong_object(value: Any, kind: GraphQLInputObjectType, path: str) -> Iterator[tuple[str, Any, str]]:
    if not isinstance(value, Mapping):
        yield path, value, f'Expected type "{kind.name}" to be an object.'
        return
    for name, field in kind.fields.items():
        if name in value:
            yield from _wrong(value[name], field.type, f"{path}.{name}")
        elif is_non_null_type(field.type):
            yield path, value, f'Field "{name}" of required type "{field.type}" was not provided.'
    for name in value:
        if name not in kind.fields:
            yield path, value, f'Field "{name}" is not defined by type "{kind.name}".'


def _wrong_leaf(value: Any, kind: Any, path: str) -> Iterator[tuple[str, Any, str]]:
    try:
        if kind.coerce_input_value(value) is Undefined:
            yield path, value, f'Expected type "{kind.name}".'
    except GraphQLError as error:
        said = _QUOTED.sub(r'"\1"', error.message.partition(" Did you mean")[0])
        yield path, value, re.sub(r"'([^']*)'$", r'"\1"', said)


def inspected(value: Any, depth: int = 0) -> str:
    """Return a JSON value as graphql-js 16 prints one: `{ name: "x", env: [{ key: "k" }] }`."""
    if isinstance(value, Mapping):
        if not value:
            return "{}"
        if depth > _MAX_DEPTH:
            return "[Object]"
        return "{ " + ", ".join(f"{name}: {inspected(item, depth + 1)}" for name, item in value.items()) + " }"
    if isinstance(value, list):
        if not value:
            return "[]"
        if depth > _MAX_DEPTH:
            return "[Array]"
        shown = [inspected(item, depth + 1) for item in value[:_MAX_ITEMS]]
        left = len(value) - _MAX_ITEMS
        if left > 0:
            shown.append(f"... {left} more item{'s' if left > 1 else ''}")
        return "[" + ", ".join(shown) + "]"
    return json.dumps(value, ensure_ascii=False)
