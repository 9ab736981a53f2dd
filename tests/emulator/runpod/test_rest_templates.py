"""Templates over REST v2."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from factory.emulator.runpod.box import Box
from factory.emulator.runpod.entities import Container, Template

TEMPLATE = {"name": "t", "image": "org/worker:1", "serverless": True}
ENDPOINT = {
    "name": "e",
    "type": "QUEUE",
    "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4},
    "gpu": {"pools": ["ADA_24"]},
}


def made(client: TestClient, **fields: object) -> dict[str, Any]:
    """Make a template and return it."""
    answer = client.post("/v2/templates", json=TEMPLATE | fields)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_what_is_omitted_has_runpods_defaults(client: TestClient) -> None:
    """startSsh and startJupyter are on, the category is NVIDIA, nothing is public."""
    template = made(client)
    assert template == {
        "id": template["id"],
        "name": "t",
        "image": "org/worker:1",
        "args": "",
        "disk": 10,
        "ports": [],
        "env": {},
        "registry": None,
        "mounts": {},
        "serverless": True,
        "public": False,
        "category": "NVIDIA",
        "startSsh": True,
        "startJupyter": True,
        "allowedCudaVersions": [],
    }


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"image": "org/worker:2", "args": "--x", "disk": 20, "ports": ["8000/http"]},
        {"env": {"B": "2"}},
        {"env": {}},
        {"public": True, "category": "CPU", "startSsh": False, "startJupyter": False},
        {"allowedCudaVersions": []},
        {"mounts": {"persistent": {"size": 20, "path": "/workspace"}}},
    ],
)
def test_a_patch_changes_what_it_says(client: TestClient, change: dict[str, Any]) -> None:
    """Other fields stay; `env` and lists are replaced whole."""
    template = made(client, env={"A": "1"}, allowedCudaVersions=["12.8"])
    path = f"/v2/templates/{template['id']}"
    assert client.patch(path, json=change).json() == template | change
    assert client.get(path).json() == template | change


def test_names_are_unique(client: TestClient) -> None:
    """A taken name is a 400, also by a PATCH."""
    made(client)
    assert client.post("/v2/templates", json=TEMPLATE).status_code == 400
    other = made(client, name="other")
    assert client.patch(f"/v2/templates/{other['id']}", json={"name": "t"}).status_code == 400


def test_an_unknown_registry_is_a_400(client: TestClient) -> None:
    """A template can't name a login that isn't there."""
    assert client.post("/v2/templates", json=TEMPLATE | {"registry": "nope"}).status_code == 400


def test_a_change_does_not_reach_endpoints(client: TestClient) -> None:
    """Endpoints keep the resolved copy, and so don't hold the template either."""
    template = made(client, env={"A": "1"})
    endpoint = client.post("/v2/serverless", json=ENDPOINT | {"templateId": template["id"]}).json()
    client.patch(f"/v2/templates/{template['id']}", json={"image": "org/worker:2", "env": {}})
    now = client.get(f"/v2/serverless/{endpoint['id']}").json()
    assert (now["image"], now["env"]) == ("org/worker:1", {"A": "1"})
    assert client.delete(f"/v2/templates/{template['id']}").status_code == 204


def test_a_bound_template_is_not_listed_and_is_in_use(client: TestClient, box: Box) -> None:
    """The platform keeps one per endpoint; it can't be deleted before the endpoint, and goes with it."""
    endpoint = client.post("/v2/serverless", json=ENDPOINT | {"image": "org/worker:1"}).json()
    assert client.get("/v2/templates").json() == {"templates": []}
    (bound,) = box.world.templates
    assert client.delete(f"/v2/templates/{bound}").status_code == 400
    assert client.delete(f"/v2/serverless/{endpoint['id']}").status_code == 204
    assert client.get(f"/v2/templates/{bound}").status_code == 404


def test_the_public_catalogue_is_read_only(client: TestClient) -> None:
    """Official templates are listed by default, can be fetched by id, and belong to somebody else."""
    shown = client.get("/v2/catalog/templates").json()["templates"]
    assert [template["public"] for template in shown] == [True] * len(shown)
    assert "30zmvf89kd" in [template["id"] for template in shown]
    path = "/v2/templates/30zmvf89kd"
    assert client.get(path).json() in shown
    assert (client.patch(path, json={"name": "mine"}).status_code, client.delete(path).status_code) == (404, 404)
    assert client.get("/v2/catalog/templates?source=community").json() == {"templates": []}
    assert client.get("/v2/catalog/templates?source=mine").status_code == 422


@pytest.mark.parametrize(("size_gb", "mounts"), [(20, {"persistent": {"size": 20, "path": "/w"}}), (5, {}), (0, {})])
def test_a_template_of_graphql_shows_its_disk_as_a_mount(
    client: TestClient, box: Box, size_gb: int, mounts: dict[str, Any]
) -> None:
    """GraphQL has a size and a path; v2 shows them from its least size on."""
    draft = Template("", "g", Container("i"), volume_gb=size_gb, mount_path="/w")
    template = box.world.create_template(draft)
    assert client.get(f"/v2/templates/{template.id}").json()["mounts"] == mounts
