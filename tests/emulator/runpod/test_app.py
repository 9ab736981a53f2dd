"""One application: which face answers what, keys, and the box's own life."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from runpod_box import KEY, an_endpoint, emulated
from starlette.testclient import TestClient

from factory.emulator.runpod.app import MANAGEMENT, create_runpod
from factory.emulator.runpod.box import Box
from factory.emulator.runpod.clock import StepClock

BEARER = {"Authorization": f"Bearer {KEY}"}


def test_each_path_has_its_face(client: TestClient, box: Box) -> None:
    """REST v2, the job API, GraphQL and the controls are told apart by their path alone."""
    endpoint = box.world.create_endpoint(an_endpoint())
    assert client.get("/v2/serverless").json()["endpoints"][0]["id"] == endpoint.id
    assert client.get(f"/v2/{endpoint.id}/health").json()["jobs"]["inQueue"] == 0
    assert client.post("/graphql", json={"query": "{ myself { id } }"}).json()["data"]["myself"]["id"]
    assert client.get("/_emulator/state").json()["endpoints"][0]["id"] == endpoint.id
    assert (client.get("/api/models").status_code, client.get("/").json()) == (404, {"message": "Not Found"})


def test_reserved_words_are_the_openapis_own(client: TestClient) -> None:
    """Every first segment that REST v2's OpenAPI has is the management API's, and no other is."""
    paths = client.get("/v2/openapi.json").json()["paths"]
    assert {path.split("/")[2] for path in paths} | {"openapi.json"} == MANAGEMENT


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v2/serverless"), ("POST", "/graphql"), ("GET", "/v2/{endpoint}/health")]
)
def test_every_face_asks_for_a_key(method: str, path: str) -> None:
    """Without a key, or with one that isn't among the box's, each face answers 401."""
    app = create_runpod(clock=StepClock(), keys=frozenset({KEY}))
    endpoint = app.state.box.world.create_endpoint(an_endpoint())
    with TestClient(app) as client:

        def status(**headers: str) -> int:
            return client.request(
                method, path.format(endpoint=endpoint.id), headers=headers, json={"query": "{ myself { id } }"}
            ).status_code

        assert status() == status(Authorization="Bearer other") == status(Authorization="Bearer ") == 401
        assert status(Authorization=f"Bearer {KEY}") == 200
        assert status(Authorization=f"Bearer {app.state.box.worker_key}") == 200


def test_hub_is_there_when_it_is_given(tmp_path: Path) -> None:
    """Everything that is not RunPod's path goes to the hub; the log has those calls too."""
    (tmp_path / "org/name").mkdir(parents=True)
    (tmp_path / "org/name/config.json").write_text("{}")
    with emulated(hub=tmp_path) as runpod:
        assert httpx.get(f"{runpod.url}/api/models/org/name").json()["id"] == "org/name"
        assert httpx.get(f"{runpod.url}/v2/serverless", headers=BEARER).json() == {
            **httpx.get(f"{runpod.url}/v2/serverless", headers=BEARER).json(),
            "endpoints": [],
        }
        assert runpod.calls[0].path == "/api/models/org/name"
        assert runpod.box.fleet.worker_env == {"HF_ENDPOINT": runpod.url}


def test_box_lives_as_long_as_its_server(tmp_path: Path) -> None:
    """Served, it knows its URL and ticks; after it, its state folder is free and holds what was made."""
    with emulated(state=tmp_path) as runpod:
        assert runpod.box.url == runpod.url and runpod.box.loop is not None
        made = runpod.call(lambda box: box.world.create_endpoint(an_endpoint()))
    with emulated(state=tmp_path) as again:
        assert again.box.world.endpoints[made.id].name == made.name
        again.call(lambda box: box.world.delete_endpoint(made.id))
    assert create_runpod(state=tmp_path).state.box.world.endpoints == {}


def test_two_boxes_have_nothing_in_common() -> None:
    """Each application has its own account, catalogue, faults and log."""
    one, other = create_runpod(), create_runpod()
    one.state.box.world.create_endpoint(an_endpoint())
    one.state.box.catalogue.set_stock("ADA_24", "*", "NONE")
    assert not other.state.box.world.endpoints
    assert other.state.box.catalogue.pools["ADA_24"][0].stock != one.state.box.catalogue.pools["ADA_24"][0].stock
    assert other.state.faults is not one.state.faults and other.state.calls is not one.state.calls
