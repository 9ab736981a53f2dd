"""Templates, volumes, registry logins, secrets and the person over GraphQL."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from graphql_calls import (
    SAVE_TEMPLATE,
    create_volume,
    data,
    refusal,
    save_endpoint,
    save_template,
    template_input,
)
from runpod_box import emulated
from starlette.testclient import TestClient

from factory.emulator.runpod.box import Box
from factory.emulator.runpod.entities import Person

DELETE_TEMPLATE = "mutation Delete($name: String!) { deleteTemplate(templateName: $name) }"
NO_TEMPLATE = "Unable to find template"


# --- templates -------------------------------------------------------------------------------------------------------
def test_a_template_is_read_back_as_it_was_saved(client: TestClient) -> None:
    """Every field that goes in comes out, and a list shows the same."""
    env = [{"key": "A", "value": "1"}, {"key": "TOKEN", "value": "{{ RUNPOD_SECRET_hf }}"}]
    saved = save_template(
        client,
        dockerArgs="python -m worker",
        containerDiskInGb=30,
        env=env,
        ports="8888/http, 22/tcp",
        readme="hello",
        startSsh=False,
        category="CPU",
        allowedCudaVersions=["12.4", "12.8"],
    )
    assert saved == {
        "id": saved["id"],
        "name": "minilm",
        "imageName": "org/worker:1",
        "dockerArgs": "python -m worker",
        "containerDiskInGb": 30,
        "volumeInGb": 0,
        "volumeMountPath": "",
        "ports": "8888/http,22/tcp",
        "env": env,
        "isServerless": True,
        "isPublic": False,
        "isRunpod": False,
        "readme": "hello",
        "startSsh": False,
        "startJupyter": True,
        "containerRegistryAuthId": None,
        "boundEndpointId": None,
        "category": "CPU",
        "allowedCudaVersions": ["12.4", "12.8"],
    }
    listed = data(client, "{ myself { podTemplates { id name } serverlessTemplates { id name } } }")["myself"]
    assert listed == {name: [{"id": saved["id"], "name": "minilm"}] for name in ("podTemplates", "serverlessTemplates")}


def test_a_save_with_an_id_replaces(client: TestClient) -> None:
    """What an update leaves out has its default again."""
    first = save_template(client, env=[{"key": "A", "value": "1"}], readme="r", ports="1/http")
    second = save_template(client, "other", id=first["id"], imageName="org/worker:2")
    assert second["id"] == first["id"]
    assert (second["name"], second["imageName"], second["env"]) == ("other", "org/worker:2", [])
    assert (second["readme"], second["ports"]) == ("", "")


@pytest.mark.parametrize(("made", "asked"), [(True, False), (False, True), (True, None), (None, True)])
def test_serverless_or_not_stays(client: TestClient, made: bool | None, asked: bool | None) -> None:
    """A change of `isServerless` is ignored without a word; without it at the creation it is a pod's template."""
    first = save_template(client, isServerless=made)
    again = save_template(client, id=first["id"], isServerless=asked)
    assert (first["isServerless"], again["isServerless"]) == (bool(made), bool(made))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "taken"}, "Template name must be unique: taken exists"),
        ({"id": "nope"}, NO_TEMPLATE),
        ({"id": "30zmvf89kd"}, NO_TEMPLATE),  # RunPod's own
        ({"containerRegistryAuthId": "nope"}, "Container registry auth nope not found"),
        ({"category": "TPU"}, "category must be one of NVIDIA, AMD, CPU, not TPU"),
        ({"containerDiskInGb": 0}, "containerDiskInGb must be at least 1, not 0"),
        ({"volumeInGb": 20}, "volumeInGb must be 0 for a serverless template (got 20)"),
        ({"volumeInGb": -1, "isServerless": False}, "volumeInGb must be 0 or at least 10 (got -1)"),
        ({"volumeInGb": 9, "isServerless": False}, "volumeInGb must be 0 or at least 10 (got 9)"),
        ({"allowedCudaVersions": ["new"]}, "CUDA version 'new' is not one: 12.4 is"),
    ],
)  # fmt: skip
def test_templates_that_are_refused(client: TestClient, fields: dict[str, Any], message: str) -> None:
    """Nothing is made then."""
    save_template(client, "taken")
    assert refusal(client, SAVE_TEMPLATE, {"input": template_input("new") | fields}) == message
    assert len(data(client, "{ myself { podTemplates { id } } }")["myself"]["podTemplates"]) == 1


def test_a_pods_template_has_a_volume(client: TestClient) -> None:
    """`volumeInGb` is mounted at /workspace unless the path says otherwise."""
    plain = save_template(client, "a", isServerless=False, volumeInGb=20)
    placed = save_template(client, "b", isServerless=False, volumeInGb=20, volumeMountPath="/data")
    assert [plain["volumeMountPath"], placed["volumeMountPath"]] == ["/workspace", "/data"]


def test_a_template_is_deleted_by_name(client: TestClient) -> None:
    """Null on success; unknown names and templates in use are refused."""
    template = save_template(client)
    save_endpoint(client, name="abc", templateId=template["id"], gpuIds="ADA_24")
    assert "in use by endpoint abc" in refusal(client, DELETE_TEMPLATE, {"name": "minilm"})
    assert refusal(client, DELETE_TEMPLATE, {"name": template["id"]}) == NO_TEMPLATE
    save_template(client, "free")
    assert data(client, DELETE_TEMPLATE, {"name": "free"}) == {"deleteTemplate": None}
    assert refusal(client, DELETE_TEMPLATE, {"name": "free"}) == NO_TEMPLATE


@pytest.mark.parametrize(
    ("asked", "expected"), [("", {"30zmvf89kd", "own"}), ("(input: {isRunpod: true})", {"30zmvf89kd"}),
                            ("(input: {isRunpod: false})", {"own"})],
)  # fmt: skip
def test_runpods_own_templates_are_listed_beside(client: TestClient, asked: str, expected: set[str]) -> None:
    """`podTemplates` has both, or one sort."""
    own = save_template(client, "own")["id"]
    listed = data(client, f"{{ podTemplates{asked} {{ id isRunpod }} }}")["podTemplates"]
    ids = {"own" if row["id"] == own else row["id"] for row in listed if row["id"] != "runpod-ubuntu"}
    assert ids == expected
    assert all(row["isRunpod"] is (row["id"] != own) for row in listed)
    one = data(client, "query One($id: String!) { podTemplate(id: $id) { name isRunpod } }", {"id": own})
    assert one["podTemplate"] == {"name": "own", "isRunpod": False}
    assert data(client, '{ podTemplate(id: "nope") { name } }') == {"podTemplate": None}


# --- volumes ---------------------------------------------------------------------------------------------------------
def test_a_volume_is_made_grown_renamed_and_removed(client: TestClient) -> None:
    """With its data centre; the deletion answers null."""
    volume_id = create_volume(client)
    update = """mutation Update($input: UpdateNetworkVolumeInput!) {
      updateNetworkVolume(input: $input) { id name size dataCenterId dataCenter { id storageSupport } }
    }"""
    grown = data(client, update, {"input": {"id": volume_id, "size": 50}})["updateNetworkVolume"]
    assert grown == {
        "id": volume_id,
        "name": "weights",
        "size": 50,
        "dataCenterId": "EU-RO-1",
        "dataCenter": {"id": "EU-RO-1", "storageSupport": True},
    }
    renamed = data(client, update, {"input": {"id": volume_id, "name": "more"}})["updateNetworkVolume"]
    assert (renamed["name"], renamed["size"]) == ("more", 50)
    assert "cannot be reduced" in refusal(client, update, {"input": {"id": volume_id, "size": 20}})
    delete = "mutation Delete($id: String!) { deleteNetworkVolume(input: {id: $id}) }"
    assert data(client, delete, {"id": volume_id}) == {"deleteNetworkVolume": None}
    assert refusal(client, delete, {"id": volume_id}) == "network volume not found"
    assert data(client, "{ myself { networkVolumes { id } } }") == {"myself": {"networkVolumes": []}}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "v", "size": 5, "dataCenterId": "EU-RO-1"}, "Network volume size must be between 10 and 4096 GB."),
        ({"name": "v", "size": 20, "dataCenterId": "MOON-1"}, "Data center MOON-1 not found. Valid data centers: "),
    ],
)
def test_volumes_that_are_refused(client: TestClient, values: dict[str, Any], message: str) -> None:
    """Size and data centre are checked; a wrong data centre is answered with the valid ones."""
    query = "mutation Create($input: CreateNetworkVolumeInput!) { createNetworkVolume(input: $input) { id } }"
    assert refusal(client, query, {"input": values}).startswith(message)


# --- logins, secrets, the person -------------------------------------------------------------------------------------
def test_a_registry_login_lives_and_dies(box: Box, client: TestClient) -> None:
    """Made, listed by name alone, changed, deleted; the password never comes back."""
    made = data(client, 'mutation { saveRegistryAuth(input: {name: "hub", username: "u", password: "p"}) { id name } }')
    login_id = made["saveRegistryAuth"]["id"]
    listed = data(client, "{ myself { containerRegistryCreds { id name } } }")["myself"]["containerRegistryCreds"]
    assert listed == [{"id": login_id, "name": "hub"}]
    update = f'mutation {{ updateRegistryAuth(input: {{id: "{login_id}", username: "w", password: "q"}}) {{ id }} }}'
    assert data(client, update) == {"updateRegistryAuth": {"id": login_id}}
    assert (box.world.logins[login_id].username, box.world.logins[login_id].password) == ("w", "q")
    assert save_template(client, containerRegistryAuthId=login_id)["containerRegistryAuthId"] == login_id
    delete = f'mutation {{ deleteRegistryAuth(registryAuthId: "{login_id}") }}'
    assert data(client, delete) == {"deleteRegistryAuth": None}
    assert refusal(client, delete) == "container registry auth not found"


def test_a_login_in_use_stays(client: TestClient) -> None:
    """An endpoint that pulls with a login keeps it."""
    made = data(client, 'mutation { saveRegistryAuth(input: {name: "hub", username: "u", password: "p"}) { id } }')
    login_id = made["saveRegistryAuth"]["id"]
    template = save_template(client, containerRegistryAuthId=login_id)
    save_endpoint(client, name="abc", templateId=template["id"], gpuIds="ADA_24")
    message = refusal(client, f'mutation {{ deleteRegistryAuth(registryAuthId: "{login_id}") }}')
    assert "in use by endpoint abc" in message


def test_a_secret_is_never_shown(client: TestClient) -> None:
    """Its name and description are; the schema has no field for the value."""
    create = 'mutation { secretCreate(input: {name: "hf", value: "hf_x", description: "d"}) { id name description } }'
    secret = data(client, create)["secretCreate"]
    assert (secret["name"], secret["description"]) == ("hf", "d")
    assert refusal(client, create) == "Secret name must be unique: hf exists"
    query = "{ myself { secrets { id name description createdAt updatedAt lastRetrievedAt } } }"
    [row] = data(client, query)["myself"]["secrets"]
    assert row == secret | {
        "createdAt": "2023-11-14T22:13:20Z",
        "updatedAt": "2023-11-14T22:13:20Z",
        "lastRetrievedAt": None,
    }
    value = client.post("/graphql", json={"query": "{ myself { secrets { value } } }"})
    assert value.status_code == 400
    assert data(client, f'mutation {{ secretDelete(id: "{secret["id"]}") }}') == {"secretDelete": None}
    assert data(client, query) == {"myself": {"secrets": []}}


def test_the_accounts_money() -> None:
    """Balance, quota and what is spent an hour on storage, as the person and the bill say."""
    query = """{ myself {
      id email clientBalance underBalance minBalance maxServerlessConcurrency clientLifetimeSpend spendLimit
      currentSpendPerHr spendDetails { localStoragePerHour networkStoragePerHour gpuComputePerHour }
    } }"""
    with (
        emulated(person=Person(balance_usd=0.0, worker_quota=5)) as runpod,
        httpx.Client(base_url=runpod.url, headers={"Authorization": "Bearer k"}) as client,
    ):
        create_volume(client, size=1000)
        runpod.tick()
        myself = data(client, query)["myself"]
    storage = pytest.approx(1000 * 0.07 / 730, abs=1e-6)
    assert myself == {
        "id": "user_emulated",
        "email": "you@example.com",
        "clientBalance": 0.0,
        "underBalance": True,
        "minBalance": 0.01,
        "maxServerlessConcurrency": 5,
        "clientLifetimeSpend": 0.0,
        "spendLimit": 80,
        "currentSpendPerHr": storage,
        "spendDetails": {"localStoragePerHour": 0.0, "networkStoragePerHour": storage, "gpuComputePerHour": 0.0},
    }


def test_the_ssh_key_is_set(client: TestClient) -> None:
    """`updateUserSettings` answers with the account; null changes nothing."""
    key = "ssh-ed25519 AAAA me"
    query = "mutation Set($key: String) { updateUserSettings(input: {pubKey: $key}) { id pubKey } }"
    for given in (key, None):
        assert data(client, query, {"key": given})["updateUserSettings"] == {"id": "user_emulated", "pubKey": key}
