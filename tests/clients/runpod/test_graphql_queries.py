"""Every operation that the client can send, held against the emulator's copy of RunPod's schema."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
from graphql import OperationDefinitionNode, build_schema, parse, validate

from factory.clients.runpod.graphql import document

FOLDER = files("factory.clients.runpod").joinpath("graphql_queries")
NAMES = sorted(entry.name.removesuffix(".graphql") for entry in FOLDER.iterdir() if entry.is_file())
SCHEMA = build_schema(files("factory.emulator.runpod").joinpath("schema.graphql").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_each_operation_is_valid(name: str) -> None:
    """A field, argument or type that RunPod doesn't have would be answered with HTTP 400."""
    assert validate(SCHEMA, parse(document(name))) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_file_holds_one_operation_of_its_name(name: str) -> None:
    """`create_volume.graphql` is `CreateVolume`: RunPod's logs and ours say the same word."""
    [operation] = [node for node in parse(document(name)).definitions if isinstance(node, OperationDefinitionNode)]
    assert operation.name is not None
    assert operation.name.value == "".join(part.capitalize() for part in name.split("_"))


def test_there_is_no_operation_that_nothing_sends() -> None:
    """Each file is named in the client's code, and each name there is a file."""
    package = files("factory.clients.runpod")
    code = "".join(package.joinpath(f"{name}.py").read_text() for name in ("graphql", "graphql_cloud"))
    assert [name for name in NAMES if not re.search(rf'"{name}"', code)] == []


def test_no_value_is_written_into_an_operation() -> None:
    """Every argument is a variable: nothing of ours or the user's stands in the text."""
    for name in NAMES:
        text = document(name)
        assert '"' not in text
        assert not re.search(r":\s*(\d|true|false|\[)", text), name
