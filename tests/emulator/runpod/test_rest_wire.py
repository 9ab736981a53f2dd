"""What every call of REST v2 has in common: keys, limits, paths, reading, and the law that answers keep."""

from __future__ import annotations

from typing import Any

import pytest
from runpod_box import KEY
from starlette.testclient import TestClient

from factory.emulator.runpod.app import create_runpod
from factory.emulator.runpod.box import Box
from factory.emulator.runpod.clock import StepClock
from factory.emulator.runpod.openapi import published
from factory.emulator.runpod.rest import Rest, create_rest, handlers
from factory.emulator.runpod.rest_limits import Limits, Quota
from factory.emulator.runpod.rest_wire import Answer, Ask

AUTHORISED = {"Authorization": f"Bearer {KEY}"}
INVALID = "Request validation failed."


@pytest.mark.parametrize("header", [{}, {"Authorization": ""}, {"Authorization": "Bearer "}, {"Authorization": KEY}])
def test_a_call_without_a_bearer_token_is_a_401(app: Any, header: dict[str, str]) -> None:
    """The management API takes Bearer only, and says what is missing."""
    answer = TestClient(app).get("/v2/serverless", headers=header)
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    assert answer.json() == {"title": "Unauthorized", "status": 401, "detail": "missing bearer token"}


def test_a_wrong_key_is_a_401() -> None:
    """A box with keys of its own takes no other."""
    client = TestClient(create_runpod(clock=StepClock(), keys=frozenset({"right"})))
    statuses = {
        key: client.get("/v2/pods", headers={"Authorization": f"Bearer {key}"}).status_code
        for key in ("right", "wrong")
    }
    assert statuses == {"right": 200, "wrong": 401}


def test_every_answer_has_a_request_id_and_what_is_left(client: TestClient) -> None:
    """Successes and failures alike carry x-request-id, RateLimit and RateLimit-Policy."""
    answers = [client.get("/v2/serverless"), client.get("/v2/serverless/nope"), client.put("/v2/serverless")]
    assert len({answer.headers["x-request-id"] for answer in answers}) == 3
    assert all(answer.headers["ratelimit"].startswith('"minute";r=') for answer in answers)
    assert all('"minute";q=60000;w=60, "hour";q=' in answer.headers["ratelimit-policy"] for answer in answers)


def test_a_used_up_minute_is_a_429_until_it_is_over(box: Box) -> None:
    """The limit counts per key and window, tells when to come again, and keeps that promise."""
    clock = box.clock
    assert isinstance(clock, StepClock)
    client = TestClient(create_rest(box, quota=Quota(minute=2)), headers=AUTHORISED)
    assert [client.get("/v2/pods").status_code for _ in range(3)] == [200, 200, 429]
    refused = client.get("/v2/pods")
    assert refused.json()["detail"] == "rate limit exceeded for the minute window"
    assert refused.headers["ratelimit"].startswith('"minute";r=0;t=')
    assert client.get("/v2/pods", headers={"Authorization": "Bearer another"}).status_code == 200
    clock.advance(int(refused.headers["retry-after"]))
    assert client.get("/v2/pods").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/v2/serverless/", 404, None),
        ("GET", "/v2/serverless/a/b/c", 404, None),
        ("GET", "/v2/account", 404, None),
        ("GET", "/v2/billing/nothing", 404, None),
        ("GET", "/v2/serverless/nope", 404, None),
        ("PUT", "/v2/serverless", 405, "GET, POST"),
        ("POST", "/v2/serverless/x", 405, "DELETE, GET, PATCH"),
        ("GET", "/v2/registries/delegations", 200, None),
        ("GET", "/v2/registries/delegations/x", 405, "DELETE"),
        ("GET", "/v2/catalog/gpus/NVIDIA%20L4", 200, None),
        ("GET", "/v2/catalog/gpus/NVIDIA%2FL4", 404, None),
    ],
)
def test_paths_and_methods(client: TestClient, method: str, path: str, status: int, allow: str | None) -> None:
    """Unknown paths are 404, known ones with another method 405 with what is allowed; literal paths come first."""
    answer = client.request(method, path)
    assert (answer.status_code, answer.headers.get("allow")) == (status, allow)
    if status != 200:
        assert answer.json()["status"] == status


def test_the_document_is_served_without_a_key(app: Any) -> None:
    """/v2/openapi.json is RunPod's, unchanged."""
    assert TestClient(app).get("/v2/openapi.json").json() == published().document


VOLUME = {"name": "v", "size": 10, "dataCenter": "EU-RO-1"}
ENDPOINT = {
    "name": "e",
    "type": "QUEUE",
    "image": "org/worker:1",
    "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4},
    "gpu": {"pools": ["ADA_24"]},
}


@pytest.mark.parametrize(
    ("path", "body", "errors"),
    [
        ("/v2/network-volumes", {"name": "v", "size": 10}, ["$: missing property 'dataCenter'"]),
        (
            "/v2/network-volumes",
            {"dataCenterId": "EU-RO-1"},
            [
                "$: additional properties 'dataCenterId' not allowed",
                "$: missing properties 'name', 'size', 'dataCenter'",
            ],
        ),
        ("/v2/network-volumes", VOLUME | {"size": 9}, ["$.size: minimum: got 9, want 10"]),
        ("/v2/network-volumes", VOLUME | {"size": 4097}, ["$.size: maximum: got 4097, want 4096"]),
        ("/v2/network-volumes", VOLUME | {"size": 10.5}, ["$.size: got number, want integer"]),
        ("/v2/network-volumes", VOLUME | {"size": True}, ["$.size: got boolean, want integer"]),
        ("/v2/network-volumes", VOLUME | {"name": ""}, ["$.name: minLength: got 0, want 1"]),
        (
            "/v2/network-volumes",
            VOLUME | {"type": "FAST"},
            ["$.type: value must be one of 'STANDARD', 'HIGH_PERFORMANCE'"],
        ),
        ("/v2/network-volumes", [], ["$: got array, want object"]),
        ("/v2/network-volumes", "v", ["$: got string, want object"]),
        (
            "/v2/pods/x/action",
            {"action": "boil"},
            ["$.action: value must be one of 'start', 'stop', 'restart', 'terminate'"],
        ),
        ("/v2/serverless", ENDPOINT | {"dockerArgs": ""}, ["$: additional properties 'dockerArgs' not allowed"]),
        ("/v2/serverless", ENDPOINT | {"gpu": {"pools": []}}, ["$.gpu.pools: minItems: got 0, want 1"]),
        ("/v2/serverless", ENDPOINT | {"gpu": {"pools": [7]}}, ["$.gpu.pools[0]: got number, want string"]),
        (
            "/v2/serverless",
            ENDPOINT | {"gpu": {"pools": ["ADA_24"], "minCudaVersion": "12"}},
            [r"$.gpu.minCudaVersion: '12' does not match pattern '^\d+\.\d+$'"],
        ),
        (
            "/v2/serverless",
            ENDPOINT | {"scaling": {"type": "QUEUE_DELAY", "queueDelay": 0.1}},
            ["$.scaling.queueDelay: minimum: got 0.1, want 0.5"],
        ),
        ("/v2/serverless", ENDPOINT | {"env": {"A": 1}}, ["$.env.A: got number, want string"]),
        (
            "/v2/serverless",
            ENDPOINT | {"cpu": [{"id": "cpu3c", "vcpuCount": 2}] * 2},
            ["$.cpu: items at 0 and 1 are equal"],
        ),
        (
            "/v2/templates",
            {"name": "t", "image": "i", "mounts": {"network": []}},
            ["$.mounts: additional properties 'network' not allowed"],
        ),
    ],
)
def test_a_body_that_breaks_the_openapi_is_a_422_in_runpods_words(
    client: TestClient, path: str, body: Any, errors: list[str]
) -> None:
    """Every failure is told at once, with its path."""
    answer = client.post(path, json=body)
    assert answer.json() == {"title": "Unprocessable Entity", "status": 422, "detail": INVALID, "errors": errors}
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


@pytest.mark.parametrize(
    ("content", "kind", "detail"),
    [
        (b"{", "application/json", "request body is not valid JSON"),
        (b"NaN", "application/json", "request body is not valid JSON"),
        (b'{"size": 1e999}', "application/json", "request body is not valid JSON"),
        (b'{"name": "\\ud800"}', "application/json", "request body is not valid JSON"),
        (b"\xff", "application/json; charset=utf-8", "request body is not valid JSON"),
        (b"[" * 100_000, "application/json", "request body is not valid JSON"),
        (b"", "application/json", "request body is required"),
        (b"<a/>", "text/xml", "content type 'text/xml' is not supported: send application/json"),
    ],
)
def test_a_body_that_is_no_json_is_a_400(client: TestClient, content: bytes, kind: str, detail: str) -> None:
    """What can't be read at all is not a question of the schema."""
    answer = client.post("/v2/network-volumes", content=content, headers={"content-type": kind})
    assert (answer.status_code, answer.json()["detail"]) == (400, detail)


def test_a_malformed_body_has_the_status_that_the_operation_documents(client: TestClient) -> None:
    """PUT ssh-keys documents no 400, so there it is a 422."""
    answer = client.put("/v2/account/ssh-keys", content=b"{")
    assert answer.status_code == 422


def test_a_huge_body_is_a_413(client: TestClient) -> None:
    """More than 10 MiB are not read."""
    body = b'{"name": "' + b"x" * (10 * 1024 * 1024) + b'"}'
    assert client.post("/v2/network-volumes", content=body).status_code == 413


@pytest.mark.parametrize(
    ("query", "errors"),
    [
        ("lastN=0", ["lastN: minimum: got 0, want 1"]),
        ("lastN=many", ["lastN: got string, want integer"]),
        ("lastN=1&lastN=2", ["lastN: got 2 values, want 1"]),
        ("bucketSize=eon", ["bucketSize: value must be one of 'hour', 'day', 'week', 'month', 'year'"]),
        ("startTime=yesterday", ["startTime: 'yesterday' is not valid date-time"]),
        ("startTime=2026-02-30T00:00:00Z", ["startTime: '2026-02-30T00:00:00Z' is not valid date-time"]),
    ],
)
def test_a_bad_parameter_is_a_422(client: TestClient, query: str, errors: list[str]) -> None:
    """Parameters are read as their types and held against their schemas."""
    answer = client.get(f"/v2/billing?{query}")
    assert (answer.status_code, answer.json()["errors"]) == (422, errors)


@pytest.mark.parametrize(
    ("version", "is_one"),
    [("12.8", True), ("12.8\n", False), ("\u0661\u0662.8", False), ("12.8.1", False), ("", False)],
)
def test_patterns_are_read_as_ecma_does(client: TestClient, version: str, is_one: bool) -> None:
    """A line's end is not the end of a text, and only ASCII digits are digits; `""` clears only in a PATCH."""
    body = ENDPOINT | {"gpu": {"pools": ["ADA_24"], "minCudaVersion": version}}
    assert client.post("/v2/serverless", json=body).status_code == (201 if is_one else 422)


def test_unknown_parameters_are_ignored(client: TestClient) -> None:
    """As at RunPod: `?includeTemplate=true` of v1 does nothing, and is no error."""
    assert client.get("/v2/serverless?includeTemplate=true").json() == {"endpoints": []}


def test_pages_come_only_when_asked_for(client: TestClient) -> None:
    """`limit` cuts a list and adds `pagination`; its cursor leads to the rest, each thing once."""
    for number in range(5):
        client.post("/v2/network-volumes", json=VOLUME | {"name": f"v{number}"})
    assert client.get("/v2/network-volumes").json().keys() == {"networkVolumes"}
    names: list[str] = []
    cursor: str | None = ""
    for expected in (True, True, False):
        page = client.get(f"/v2/network-volumes?limit=2&cursor={cursor}").json()
        names += [volume["name"] for volume in page["networkVolumes"]]
        assert page["pagination"]["hasNextPage"] is expected
        cursor = page["pagination"]["nextCursor"]
    assert (names, cursor) == ([f"v{number}" for number in range(5)], None)
    assert client.get("/v2/network-volumes?limit=none").json().keys() == {"networkVolumes"}


def test_an_answer_that_breaks_the_openapi_is_a_500_that_says_so(box: Box) -> None:
    """The emulator never sends what RunPod's document forbids: its own bugs are told as such."""

    def broken(_ask: Ask) -> Answer:
        return Answer(body={"templates": [{"id": 1}]})

    app = Rest(box, published(), {**handlers(box), "listTemplates": broken}, Limits(Quota()))
    answer = TestClient(app, headers=AUTHORISED).get("/v2/templates")
    assert (answer.status_code, answer.json()["detail"]) == (500, "The emulator's own answer breaks RunPod's OpenAPI.")
    assert "$.templates[0].id: got number, want string" in answer.json()["errors"]


@pytest.mark.parametrize("change", [lambda table: table.pop("listPods"), lambda table: table.update(boil=print)])
def test_a_missing_handler_is_found_at_once(box: Box, change: Any) -> None:
    """Every operation of the document has a handler, and every handler an operation, or the face isn't made."""
    table = handlers(box)
    change(table)
    with pytest.raises(LookupError, match=r"listPods|boil"):
        Rest(box, published(), table, Limits(Quota()))


def test_ssh_keys_are_a_whole_set(client: TestClient, box: Box) -> None:
    """PUT replaces them all; `[]` takes them away; GraphQL's pubKey is the same."""
    keys = ["ssh-ed25519 AAAA me@example.com", "ssh-rsa BBBB"]
    assert client.put("/v2/account/ssh-keys", json={"keys": keys}).json() == {"keys": keys}
    assert box.world.person.public_key == "\n".join(keys)
    assert client.put("/v2/account/ssh-keys", json={"keys": []}).json() == client.get("/v2/account/ssh-keys").json()
    assert client.put("/v2/account/ssh-keys", json={"keys": ["no key"]}).status_code == 422
