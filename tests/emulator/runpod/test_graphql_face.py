"""The GraphQL face as HTTP: who may call, and how each sort of mistake is answered."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from graphql_calls import data, refusal
from runpod_box import KEY
from starlette.testclient import TestClient

from factory.clients.runpod.graphql import document
from factory.emulator.runpod.app import create_runpod
from factory.emulator.runpod.box import Box
from factory.emulator.runpod.clock import StepClock

CATALOGUE = "{ gpuTypes { id } dataCenters { id } serverlessGpuPools { id } cpuFlavors { id } countryCodes }"
MYSELF = "{ myself { id } }"
CLIENT = Path(str(files("factory.clients.runpod"))) / "graphql_queries"


def errors(client: TestClient, body: Any, status: int = 400) -> list[dict[str, Any]]:
    """Return the errors of a call that is refused before it runs: no `data` then."""
    answer = client.post("/graphql", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"errors"}
    found: list[dict[str, Any]] = answer.json()["errors"]
    return found


# --- keys ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ({"Authorization": f"Bearer {KEY}"}, "", 200),
        ({"Authorization": KEY}, "", 200),
        ({}, f"?api_key={KEY}", 200),
        ({}, "", 401),
        ({}, "?api_key=", 401),
        ({"Authorization": "Bearer "}, "", 401),
    ],
)
def test_a_key_comes_as_a_header_or_in_the_address(
    box: Box, client: TestClient, headers: dict[str, str], query: str, status: int
) -> None:
    """`Authorization: Bearer KEY`, the bare key, or `?api_key=`; none is a 401."""
    del client.headers["Authorization"]
    answer = client.post(f"/graphql{query}", json={"query": MYSELF}, headers=headers)
    assert answer.status_code == status
    assert ("data" in answer.json()) is (status == 200)


def test_a_wrong_key_is_a_401() -> None:
    """Where the box knows its keys, another one is none."""
    with TestClient(create_runpod(clock=StepClock(), keys=frozenset({"right"}))) as client:
        for key, status in (("wrong", 401), ("right", 200)):
            answer = client.post("/graphql", json={"query": MYSELF}, headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == status


@pytest.mark.parametrize(
    ("query", "is_open"),
    [
        (CATALOGUE, True),
        ("query A { ...B } fragment B on Query { gpuTypes { id } }", True),
        ("{ ... on Query { dataCenters { id } } __typename }", True),
        ("{ gpuTypes { id } myself { id } }", False),
        ("{ alias: myself { id } }", False),
        ("{ ...B } fragment B on Query { ... { myself { id } } }", False),
        ('mutation { secretDelete(id: "x") }', False),
    ],
)
def test_the_catalogue_needs_no_key(client: TestClient, query: str, is_open: bool) -> None:
    """GPU types, data centres and pools are public; nothing else is, however it is spelt."""
    del client.headers["Authorization"]
    assert client.post("/graphql", json={"query": query}).status_code == (200 if is_open else 401)


@pytest.mark.parametrize(
    ("agent", "status"), [("Python-urllib/3.11", 403), ("runpod-python/1.12.0", 200), ("python-httpx/0.28", 200)]
)
def test_cloudflare_turns_urllib_away(client: TestClient, agent: str, status: int) -> None:
    """Python's own urllib meets `error code: 1010`, with a good key too."""
    answer = client.post("/graphql", json={"query": MYSELF}, headers={"User-Agent": agent})
    assert answer.status_code == status
    assert (answer.text == "error code: 1010") is (status == 403)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/graphql", 405), ("POST", "/graphql/more", 404)])
def test_it_is_one_address_and_one_method(client: TestClient, method: str, path: str, status: int) -> None:
    """POST /graphql and nothing else."""
    assert client.request(method, path, json={"query": MYSELF}).status_code == status


# --- mistakes --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("query", "message", "place"),
    [
        ("{ myself { clientBalance2 } }", 'Cannot query field "clientBalance2" on type "User".', (1, 12)),
        ("{ myself { clientbalance } }", 'Cannot query field "clientbalance" on type "User".', (1, 12)),
        (
            "mutation { saveEndpoint }",
            'Field "saveEndpoint" argument "input" of type "EndpointInput!" is required, but it was not provided.',
            (1, 12),
        ),
        (
            'mutation { deleteTemplate(id: "x", templateName: "y") }',
            'Unknown argument "id" on field "Mutation.deleteTemplate".',
            (1, 27),
        ),
        (
            "{ myself }",
            'Field "myself" of type "User" must have a selection of subfields. Did you mean "myself { ... }"?',
            (1, 3),
        ),
        ("query A($x: Nonsense) { countryCodes }", 'Unknown type "Nonsense".', (1, 13)),
        (
            "{ __schema { types { name } } }",
            "GraphQL introspection is not allowed by Apollo Server, but the query "
            "contained __schema or __type. To enable introspection, pass introspection: true to ApolloServer in "
            "production",
            (1, 3),
        ),
        (
            '{ __type(name: "User") { name } }',
            "GraphQL introspection is not allowed by Apollo Server, but the query "
            "contained __schema or __type. To enable introspection, pass introspection: true to ApolloServer in "
            "production",
            (1, 3),
        ),
    ],
)
def test_what_the_schema_lacks_is_a_400(client: TestClient, query: str, message: str, place: tuple[int, int]) -> None:
    """Validation fails as recorded: message, place and code, no `data`, no suggestion."""
    found = errors(client, {"query": query})
    assert {
        "message": message,
        "locations": [{"line": place[0], "column": place[1]}],
        "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"},
    } in found


@pytest.mark.parametrize("missing", ["name", "imageName", "dockerArgs", "containerDiskInGb", "volumeInGb", "env"])
@pytest.mark.parametrize("has_variables", [False, True])
def test_a_template_needs_its_six_fields(client: TestClient, missing: str, has_variables: bool) -> None:
    """Without `dockerArgs`, say, it is a 400 that names the field, as a literal and as a variable."""
    fields = {"name": '"n"', "imageName": '"i"', "dockerArgs": '""'}
    fields |= {"containerDiskInGb": "5", "volumeInGb": "0", "env": "[]"}
    kinds = {"name": "String!", "imageName": "String!", "dockerArgs": "String!"}
    kinds |= {"containerDiskInGb": "Int!", "volumeInGb": "Int!", "env": "[EnvironmentVariableInput!]!"}
    del fields[missing]
    if has_variables:
        values = {"name": "n", "imageName": "i", "dockerArgs": "", "containerDiskInGb": 5, "volumeInGb": 0, "env": []}
        del values[missing]
        body = {"query": "mutation($input: SaveTemplateInput!) { saveTemplate(input: $input) { id } }"}
        [error] = errors(client, body | {"variables": {"input": values}})
        assert error["extensions"] == {"code": "BAD_USER_INPUT"}
        assert error["message"].startswith('Variable "$input" got invalid value { ')
        assert error["message"].endswith(
            f' }}; Field "{missing}" of required type "{kinds[missing]}" was not provided.'
        )
    else:
        text = ", ".join(f"{name}: {value}" for name, value in fields.items())
        [error] = errors(client, {"query": f"mutation {{ saveTemplate(input: {{{text}}}) {{ id }} }}"})
        assert error["extensions"] == {"code": "GRAPHQL_VALIDATION_FAILED"}
        required = f'Field "SaveTemplateInput.{missing}" of required type "{kinds[missing]}" was not provided.'
        assert error["message"] == required


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("flashBoot: true", 'Field "flashBoot" is not defined by type "EndpointInput".'),
        ("flashboot: true", 'Field "flashboot" is not defined by type "EndpointInput".'),
        ('computeType: "CPU"', 'Field "computeType" is not defined by type "EndpointInput".'),
        ('flashBootType: "OFF"', 'Enum "FlashBootType" cannot represent non-enum value: "OFF".'),
        ("flashBootType: ON", 'Value "ON" does not exist in "FlashBootType" enum.'),
        ("scalerType: QUEUE_DELAY", "String cannot represent a non string value: QUEUE_DELAY"),
        ('idleTimeout: "5"', 'Int cannot represent non-integer value: "5"'),
    ],
)
def test_fields_that_people_get_wrong(client: TestClient, field: str, message: str) -> None:
    """What users send to saveEndpoint in vain is refused by the schema."""
    [error] = errors(client, {"query": f'mutation {{ saveEndpoint(input: {{name: "abc", {field}}}) {{ id }} }}'})
    assert error["message"] == message


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"query": "{ myself { id }"}, "GRAPHQL_PARSE_FAILED"),
        ({"query": "{" * 5000}, "GRAPHQL_PARSE_FAILED"),
        ({"query": "   "}, "BAD_REQUEST"),
        ({"query": 5}, "BAD_REQUEST"),
        ({}, "BAD_REQUEST"),
        ([{"query": MYSELF}], "BAD_REQUEST"),
        ({"query": MYSELF, "variables": [1]}, "BAD_REQUEST"),
        ({"query": MYSELF, "operationName": 5}, "BAD_REQUEST"),
        ({"query": "query A { countryCodes } query B { countryCodes }"}, "OPERATION_RESOLUTION_FAILURE"),
        ({"query": "query A { countryCodes }", "operationName": "C"}, "OPERATION_RESOLUTION_FAILURE"),
        ({"query": "fragment F on User { id }"}, "GRAPHQL_VALIDATION_FAILED"),
    ],
)
def test_requests_that_are_none(client: TestClient, body: Any, code: str) -> None:
    """Syntax, shape and choice of operation: a 400 with Apollo's code."""
    assert code in {error["extensions"]["code"] for error in errors(client, body)}


@pytest.mark.parametrize(
    ("content", "content_type"),
    [(b"not json", "application/json"), (b"", "application/json"), (b'{"query": "{ countryCodes }"}', "text/plain")],
)
def test_bodies_that_are_none(client: TestClient, content: bytes, content_type: str) -> None:
    """What isn't JSON, or doesn't say so, is a 400."""
    answer = client.post("/graphql", content=content, headers={"Content-Type": content_type})
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]) == (400, {"code": "BAD_REQUEST"})


def test_a_named_operation_is_run(client: TestClient) -> None:
    """Of several operations the one that is named runs, with its variables."""
    query = "query A { countryCodes } query B($id: String!) { podTemplate(id: $id) { id } }"
    body = {"query": query, "operationName": "B", "variables": {"id": "30zmvf89kd"}}
    assert client.post("/graphql", json=body).json() == {"data": {"podTemplate": {"id": "30zmvf89kd"}}}


def test_a_rule_is_a_200(client: TestClient) -> None:
    """What RunPod's rules forbid is HTTP 200 with `errors`, and null where the result would be."""
    query = 'mutation { saveEndpoint(input: {name: "abc", templateId: "nope", gpuIds: "ADA_24"}) { id } }'
    assert refusal(client, query) == "Unable to find template"


def test_fields_before_the_refused_one_are_done(client: TestClient) -> None:
    """Mutations run in order: one that is refused doesn't undo the others."""
    query = """mutation {
      a: secretCreate(input: {name: "one", value: "x"}) { name }
      b: secretCreate(input: {name: "one", value: "y"}) { name }
    }"""
    body = client.post("/graphql", json={"query": query}).json()
    assert body["data"] == {"a": {"name": "one"}, "b": None}
    assert [error["path"] for error in body["errors"]] == [["b"]]


def test_our_own_bugs_are_masked(box: Box, client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    """A bug of the emulator looks as RunPod's do, and the log has the traceback."""
    del box.world.person
    body = client.post("/graphql", json={"query": MYSELF}).json()
    assert body["data"] == {"myself": None}
    assert body["errors"][0]["message"] == "Something went wrong. Please try again later or contact support."
    assert body["errors"][0]["extensions"] == {"code": "INTERNAL_SERVER_ERROR"}
    assert "AttributeError" in caplog.text


@pytest.mark.parametrize("name", sorted(path.stem for path in CLIENT.glob("*.graphql")))
def test_our_clients_operations_are_valid(client: TestClient, name: str) -> None:
    """Every operation that our own client sends fits the schema; what fails are at most its variables."""
    codes = {
        error["extensions"]["code"]
        for error in client.post("/graphql", json={"query": document(name)}).json().get("errors", ())
    }
    assert codes <= {"BAD_USER_INPUT"}


def test_typename_is_no_introspection(client: TestClient) -> None:
    """`__typename` stays allowed."""
    assert data(client, "{ __typename myself { __typename } }") == {
        "__typename": "Query",
        "myself": {"__typename": "User"},
    }
