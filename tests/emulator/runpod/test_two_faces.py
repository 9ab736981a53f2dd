"""REST v2 and GraphQL show one account: what is made over one reads the same over the other, by the same rules."""

from __future__ import annotations

from typing import Any

import pytest
from graphql_calls import (
    GET_ENDPOINT,
    SAVE_ENDPOINT,
    SAVE_TEMPLATE,
    create_volume,
    data,
    refusal,
    save_endpoint,
    save_template,
    template_input,
)
from starlette.testclient import TestClient

Json = dict[str, Any]
REST_TEMPLATE: Json = {"name": "t", "image": "org/worker:1", "serverless": True}
REST_ENDPOINT: Json = {
    "name": "abc",
    "type": "QUEUE",
    "image": "org/worker:1",
    "gpu": {"pools": ["ADA_24"]},
    "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4},
}


def rest(client: TestClient, method: str, path: str, body: Json | None = None, *, status: int = 200) -> Json:
    """Return the body of a REST v2 call that ends with this status."""
    answer = client.request(method, f"/v2/{path}", json=body)
    assert answer.status_code == status, answer.text
    found: Json = answer.json() if answer.content else {}
    return found


def shown(client: TestClient, endpoint_id: str) -> Json:
    """Return an endpoint over GraphQL."""
    found: Json = data(client, GET_ENDPOINT, {"id": endpoint_id})["myself"]["endpoint"]
    return found


# --- endpoints -------------------------------------------------------------------------------------------------------
ENDPOINTS: list[tuple[Json, Json]] = [
    ({"workers": {"min": 1, "max": 4, "idleTimeout": 60}}, {"workersMin": 1, "workersMax": 4, "idleTimeout": 60}),
    (
        {"gpu": {"pools": ["ADA_24", "AMPERE_24"], "excludedTypes": ["NVIDIA L4"], "count": 2}},
        {"gpuIds": "ADA_24,AMPERE_24,-NVIDIA L4", "gpuCount": 2},
    ),
    (
        {"gpu": {"pools": ["ADA_24"], "minCudaVersion": "12.8"}},
        {"gpuIds": "ADA_24", "minCudaVersion": "12.8", "allowedCudaVersions": ""},
    ),
    (
        {"gpu": {"pools": ["ADA_24"], "allowedCudaVersions": ["12.4", "12.8"]}},
        {"gpuIds": "ADA_24", "allowedCudaVersions": "12.4,12.8", "minCudaVersion": ""},
    ),
    (
        {"scaling": {"type": "REQUEST_COUNT", "requestCount": 3}},
        {"scalerType": "REQUEST_COUNT", "scalerValue": 3},
    ),
    ({"scaling": {"type": "QUEUE_DELAY", "queueDelay": 7}}, {"scalerType": "QUEUE_DELAY", "scalerValue": 7}),
    ({"dataCenterIds": ["EU-RO-1", "US-KS-2"]}, {"locations": "EU-RO-1,US-KS-2"}),
    ({"timeout": 600000}, {"executionTimeoutMs": 600000}),
    ({"flashboot": "FLASHBOOT"}, {"flashBootType": "FLASHBOOT"}),
]


@pytest.mark.parametrize(("over_rest", "over_graphql"), ENDPOINTS)
def test_an_endpoint_made_over_rest(client: TestClient, over_rest: Json, over_graphql: Json) -> None:
    """GraphQL shows what REST v2 was told."""
    made = rest(client, "POST", "serverless", REST_ENDPOINT | over_rest, status=201)
    found = shown(client, made["id"])
    assert {name: found[name] for name in over_graphql} == over_graphql
    assert (found["name"], found["type"], found["template"]["imageName"]) == ("abc", "QB", "org/worker:1")


@pytest.mark.parametrize(("over_rest", "over_graphql"), ENDPOINTS)
def test_an_endpoint_made_over_graphql(client: TestClient, over_rest: Json, over_graphql: Json) -> None:
    """REST v2 shows what GraphQL was told."""
    template = save_template(client, env=[{"key": "A", "value": "1"}], containerDiskInGb=25)
    wanted = {"name": "abc", "templateId": template["id"], "gpuIds": "ADA_24", "minCudaVersion": ""} | over_graphql
    made = save_endpoint(client, **wanted)
    found = rest(client, "GET", f"serverless/{made['id']}")
    for name, value in over_rest.items():
        if isinstance(value, dict):
            assert {key: found[name][key] for key in value} == value
        else:
            assert found[name] == value
    assert (found["name"], found["type"], found["image"]) == ("abc", "QUEUE", "org/worker:1")
    assert (found["env"], found["disk"]) == ({"A": "1"}, 25)


def test_a_cpu_endpoint_over_both(client: TestClient) -> None:
    """REST's flavour and vCPUs are GraphQL's `cpu3c-4-8`."""
    body = {name: value for name, value in REST_ENDPOINT.items() if name != "gpu"}
    made = rest(client, "POST", "serverless", body | {"cpu": [{"id": "cpu3c", "vcpuCount": 4}]}, status=201)
    found = shown(client, made["id"])
    assert (found["instanceIds"], found["gpuIds"], found["computeType"]) == (["cpu3c-4-8"], "", "CPU")
    template = save_template(client)["id"]
    saved = save_endpoint(client, name="cpu", templateId=template, gpuIds="", instanceIds=["cpu3c-4-8"])
    assert rest(client, "GET", f"serverless/{saved['id']}")["cpu"] == [{"id": "cpu3c", "vcpuCount": 4, "memory": 8}]


def test_a_graphql_save_of_what_rest_made_changes_nothing(client: TestClient) -> None:
    """Read over GraphQL and written back whole: same version, same view, and the bound template stays with it."""
    volume = create_volume(client)
    body = REST_ENDPOINT | {"env": {"A": "1"}, "networkVolumes": [volume], "workers": {"max": 1, "idleTimeout": 30}}
    made = rest(client, "POST", "serverless", body, status=201)
    row = shown(client, made["id"])
    kept = ("id", "name", "type", "templateId", "gpuIds", "gpuCount", "workersMin", "workersMax", "idleTimeout")
    scaling = ("scalerType", "scalerValue", "locations", "networkVolumeId", "executionTimeoutMs", "minCudaVersion")
    again = save_endpoint(client, **{name: row[name] for name in kept + scaling})
    assert (again["version"], again) == (1, row)
    assert rest(client, "GET", f"serverless/{made['id']}") == made
    rest(client, "DELETE", f"serverless/{made['id']}", status=204)
    assert data(client, "{ myself { endpoints { id } podTemplates { id } } }") == {
        "myself": {"endpoints": [], "podTemplates": []}
    }


def test_a_change_over_either_makes_one_line_of_releases(client: TestClient) -> None:
    """Versions count on, whoever changes, and REST v2's releases show what changed."""
    template = save_template(client)["id"]
    same = {"name": "abc", "templateId": template, "gpuIds": "ADA_24", "minCudaVersion": ""}
    endpoint = save_endpoint(client, **same)
    rest(client, "PATCH", f"serverless/{endpoint['id']}", {"gpu": {"pools": ["AMPERE_24"]}})
    assert (shown(client, endpoint["id"])["gpuIds"], shown(client, endpoint["id"])["version"]) == ("AMPERE_24", 2)
    save_template(client, id=template, imageName="org/worker:2")
    save_endpoint(client, id=endpoint["id"], **same | {"gpuIds": "AMPERE_24"})
    releases = rest(client, "GET", f"serverless/{endpoint['id']}/releases")
    newest = releases["releases"][0]
    assert (releases["endpointVersion"], newest["version"]) == (3, 3)
    assert newest["diff"] == [{"field": "template.imageName", "old": "org/worker:1", "new": "org/worker:2"}]


def test_deletions_over_one_are_seen_by_the_other(client: TestClient) -> None:
    """Endpoint, template and volume: gone is gone."""
    volume, template = create_volume(client), save_template(client)["id"]
    endpoint = save_endpoint(client, name="abc", templateId=template, gpuIds="ADA_24", networkVolumeId=volume)["id"]
    for path in (f"serverless/{endpoint}", f"templates/{template}", f"network-volumes/{volume}"):
        rest(client, "DELETE", path, status=204)
    query = "{ myself { endpoints { id } podTemplates { id } networkVolumes { id } } }"
    assert set(map(str, data(client, query)["myself"].values())) == {"[]"}


# --- templates, volumes, logins, keys, pods --------------------------------------------------------------------------
def test_a_template_over_both(client: TestClient) -> None:
    """Fields by their two names; `dockerArgs` is `args`."""
    body = REST_TEMPLATE | {"args": "run", "disk": 30, "env": {"A": "1"}, "ports": ["8888/http"], "startSsh": False}
    made = rest(client, "POST", "templates", body, status=201)
    query = """query T($id: String!) { podTemplate(id: $id) {
      name imageName dockerArgs containerDiskInGb env { key value } ports startSsh isServerless volumeInGb
    } }"""
    assert data(client, query, {"id": made["id"]})["podTemplate"] == {
        "name": "t",
        "imageName": "org/worker:1",
        "dockerArgs": "run",
        "containerDiskInGb": 30,
        "env": [{"key": "A", "value": "1"}],
        "ports": "8888/http",
        "startSsh": False,
        "isServerless": True,
        "volumeInGb": 0,
    }
    saved = save_template(client, "g", dockerArgs="go", ports="1/http,2/tcp", isServerless=False, volumeInGb=20)
    found = rest(client, "GET", f"templates/{saved['id']}")
    assert (found["args"], found["ports"], found["serverless"]) == ("go", ["1/http", "2/tcp"], False)
    assert found["mounts"] == {"persistent": {"size": 20, "path": "/workspace"}}


def test_volumes_logins_and_keys_over_both(client: TestClient) -> None:
    """The small things are the same things."""
    volume = create_volume(client)
    assert rest(client, "GET", f"network-volumes/{volume}")["dataCenter"] == "EU-RO-1"
    login = rest(client, "POST", "registries", {"name": "hub", "username": "u", "password": "p"}, status=201)
    rest(client, "PUT", "account/ssh-keys", {"keys": ["ssh-ed25519 AAAA a", "ssh-ed25519 BBBB b"]})
    found = data(client, "{ myself { pubKey containerRegistryCreds { id name } networkVolumes { id size } } }")
    assert found["myself"] == {
        "pubKey": "ssh-ed25519 AAAA a\nssh-ed25519 BBBB b",
        "containerRegistryCreds": [{"id": login["id"], "name": "hub"}],
        "networkVolumes": [{"id": volume, "size": 20}],
    }


def test_a_pod_over_both(client: TestClient) -> None:
    """A pod rented over GraphQL is stopped over REST, and the other way round."""
    query = """mutation { podFindAndDeployOnDemand(input: {
      name: "work", imageName: "org/pod:1", gpuTypeId: "NVIDIA L4", cloudType: ALL, volumeInGb: 20
    }) { id desiredStatus volumeInGb } }"""
    pod = data(client, query)["podFindAndDeployOnDemand"]
    assert (pod["desiredStatus"], pod["volumeInGb"]) == ("RUNNING", 20)
    assert rest(client, "GET", f"pods/{pod['id']}")["gpu"] == {"id": "NVIDIA L4", "count": 1}
    rest(client, "POST", f"pods/{pod['id']}/action", {"action": "stop"})
    assert data(client, "{ myself { pods { id desiredStatus } } }")["myself"]["pods"] == [
        {"id": pod["id"], "desiredStatus": "EXITED"}
    ]
    data(client, f'mutation {{ podTerminate(input: {{podId: "{pod["id"]}"}}) }}')
    rest(client, "GET", f"pods/{pod['id']}", status=404)


# --- the same rules --------------------------------------------------------------------------------------------------
def test_both_refuse_with_the_same_words(client: TestClient) -> None:
    """Quota, pod template, unknown volume: one text, a 200 with `errors` here and a problem there."""
    template, pod = save_template(client)["id"], save_template(client, "pod", isServerless=False)["id"]
    base = {"name": "abc", "templateId": template, "gpuIds": "ADA_24"}
    pairs: list[tuple[Json, Json]] = [
        ({"workersMax": 11}, {"workers": {"max": 11}}),
        ({"networkVolumeId": "nope"}, {"networkVolumes": ["nope"]}),
        ({"locations": "MOON-1"}, {"dataCenterIds": ["MOON-1"]}),
        ({"templateId": pod}, {"templateId": pod}),
    ]
    for over_graphql, over_rest in pairs:
        answer = client.post("/v2/serverless", json=REST_ENDPOINT | over_rest)
        assert answer.status_code in (400, 422)
        assert answer.json()["detail"] == refusal(client, SAVE_ENDPOINT, {"input": base | over_graphql})


def test_names_are_taken_over_both(client: TestClient) -> None:
    """A template's name that REST gave is taken over GraphQL."""
    rest(client, "POST", "templates", REST_TEMPLATE, status=201)
    message = refusal(client, SAVE_TEMPLATE, {"input": template_input("t")})
    assert rest(client, "POST", "templates", REST_TEMPLATE, status=400)["detail"] == message


def test_stock_is_one_table(client: TestClient) -> None:
    """What REST's catalogue calls HIGH is `High` over GraphQL."""
    gpus = rest(client, "GET", "catalog/gpus?include=AVAILABILITY&product=SERVERLESS")["gpus"]
    over_rest = {(gpu["id"], dc["id"]): dc["availability"] for gpu in gpus for dc in gpu.get("dataCenters", ())}
    query = "{ serverlessGpuPools { gpuTypeIds } dataCenters { id gpuAvailability { gpuTypeId stockStatus } } }"
    found = data(client, query)
    pooled = {gpu for pool in found["serverlessGpuPools"] for gpu in pool["gpuTypeIds"]}
    over_graphql = {
        (gpu["gpuTypeId"], row["id"]): gpu["stockStatus"].upper()
        for row in found["dataCenters"]
        for gpu in row["gpuAvailability"]
        if gpu["stockStatus"] and gpu["gpuTypeId"] in pooled
    }
    assert {key: level for key, level in over_rest.items() if level != "NONE"} == over_graphql
