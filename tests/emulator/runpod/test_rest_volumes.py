"""Network volumes and registries over REST v2."""

from __future__ import annotations

from typing import Any

import pytest
from runpod_box import an_endpoint
from starlette.testclient import TestClient

from factory.emulator.runpod.box import Box

VOLUME = {"name": "weights", "size": 50, "dataCenter": "EU-RO-1"}


def made(client: TestClient, **fields: object) -> dict[str, Any]:
    """Make a volume and return it."""
    answer = client.post("/v2/network-volumes", json=VOLUME | fields)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_a_volume_lives(client: TestClient) -> None:
    """Made, read, listed, renamed, grown, deleted; names need not be unique."""
    volume = made(client)
    assert volume == VOLUME | {"id": volume["id"], "type": "STANDARD"}
    assert made(client)["id"] != volume["id"]
    path = f"/v2/network-volumes/{volume['id']}"
    assert client.get(path).json() == volume
    assert client.patch(path, json={"size": 60, "name": "w"}).json() == volume | {"size": 60, "name": "w"}
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404
    assert len(client.get("/v2/network-volumes").json()["networkVolumes"]) == 1


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"dataCenter": "EU-XX-9"}, 400, "Valid data centers: EU-CZ-1, EU-RO-1"),
        ({"dataCenter": "US-TX-3"}, 400, "does not support network volumes"),
        ({"type": "HIGH_PERFORMANCE"}, 400, "does not support HIGH_PERFORMANCE"),
        ({"type": "HIGH_PERFORMANCE", "dataCenter": "US-KS-2"}, 201, "HIGH_PERFORMANCE"),
    ],
)
def test_where_volumes_can_be(client: TestClient, fields: dict[str, str], status: int, words: str) -> None:
    """A wrong data centre is answered with the right ones."""
    answer = client.post("/v2/network-volumes", json=VOLUME | fields)
    assert answer.status_code == status
    assert words in answer.text


@pytest.mark.parametrize(
    ("body", "status"),
    [({"size": 49}, 400), ({"size": 50}, 200), ({}, 422), ({"dataCenter": "US-KS-2"}, 422), ({"size": 5000}, 422)],
)
def test_what_a_volume_can_become(client: TestClient, body: dict[str, Any], status: int) -> None:
    """It never shrinks nor moves, and a PATCH says something."""
    volume = made(client)
    assert client.patch(f"/v2/network-volumes/{volume['id']}", json=body).status_code == status


def test_a_used_volume_stays(client: TestClient, box: Box) -> None:
    """An endpoint holds its volume."""
    volume = made(client)
    box.world.create_endpoint(an_endpoint(volume_ids=[volume["id"]]))
    answer = client.delete(f"/v2/network-volumes/{volume['id']}")
    assert (answer.status_code, "in use by endpoint minilm" in answer.json()["detail"]) == (400, True)


def test_a_registry_never_shows_its_password(client: TestClient, box: Box) -> None:
    """Only id and name come back, and a name is taken once."""
    sent = {"name": "ghcr", "username": "me", "password": "hunter2"}
    answer = client.post("/v2/registries", json=sent)
    registry = answer.json()
    assert (answer.status_code, registry) == (201, {"id": registry["id"], "name": "ghcr"})
    assert client.get(f"/v2/registries/{registry['id']}").json() == registry
    assert client.get("/v2/registries").json() == {"registries": [registry]}
    assert box.world.logins[registry["id"]].password == "hunter2"
    assert client.post("/v2/registries", json=sent).status_code == 400
    assert client.delete(f"/v2/registries/{registry['id']}").status_code == 204
    assert client.get(f"/v2/registries/{registry['id']}").status_code == 404


def test_a_template_loses_a_registry_and_a_pod_keeps_it(client: TestClient) -> None:
    """The OpenAPI's rule: pods block the deletion, templates don't."""
    registry = client.post("/v2/registries", json={"name": "r", "username": "u", "password": "p"}).json()["id"]
    template = client.post("/v2/templates", json={"name": "t", "image": "i", "registry": registry}).json()
    assert template["registry"] == registry
    pod = {"name": "p", "image": "i", "registry": registry, "gpu": {"id": "NVIDIA L4"}}
    pod_id = client.post("/v2/pods", json=pod).json()["id"]
    assert client.delete(f"/v2/registries/{registry}").status_code == 400
    client.delete(f"/v2/pods/{pod_id}")
    assert client.delete(f"/v2/registries/{registry}").status_code == 204
    assert client.get(f"/v2/templates/{template['id']}").json()["registry"] is None


ARN = "arn:aws:ecr:us-east-2:418399314813:repository/runpod/deployment"


@pytest.mark.parametrize(
    ("resource", "status", "tag"),
    [(ARN, 201, "latest"), (f"{ARN}:v1", 201, "v1"), ("arn:aws:s3:::bucket", 400, None), ("", 400, None)],
)
def test_a_delegation_is_the_arn_in_parts(client: TestClient, resource: str, status: int, tag: str | None) -> None:
    """Account, region, repository and tag are read from the ARN; another ARN is refused."""
    answer = client.post("/v2/registries/delegations", json={"resource": resource})
    assert answer.status_code == status
    if status == 201:
        made = answer.json()
        assert (made["awsUser"], made["awsRegion"], made["repository"]) == (
            "418399314813",
            "us-east-2",
            "runpod/deployment",
        )
        assert (made["tag"], made["dockerRegistryUri"]) == (tag, "418399314813.dkr.ecr.us-east-2.amazonaws.com")
        assert client.get("/v2/registries/delegations").json() == {"delegations": [made]}
        assert client.delete(f"/v2/registries/delegations/{made['id']}").status_code == 204
        assert client.delete(f"/v2/registries/delegations/{made['id']}").status_code == 404
