"""Pods and clusters on paper: RunPod's rules, and never RUNNING."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from runpod_box import KEY
from starlette.testclient import TestClient

from factory.emulator.runpod.app import create_runpod
from factory.emulator.runpod.box import Box
from factory.emulator.runpod.clock import StepClock

POD: dict[str, Any] = {"name": "p", "image": "i", "gpu": {"id": "NVIDIA L4"}}
NO_STOCK = (
    "There are no longer any instances available with the requested specifications. Please refresh and try again."
)
CLUSTER: dict[str, Any] = {
    "name": "c",
    "type": "RAY",
    "image": "i",
    "compute": {"gpuTypeId": "NVIDIA H100 80GB HBM3", "gpuCountPerPod": 8, "podCount": 2},
}


def made(client: TestClient, path: str = "/v2/pods", **fields: object) -> dict[str, Any]:
    """Make a pod or a cluster and return it."""
    answer = client.post(path, json=(POD if path == "/v2/pods" else CLUSTER) | fields)
    assert answer.status_code == 201, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def volume(client: TestClient, data_center: str = "EU-RO-1") -> str:
    """Make a volume and return its id."""
    answer = client.post("/v2/network-volumes", json={"name": "v", "size": 10, "dataCenter": data_center})
    return str(answer.json()["id"])


def test_a_pod_is_placed_and_goes_no_further(client: TestClient) -> None:
    """It has a data centre and a price, and is PROVISIONING: nothing runs."""
    pod = made(client, gpu={"id": "NVIDIA L4", "count": 2})
    assert (pod["status"], pod["actions"], pod["runtime"]) == ("PROVISIONING", ["stop", "terminate"], None)
    assert (pod["dataCenterId"], pod["cost"], pod["template"]) == ("EU-RO-1", 0.78, None)
    assert client.get("/v2/pods").json() == {"pods": [pod]}


def test_actions_follow_the_status(client: TestClient) -> None:
    """stop → EXITED costs nothing, start → PROVISIONING; what isn't possible now is a 409; terminate is the end."""
    path = f"/v2/pods/{made(client)['id']}/action"
    assert client.post(path, json={"action": "start"}).status_code == 409
    assert client.post(path, json={"action": "restart"}).status_code == 409
    stopped = client.post(path, json={"action": "stop"}).json()
    assert (stopped["status"], stopped["cost"], stopped["actions"]) == ("EXITED", 0.0, ["start", "terminate"])
    assert client.post(path, json={"action": "start"}).json()["status"] == "PROVISIONING"
    assert client.post(path, json={"action": "terminate"}).status_code == 204
    assert client.post(path, json={"action": "start"}).status_code == 404


def test_a_locked_pod_is_not_stopped(client: TestClient) -> None:
    """Until it is unlocked."""
    path = f"/v2/pods/{made(client)['id']}"
    client.patch(path, json={"locked": True})
    assert client.post(f"{path}/action", json={"action": "stop"}).status_code == 409
    client.patch(path, json={"locked": False})
    assert client.post(f"{path}/action", json={"action": "stop"}).status_code == 200


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"gpu": {"id": "NVIDIA L4"}, "cpu": {"id": "cpu3c", "vcpuCount": 2}}, 400, "exactly one of gpu and cpu"),
        ({"gpu": {"id": "NVIDIA L5"}}, 400, "not found"),
        ({"gpu": {"id": "NVIDIA H100 PCIe"}, "dataCenterIds": ["US-KS-2"]}, 400, NO_STOCK),
        ({"gpu": {"id": "NVIDIA L4", "count": 9}}, 400, NO_STOCK),
        ({"gpu": {"id": "NVIDIA L4", "minCudaVersion": "14.0"}}, 400, NO_STOCK),
        ({"cloud": "COMMUNITY"}, 400, NO_STOCK),
        ({"gpu": {"id": "NVIDIA L4", "minCudaVersion": "12.1", "allowedCudaVersions": ["12.8"]}}, 400, "exclusive"),
        ({"templateId": "nope"}, 404, "template not found"),
        ({"registry": "nope"}, 400, "not found"),
        ({"image": ""}, 400, "image must not be empty"),
        ({"mounts": {"persistent": {"size": 20, "path": "/w"}, "network": []}}, 400, "mutually exclusive"),
        ({"mounts": {"network": []}}, 400, "must not be empty"),
        ({"mounts": {"network": [{"volumeId": "nope", "path": "/w"}]}}, 404, "network volume not found"),
        ({"mounts": {"persistent": {"size": 9, "path": "/w"}}}, 422, "minimum: got 9, want 10"),
    ],
)
def test_what_runpod_would_refuse(client: TestClient, fields: dict[str, Any], status: int, words: str) -> None:
    """Rules and stock, in RunPod's words where they are known."""
    answer = client.post("/v2/pods", json=POD | fields)
    assert (answer.status_code, words in answer.text) == (status, True), answer.text


def test_a_pod_follows_its_volume(client: TestClient) -> None:
    """It is placed in the volume's data centre, or not at all; kind and volume are fixed, the path isn't."""
    here = volume(client, "US-GA-2")
    mount = {"network": [{"volumeId": here, "path": "/w"}]}
    pod = made(client, mounts=mount)
    assert (pod["dataCenterId"], pod["mounts"]) == ("US-GA-2", mount)
    assert (
        client.post("/v2/pods", json=POD | {"mounts": mount, "dataCenterIds": ["EU-RO-1"]}).json()["detail"] == NO_STOCK
    )
    path = f"/v2/pods/{pod['id']}"
    moved = {"network": [{"volumeId": here, "path": "/x"}]}
    assert client.patch(path, json={"mounts": moved}).json()["mounts"] == moved
    refusals: list[dict[str, Any]] = [
        {"network": [{"volumeId": "other", "path": "/x"}]},
        {"network": []},
        {"persistent": {"size": 20, "path": "/"}},
    ]
    for refused in refusals:
        assert client.patch(path, json={"mounts": refused}).status_code == 400
    assert client.patch(path, json={"mounts": {}}).json()["mounts"] == moved


def test_a_cpu_pod_has_memory_and_no_disk_of_its_own(client: TestClient) -> None:
    """Memory comes from the flavour; persistent mounts are for GPU pods."""
    body = {"name": "p", "image": "i", "cpu": {"id": "cpu3g", "vcpuCount": 4}}
    pod = client.post("/v2/pods", json=body).json()
    assert (pod["cpu"], "gpu" in pod, pod["dataCenterId"]) == (
        {"id": "cpu3g", "vcpuCount": 4, "memory": 16},
        False,
        "EU-RO-1",
    )
    mounts = {"mounts": {"persistent": {"size": 20, "path": "/w"}}}
    assert client.post("/v2/pods", json=body | mounts).status_code == 400
    for cpu in ({"id": "cpu3g", "vcpuCount": 6}, {"id": "cpu9", "vcpuCount": 4}):
        assert client.post("/v2/pods", json=body | {"cpu": cpu}).status_code == 400


def test_a_template_is_resolved_once(client: TestClient) -> None:
    """Mounts and env come along, a serverless template is a 422, and no link is kept."""
    disk = {"persistent": {"size": 20, "path": "/w"}}
    body = {"name": "t", "image": "t", "env": {"A": "1"}, "mounts": disk}
    template = client.post("/v2/templates", json=body).json()["id"]
    pod = client.post(
        "/v2/pods", json={"name": "p", "gpu": POD["gpu"], "templateId": template, "env": {"B": "2"}}
    ).json()
    assert (pod["image"], pod["env"], pod["mounts"], pod["template"]) == ("t", {"A": "1", "B": "2"}, disk, None)
    serverless = client.post("/v2/templates", json={"name": "s", "image": "s", "serverless": True}).json()["id"]
    assert client.post("/v2/pods", json=POD | {"templateId": serverless}).status_code == 422


def test_no_money_no_pod(client: TestClient, box: Box) -> None:
    """402, in RunPod's words."""
    box.world.set_person(balance_usd=0)
    answer = client.post("/v2/pods", json=POD)
    assert (answer.status_code, answer.json()["detail"]) == (402, "Your account balance is too low to rent a pod")
    assert client.post("/v2/clusters", json=CLUSTER).status_code == 402


def test_a_clusters_pods_are_its_own(client: TestClient) -> None:
    """They are listed on request, with rank and role, can't be touched one by one, and go with the cluster."""
    cluster = made(client, "/v2/clusters")
    path = f"/v2/clusters/{cluster['id']}"
    assert cluster["pods"] == {"total": 2, "byStatus": {"PROVISIONING": 2}}
    members = client.get(f"{path}/pods").json()["pods"]
    assert [pod["cluster"] for pod in members] == [
        {"id": cluster["id"], "rank": 0, "role": "RAY_HEAD"},
        {"id": cluster["id"], "rank": 1, "role": "RAY_WORKER"},
    ]
    assert client.get("/v2/pods").json() == {"pods": []}
    assert client.get("/v2/pods?includeClusterPods=true").json() == {"pods": members}
    member = f"/v2/pods/{members[0]['id']}"
    assert [client.patch(member, json={"name": "x"}).status_code, client.delete(member).status_code] == [409, 409]
    assert client.patch(path, json={"name": "d"}).json() == cluster | {"name": "d"}
    assert [client.patch(path, json=body).status_code for body in ({}, {"type": "RAY"})] == [422, 422]
    assert client.delete(path).status_code == 204
    assert client.get("/v2/pods?includeClusterPods=true").json() == {"pods": []}
    assert client.get(path).status_code == 404


def test_a_pods_log_is_an_empty_stream(client: TestClient) -> None:
    """Nothing runs, so nothing is printed."""
    answer = client.get(f"/v2/pods/{made(client)['id']}/logs")
    assert (answer.status_code, answer.text) == (200, "")
    assert answer.headers["content-type"].startswith("text/event-stream")


def test_pods_clusters_and_delegations_outlive_a_restart(tmp_path: Path) -> None:
    """They are in the state folder like everything else."""
    headers = {"Authorization": f"Bearer {KEY}"}
    arn = {"resource": "arn:aws:ecr:us-east-2:418399314813:repository/r"}
    paths = ("/v2/pods?includeClusterPods=true", "/v2/clusters", "/v2/registries/delegations")
    with TestClient(create_runpod(clock=StepClock(), state=tmp_path), headers=headers) as client:
        made(client)
        made(client, "/v2/clusters")
        client.post("/v2/registries/delegations", json=arn)
        before = [client.get(path).json() for path in paths]
    with TestClient(create_runpod(clock=StepClock(), state=tmp_path), headers=headers) as client:
        assert [client.get(path).json() for path in paths] == before
