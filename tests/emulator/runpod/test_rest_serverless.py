"""Serverless endpoints over REST v2: what may be asked for, what comes back, what a PATCH keeps."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from factory.emulator.runpod.box import Box

QUEUE_DELAY = {"type": "QUEUE_DELAY", "queueDelay": 4}
REQUEST_COUNT = {"type": "REQUEST_COUNT", "requestCount": 2}
ENDPOINT: dict[str, Any] = {
    "name": "e",
    "type": "QUEUE",
    "image": "org/worker:1",
    "scaling": QUEUE_DELAY,
    "gpu": {"pools": ["ADA_24"]},
}
CPU = {key: value for key, value in ENDPOINT.items() if key != "gpu"} | {"cpu": [{"id": "cpu3c", "vcpuCount": 4}]}
BALANCER = ENDPOINT | {"type": "LOAD_BALANCER", "scaling": REQUEST_COUNT}


def made(client: TestClient, body: dict[str, Any] | None = None, **fields: object) -> dict[str, Any]:
    """Make an endpoint and return it."""
    answer = client.post("/v2/serverless", json=(body or ENDPOINT) | fields)
    assert answer.status_code == 201, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def patched(client: TestClient, endpoint: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """Change an endpoint and return it."""
    answer = client.patch(f"/v2/serverless/{endpoint['id']}", json=body)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def test_what_is_omitted_has_the_observed_defaults(client: TestClient) -> None:
    """FlashBoot is off, the time-out 0 (observed, where the OpenAPI says 300000), no volume, no data centre."""
    endpoint = made(client)
    urls = endpoint.pop("requestUrls")
    assert endpoint == {
        "id": endpoint["id"],
        "name": "e",
        "type": "QUEUE",
        "image": "org/worker:1",
        "args": "",
        "disk": 10,
        "ports": [],
        "env": {},
        "registry": None,
        "gpu": {"pools": ["ADA_24"], "count": 1, "allowedCudaVersions": [], "minCudaVersion": None},
        "workers": {"min": 0, "max": 3, "idleTimeout": 10},
        "scaling": QUEUE_DELAY,
        "dataCenterIds": [],
        "networkVolumes": [],
        "timeout": 0,
        "flashboot": "OFF",
        "createdAt": "2023-11-14T22:13:20Z",
    }
    assert urls["runSync"] == f"http://testserver/v2/{endpoint['id']}/runsync"
    assert client.get("/v2/serverless").json()["endpoints"] == [endpoint | {"requestUrls": urls}]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({**ENDPOINT, "image": None}, 422, "$.image: got null, want string"),
        ({k: v for k, v in ENDPOINT.items() if k != "image"}, 422, "$: missing property 'image'"),
        (ENDPOINT | {"image": " "}, 400, "image must not be empty"),
        ({k: v for k, v in ENDPOINT.items() if k != "gpu"}, 400, "exactly one of gpu and cpu"),
        (ENDPOINT | {"cpu": CPU["cpu"]}, 400, "exactly one of gpu and cpu"),
        (ENDPOINT | {"templateId": "nope"}, 404, "template not found"),
        (ENDPOINT | {"templateId": "30zmvf89kd"}, 422, "Serverless endpoints cannot use pod templates."),
        (ENDPOINT | {"scaling": REQUEST_COUNT, "workers": {"idleTimeout": 5}}, 422, "$.workers.idleTimeout"),
        (BALANCER | {"scaling": QUEUE_DELAY}, 422, "$.scaling.type: value must be 'REQUEST_COUNT'"),
        (
            ENDPOINT | {"gpu": {"pools": ["ADA_24"], "allowedCudaVersions": ["12.8"], "minCudaVersion": "12.1"}},
            400,
            "mutually exclusive",
        ),
        (CPU | {"minCudaVersion": "12.1"}, 422, "additional properties 'minCudaVersion' not allowed"),
        (ENDPOINT | {"gpu": {"pools": ["ADA_24"], "excludedTypes": ["NVIDIA L4"]}}, 400, "is not a GPU type in any"),
        (
            ENDPOINT | {"gpu": {"pools": ["ADA_24"], "excludedTypes": ["NVIDIA GeForce RTX 4090"]}},
            400,
            "leaves no GPU type",
        ),
        (CPU | {"cpu": [{"id": "cpu9x", "vcpuCount": 2}]}, 400, "not a CPU flavor"),
        (CPU | {"cpu": [{"id": "cpu3c", "vcpuCount": 6}]}, 400, "power of two"),
        (ENDPOINT | {"workers": {"min": 2, "max": 1}}, 400, "must not exceed workers.max"),
        (ENDPOINT | {"workers": {"max": 11}}, 400, "must not exceed your workers quota (10)"),
        (ENDPOINT | {"dataCenterIds": ["EU-XX-9"]}, 400, "Valid data centers"),
        (ENDPOINT | {"networkVolumes": ["nope"]}, 400, "not found"),
        (ENDPOINT | {"registry": "nope"}, 400, "not found"),
        (ENDPOINT | {"timeout": -1}, 400, "timeout must not be negative"),
        (ENDPOINT | {"workers": {"idleTimeout": 3601}}, 422, "$.workers.idleTimeout: maximum"),
        (ENDPOINT | {"flashboot": True}, 422, "$.flashboot: "),
    ],
)
def test_what_runpod_would_refuse(client: TestClient, body: dict[str, Any], status: int, words: str) -> None:
    """Each rule of the OpenAPI and its prose, and nothing is made."""
    answer = client.post("/v2/serverless", json=body)
    assert (answer.status_code, words in answer.text) == (status, True), answer.text
    assert client.get("/v2/serverless").json() == {"endpoints": []}


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (ENDPOINT | {"gpu": {"pools": ["NVIDIA L4"]}}, {"gpu": {"pools": ["NVIDIA L4"]}}),
        (
            ENDPOINT | {"gpu": {"pools": ["ADA_48_PRO"], "excludedTypes": [" NVIDIA L40 "]}},
            {"gpu": {"excludedTypes": ["NVIDIA L40"]}},
        ),
        (
            ENDPOINT | {"gpu": {"pools": ["ADA_24"], "allowedCudaVersions": [], "minCudaVersion": "12.8"}},
            {"gpu": {"allowedCudaVersions": [], "minCudaVersion": "12.8"}},
        ),
        (ENDPOINT | {"scaling": REQUEST_COUNT}, {"workers": {"min": 0, "max": 3}, "scaling": REQUEST_COUNT}),
        (BALANCER, {"workers": {"idleTimeout": 10}, "scaling": REQUEST_COUNT}),
        (CPU, {"cpu": [{"id": "cpu3c", "vcpuCount": 4, "memory": 8}]}),
        (ENDPOINT | {"timeout": 1000, "flashboot": "FLASHBOOT"}, {"timeout": 1000, "flashboot": "FLASHBOOT"}),
    ],
)
def test_what_runpod_would_take(client: TestClient, body: dict[str, Any], shown: dict[str, Any]) -> None:
    """A GPU's name among the pools is taken without a word, as at RunPod, and never scheduled."""
    endpoint = made(client, body)
    for field, expected in shown.items():
        got = endpoint[field]
        assert (got | expected if isinstance(expected, dict) else expected) == got
    assert ("gpu" in endpoint) != ("cpu" in endpoint)
    if body["scaling"] == REQUEST_COUNT and body["type"] == "QUEUE":
        assert "idleTimeout" not in endpoint["workers"]


def test_a_load_balancer_has_other_urls(client: TestClient) -> None:
    """`base` and `health`, the latter from HEALTH_CHECK_PATH."""
    plain, own = made(client, BALANCER), made(client, BALANCER | {"env": {"HEALTH_CHECK_PATH": "/up"}})
    assert plain["requestUrls"]["health"] == f"http://testserver/v2/{plain['id']}/ping"
    assert own["requestUrls"]["health"].endswith("/up")


def test_a_template_is_resolved_once(client: TestClient) -> None:
    """The body goes before the template, env is merged per key, and the CUDA set comes along without a floor."""
    settings = {"image": "org/t:1", "args": "--t", "disk": 30, "env": {"A": "t", "B": "t"}, "ports": ["1/http"]}
    body = settings | {"name": "t", "serverless": True, "allowedCudaVersions": ["12.8"]}
    template_id = client.post("/v2/templates", json=body).json()["id"]
    bare = {key: value for key, value in ENDPOINT.items() if key != "image"} | {"templateId": template_id}
    first = made(client, bare, disk=40, env={"B": "b", "C": "b"})
    assert (first["image"], first["args"], first["disk"], first["ports"]) == ("org/t:1", "--t", 40, ["1/http"])
    assert first["env"] == {"A": "t", "B": "b", "C": "b"}
    assert first["gpu"]["allowedCudaVersions"] == ["12.8"]
    floor = made(client, bare, gpu={"pools": ["ADA_24"], "minCudaVersion": "12.1"})
    assert (floor["gpu"]["allowedCudaVersions"], floor["gpu"]["minCudaVersion"]) == ([], "12.1")
    free = made(client, bare, gpu={"pools": ["ADA_24"], "allowedCudaVersions": []})
    assert free["gpu"]["allowedCudaVersions"] == []


GPU = {"pools": ["ADA_48_PRO"], "count": 2, "excludedTypes": ["NVIDIA L40"], "minCudaVersion": "12.1"}


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"name": "n"}, {"name": "n"}),
        ({"env": {"B": "2"}}, {"env": {"B": "2"}}),
        ({"registry": None}, {"registry": None}),
        ({"image": "org/worker:2"}, {"image": "org/worker:2", "env": {"A": "1"}}),
        ({"workers": {"max": 5}}, {"workers": {"min": 1, "max": 5, "idleTimeout": 7}}),
        ({"workers": {"idleTimeout": 9}}, {"workers": {"min": 1, "max": 2, "idleTimeout": 9}}),
        ({"scaling": REQUEST_COUNT}, {"scaling": REQUEST_COUNT, "workers": {"min": 1, "max": 2}}),
        ({"gpu": {"count": 1}}, {"gpu": GPU | {"count": 1, "allowedCudaVersions": []}}),
        (
            {"gpu": {"pools": ["ADA_24", "AMPERE_24"]}},
            {
                "gpu": {
                    "pools": ["ADA_24", "AMPERE_24"],
                    "count": 2,
                    "allowedCudaVersions": [],
                    "minCudaVersion": "12.1",
                }
            },
        ),
        (
            {"gpu": {"minCudaVersion": "", "allowedCudaVersions": ["12.8"]}},
            {"gpu": GPU | {"minCudaVersion": None, "allowedCudaVersions": ["12.8"]}},
        ),
        ({"gpu": {"minCudaVersion": ""}}, {"gpu": GPU | {"minCudaVersion": None, "allowedCudaVersions": []}}),
        ({"dataCenterIds": ["EU-RO-1"]}, {"dataCenterIds": ["EU-RO-1"]}),
        ({"timeout": 5, "flashboot": "PRIORITY_FLASHBOOT"}, {"timeout": 5, "flashboot": "PRIORITY_FLASHBOOT"}),
        ({}, {}),
    ],
)
def test_a_patch_changes_what_it_says(client: TestClient, change: dict[str, Any], shown: dict[str, Any]) -> None:
    """Everything else stays; env and the selection of GPUs are one value each."""
    endpoint = made(client, gpu=GPU, env={"A": "1"}, workers={"min": 1, "max": 2, "idleTimeout": 7})
    assert patched(client, endpoint, change) == endpoint | shown


@pytest.mark.parametrize(
    ("body", "change", "status"),
    [
        (ENDPOINT, {"type": "LOAD_BALANCER"}, 422),
        (ENDPOINT, {"cpu": CPU["cpu"]}, 400),
        (CPU, {"gpu": {"pools": ["ADA_24"]}}, 400),
        (ENDPOINT, {"gpu": {"pools": ["ADA_24"]}, "cpu": CPU["cpu"]}, 400),
        (ENDPOINT | {"gpu": GPU}, {"gpu": {"allowedCudaVersions": ["12.8"]}}, 400),
        (ENDPOINT, {"gpu": {"excludedTypes": ["NVIDIA L4"]}}, 422),
        (ENDPOINT, {"scaling": REQUEST_COUNT, "workers": {"idleTimeout": 5}}, 422),
        (BALANCER, {"scaling": QUEUE_DELAY}, 422),
        (ENDPOINT, {"templateId": "nope"}, 404),
        (ENDPOINT, {"templateId": "30zmvf89kd"}, 422),
        (ENDPOINT, {"workers": {"max": 11}}, 400),
        (ENDPOINT, {"image": ""}, 400),
        (ENDPOINT, {"name": ""}, 422),
    ],
)
def test_what_a_patch_cannot_do(client: TestClient, body: dict[str, Any], change: dict[str, Any], status: int) -> None:
    """Refused, and the endpoint is as it was."""
    endpoint = made(client, body)
    assert client.patch(f"/v2/serverless/{endpoint['id']}", json=change).status_code == status
    assert client.get(f"/v2/serverless/{endpoint['id']}").json() == endpoint


def test_back_to_queue_delay_brings_the_idle_time_out_back(client: TestClient) -> None:
    """A queue that scaled on the request count has none; the default comes with the other scaler."""
    endpoint = made(client, scaling=REQUEST_COUNT)
    assert patched(client, endpoint, {"scaling": QUEUE_DELAY})["workers"]["idleTimeout"] == 10


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"image": "org/worker:2"}, ["template.imageName"]),
        ({"env": {"A": "1"}, "gpu": {"count": 2}}, ["gpuCount", "template.env"]),
        ({"name": "n", "workers": {"max": 1}, "timeout": 1, "scaling": REQUEST_COUNT}, None),
        ({"image": "org/worker:1"}, None),
    ],
)
def test_what_workers_are_made_of_makes_a_release(
    client: TestClient, change: dict[str, Any], fields: list[str] | None
) -> None:
    """Container and placement roll; name, bounds, scaler and time-outs change in place."""
    endpoint = made(client)
    patched(client, endpoint, change)
    releases = client.get(f"/v2/serverless/{endpoint['id']}/releases").json()
    assert releases["endpointVersion"] == (2 if fields else 1)
    assert [release["version"] for release in releases["releases"]] == ([2, 1] if fields else [1])
    if fields:
        assert sorted(entry["field"] for entry in releases["releases"][0]["diff"]) == fields


def test_no_money_no_endpoint(client: TestClient, box: Box) -> None:
    """RunPod's own words."""
    box.world.set_person(balance_usd=0)
    answer = client.post("/v2/serverless", json=ENDPOINT)
    assert answer.json()["detail"] == "You must have at least $0.01 in your account balance to create an endpoint."


def test_a_deleted_endpoint_is_gone(client: TestClient) -> None:
    """204 once, then 404 everywhere."""
    path = f"/v2/serverless/{made(client)['id']}"
    assert client.delete(path).status_code == 204
    for route in ("", "/workers", "/releases", "/workers/w/logs"):
        assert client.get(path + route).status_code == 404
    assert client.delete(path).status_code == 404
