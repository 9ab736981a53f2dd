"""saveEndpoint and its family: a full replace over a linked template, with RunPod's rules and texts."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from graphql_calls import (
    GET_ENDPOINT,
    SAVE_ENDPOINT,
    create_volume,
    data,
    refusal,
    save_endpoint,
    save_template,
)
from runpod_box import KEY, emulated
from starlette.testclient import TestClient

from factory.emulator.runpod.app import create_runpod
from factory.emulator.runpod.box import Box
from factory.emulator.runpod.clock import StepClock
from factory.emulator.runpod.entities import Person
from factory.emulator.runpod.launch_inline import InlineLauncher

RELINK = """mutation Relink($endpoint: String!, $template: String!) {
  updateEndpointTemplate(input: {endpointId: $endpoint, templateId: $template}) { id templateId version }
}"""
COMMIT = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"


@pytest.fixture
def template(client: TestClient) -> str:
    """The id of a serverless template with one variable."""
    made: str = save_template(client, env=[{"key": "A", "value": "1"}])["id"]
    return made


def one(client: TestClient, endpoint_id: str) -> dict[str, Any]:
    """Return an endpoint as `myself` shows it."""
    found: dict[str, Any] = data(client, GET_ENDPOINT, {"id": endpoint_id})["myself"]["endpoint"]
    return found


def test_the_least_that_makes_an_endpoint(client: TestClient, template: str) -> None:
    """Name, template and pools; all else has its default, `minCudaVersion` 12.0 and standby 1 among them."""
    saved = save_endpoint(client, name="minilm", templateId=template, gpuIds="ADA_24,AMPERE_24")
    assert saved == {
        "id": saved["id"],
        "name": "minilm",
        "userId": "user_emulated",
        "type": "QB",
        "computeType": "GPU",
        "gpuIds": "ADA_24,AMPERE_24",
        "gpuCount": 1,
        "instanceIds": [],
        "templateId": template,
        "template": {
            "id": template,
            "name": "minilm",
            "imageName": "org/worker:1",
            "env": [{"key": "A", "value": "1"}],
        },
        "env": [],
        "workersMin": 0,
        "workersMax": 3,
        "workersStandby": 1,
        "idleTimeout": 5,
        "scalerType": "QUEUE_DELAY",
        "scalerValue": 4,
        "locations": "",
        "dataCenterIds": [],
        "networkVolumeId": None,
        "networkVolume": None,
        "networkVolumeIds": [],
        "executionTimeoutMs": 0,
        "allowedCudaVersions": "",
        "minCudaVersion": "12.0",
        "flashBootType": "OFF",
        "modelReferences": [],
        "version": 1,
        "createdAt": "2023-11-14T22:13:20Z",
    }
    assert one(client, saved["id"]) == saved
    assert data(client, '{ myself { endpoint(id: "nope") { id } } }') == {"myself": {"endpoint": None}}


FULL: dict[str, Any] = {
    "gpuIds": "ADA_24,AMPERE_24,-NVIDIA GeForce RTX 3090",
    "gpuCount": 2,
    "workersMin": 1,
    "workersMax": 4,
    "idleTimeout": 60,
    "scalerType": "REQUEST_COUNT",
    "scalerValue": 2,
    "locations": "EU-RO-1,US",
    "executionTimeoutMs": 600000,
    "minCudaVersion": "12.8",
    "flashBootType": "PRIORITY_FLASHBOOT",
    "env": [{"key": "B", "value": "2"}],
}


def test_all_fields_are_read_back(client: TestClient, template: str) -> None:
    """What is sent is what is shown."""
    volume = create_volume(client)
    saved = save_endpoint(client, name="full", templateId=template, networkVolumeId=volume, **FULL)
    assert {name: saved[name] for name in FULL} == FULL
    assert saved["networkVolumeIds"] == [{"networkVolumeId": volume, "dataCenterId": "EU-RO-1"}]
    assert saved["networkVolume"] == {"id": volume, "size": 20}
    assert saved["workersStandby"] == 2


def test_an_update_is_a_full_replace(client: TestClient, template: str) -> None:
    """What an update leaves out is as if it had never been said: scaling, volume, data centres, flashboot, env."""
    volume = create_volume(client)
    full = save_endpoint(client, name="full", templateId=template, networkVolumeId=volume, **FULL)
    bare = save_endpoint(client, id=full["id"], name="full", templateId=template, gpuIds="ADA_24")
    fresh = save_endpoint(client, name="fresh", templateId=template, gpuIds="ADA_24")
    own = ("id", "name", "version", "createdAt")
    assert {k: v for k, v in bare.items() if k not in own} == {k: v for k, v in fresh.items() if k not in own}
    assert (bare["id"], bare["version"]) == (full["id"], 2)


@pytest.mark.parametrize(
    ("fields", "is_new_version"),
    [
        ({}, False),
        ({"name": "other"}, False),
        ({"workersMax": 2, "workersMin": 1, "idleTimeout": 9, "scalerValue": 9, "executionTimeoutMs": 5000}, False),
        ({"flashBootType": "FLASHBOOT"}, False),
        ({"gpuIds": "AMPERE_24"}, True),
        ({"gpuIds": "ADA_24,-NVIDIA L4"}, True),
        ({"gpuCount": 2}, True),
        ({"minCudaVersion": ""}, True),
        ({"allowedCudaVersions": "12.4"}, True),
        ({"locations": "EU-RO-1"}, True),
        ({"env": [{"key": "B", "value": "2"}]}, True),
    ],
)
def test_what_rolls_the_workers(
    client: TestClient, template: str, fields: dict[str, Any], is_new_version: bool
) -> None:
    """Scaling, name and time-outs change in place; what a worker is made of makes a new version."""
    same = {"name": "abc", "templateId": template, "gpuIds": "ADA_24"}
    made = save_endpoint(client, **same)
    changed = save_endpoint(client, **same | {"id": made["id"]} | fields)
    assert changed["version"] == (2 if is_new_version else 1)


# --- templates behind endpoints --------------------------------------------------------------------------------------
def test_a_saved_template_reaches_an_endpoint_only_with_its_next_save(
    box: Box, client: TestClient, template: str
) -> None:
    """`template` shows the new image at once, the workers keep the old one until saveEndpoint."""
    same = {"name": "abc", "templateId": template, "gpuIds": "ADA_24"}
    endpoint = save_endpoint(client, **same)
    save_template(client, id=template, imageName="org/worker:2")
    held = box.world.endpoints[endpoint["id"]].container
    shown = one(client, endpoint["id"])
    assert (shown["template"]["imageName"], shown["version"], held.image) == ("org/worker:2", 1, "org/worker:1")
    again = save_endpoint(client, id=endpoint["id"], **same)
    held = box.world.endpoints[endpoint["id"]].container
    assert (again["version"], held.image, held.env) == (2, "org/worker:2", {})


def test_an_endpoints_env_lies_over_its_templates(box: Box, client: TestClient, template: str) -> None:
    """Both reach the worker, the endpoint's wins, and only its own are shown as `env`; a full replace drops them."""
    overlay = [{"key": "A", "value": "9"}, {"key": "B", "value": "2"}]
    same = {"name": "abc", "templateId": template, "gpuIds": "ADA_24"}
    endpoint = save_endpoint(client, **same, env=overlay)
    assert endpoint["env"] == overlay
    assert box.world.endpoints[endpoint["id"]].container.env == {"A": "9", "B": "2"}
    assert box.world.templates[template].container.env == {"A": "1"}
    assert save_endpoint(client, id=endpoint["id"], **same)["env"] == []
    assert box.world.endpoints[endpoint["id"]].container.env == {"A": "1"}


def test_an_endpoint_gets_another_template(box: Box, client: TestClient, template: str) -> None:
    """`updateEndpointTemplate` rolls the workers and leaves all else, the endpoint's own env too."""
    endpoint = save_endpoint(
        client, name="abc", templateId=template, gpuIds="ADA_24", idleTimeout=77, env=[{"key": "B", "value": "2"}]
    )
    other = save_template(client, "other", imageName="org/worker:9")["id"]
    changed = data(client, RELINK, {"endpoint": endpoint["id"], "template": other})["updateEndpointTemplate"]
    assert changed == {"id": endpoint["id"], "templateId": other, "version": 2}
    assert one(client, endpoint["id"])["idleTimeout"] == 77
    held = box.world.endpoints[endpoint["id"]].container
    assert (held.image, held.env) == ("org/worker:9", {"B": "2"})
    assert refusal(client, RELINK, {"endpoint": "nope", "template": other}) == "endpoint not found"
    assert refusal(client, RELINK, {"endpoint": endpoint["id"], "template": "nope"}) == "Unable to find template"


def test_a_template_may_come_along(box: Box, client: TestClient) -> None:
    """`template` instead of `templateId`: kept for this endpoint, under its own name, and dropped with it."""
    inline = {"name": "mine", "imageName": "org/worker:1", "containerDiskInGb": 15, "dockerArgs": "run"}
    same: dict[str, Any] = {"name": "abc", "gpuIds": "ADA_24", "workersMax": 0}
    endpoint = save_endpoint(client, **same, template=inline | {"env": [{"key": "A", "value": "1"}]})
    bound = box.world.templates[endpoint["templateId"]]
    assert (bound.name, bound.bound_endpoint_id, bound.is_serverless) == ("mine", endpoint["id"], True)
    assert (bound.container.disk_gb, bound.container.args, bound.container.env) == (15, "run", {"A": "1"})
    again = save_endpoint(client, id=endpoint["id"], **same, template=inline | {"imageName": "org/worker:2"})
    assert (again["templateId"], again["template"]["imageName"]) == (bound.id, "org/worker:2")
    kept = save_endpoint(client, id=endpoint["id"], **same)
    assert kept["template"]["imageName"] == "org/worker:2"
    data(client, "mutation Delete($id: String!) { deleteEndpoint(id: $id) }", {"id": endpoint["id"]})
    assert box.world.templates == {}


# --- refusals --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "ab"}, "Endpoint name must be at least 3 characters long"),
        ({"templateId": "nope"}, "Unable to find template"),
        ({"templateId": None}, "Unable to find template"),
        ({"templateId": ""}, "Unable to find template"),
        ({"templateId": "POD"}, "Serverless endpoints cannot use pod templates. Please use a serverless template."),
        ({"template": {"imageName": "i"}}, "Only one of templateId and template may be given"),
        ({"id": "nope"}, "endpoint not found"),
        ({"type": "QUEUE"}, "type must be QB or LB, not QUEUE"),
        ({"scalerType": "FAST"}, "scalerType must be QUEUE_DELAY or REQUEST_COUNT, not FAST"),
        ({"type": "LB", "scalerType": "QUEUE_DELAY"}, "Load balancing endpoints scale on REQUEST_COUNT"),
        ({"scalerValue": 0}, "scalerValue must be at least 1, not 0"),
        ({"idleTimeout": 0}, "idleTimeout must be at least 1, not 0"),
        ({"idleTimeout": 3601}, "idleTimeout must be at most 3600, not 3601"),
        ({"workersMin": -1}, "workersMin must be at least 0, not -1"),
        ({"gpuCount": 0}, "gpuCount must be at least 1, not 0"),
        ({"executionTimeoutMs": -5}, "executionTimeoutMs must be at least 0, not -5"),
        ({"workersMin": 5, "workersMax": 3}, "workers.min (5) must not exceed workers.max (3)."),
        (
            {"workersMax": 11},
            "Max workers across all endpoints must not exceed your workers quota (10). Reduce the max workers for "
            "other endpoints or lower the max worker count for this endpoint to at most 10.",
        ),
        ({"networkVolumeId": "nope"}, "Network volume nope not found"),
        ({"minCudaVersion": "new"}, "CUDA version 'new' is not one: 12.4 is"),
        ({"gpuIds": ""}, "Exactly one of gpu and cpu must be given."),
        ({"gpuIds": "", "instanceIds": ["big one"]},
         "instance 'big one' is not one: cpu3c-2-4 is (flavor, vCPUs, GB)"),
        ({"modelReferences": ["no model"]},
         "model reference 'no model' is not one: https://huggingface.co/org/name:main is"),
        ({"hubReleaseId": "x"}, "hubReleaseId is not emulated"),
    ],
)  # fmt: skip
def test_endpoints_that_are_refused(client: TestClient, template: str, fields: dict[str, Any], message: str) -> None:
    """RunPod's own words where they are known; nothing is made then."""
    pod = save_template(client, "pod", isServerless=False)["id"]
    wanted = {"name": "abc", "templateId": template, "gpuIds": "ADA_24"} | fields
    if wanted["templateId"] == "POD":
        wanted["templateId"] = pod
    assert refusal(client, SAVE_ENDPOINT, {"input": wanted}) == message
    assert data(client, "{ myself { endpoints { id } } }") == {"myself": {"endpoints": []}}


def test_without_money_nothing_is_made() -> None:
    """At $0 a creation is refused in RunPod's words."""
    app = create_runpod(clock=StepClock(), person=Person(balance_usd=0.0))
    with TestClient(app, headers={"Authorization": f"Bearer {KEY}"}) as client:
        template = save_template(client)["id"]
        wanted = {"name": "abc", "templateId": template, "gpuIds": "ADA_24"}
        message = refusal(client, SAVE_ENDPOINT, {"input": wanted})
    assert message == "You must have at least $0.01 in your account balance to create an endpoint."


def test_a_gpus_name_is_taken_and_never_placed(box: Box, client: TestClient, template: str) -> None:
    """A GPU type instead of a pool is accepted without a word; no worker will ever start."""
    saved = save_endpoint(client, name="abc", templateId=template, gpuIds="NVIDIA GeForce RTX 4090")
    assert saved["gpuIds"] == "NVIDIA GeForce RTX 4090"
    assert box.catalogue.place(box.world.endpoints[saved["id"]], box.world.volumes) is None


def test_an_endpoint_is_deleted_when_it_has_no_workers(client: TestClient, template: str) -> None:
    """The workers are taken away first; then null, and it is gone."""
    delete = "mutation Delete($id: String!) { deleteEndpoint(id: $id) }"
    same = {"name": "abc", "templateId": template, "gpuIds": "ADA_24"}
    endpoint_id = save_endpoint(client, **same)["id"]
    assert "must be set to 0" in refusal(client, delete, {"id": endpoint_id})
    save_endpoint(client, **same, id=endpoint_id, workersMin=0, workersMax=0)
    assert data(client, delete, {"id": endpoint_id}) == {"deleteEndpoint": None}
    assert refusal(client, delete, {"id": endpoint_id}) == "endpoint not found"
    assert data(client, "{ myself { podTemplates { id } } }")["myself"]["podTemplates"] == [{"id": template}]


# --- sorts of endpoints ----------------------------------------------------------------------------------------------
def test_a_cpu_endpoint(box: Box, client: TestClient, template: str) -> None:
    """`instanceIds` with empty `gpuIds`: a CPU endpoint, and it stays one."""
    same = {"name": "cpu", "templateId": template, "instanceIds": ["cpu3c-2-4", "cpu3g-4-16"]}
    saved = save_endpoint(client, **same, gpuIds="")
    assert (saved["computeType"], saved["minCudaVersion"]) == ("CPU", "")
    assert saved["instanceIds"] == ["cpu3c-2-4", "cpu3g-4-16"]
    assert [(cpu.id, cpu.vcpus) for cpu in box.world.endpoints[saved["id"]].cpus] == [("cpu3c", 2), ("cpu3g", 4)]
    gpu = {"id": saved["id"], "name": "cpu", "templateId": template, "gpuIds": "ADA_24"}
    assert "compute family" in refusal(client, SAVE_ENDPOINT, {"input": gpu})


def test_a_load_balancer_stays_one(client: TestClient, template: str) -> None:
    """`type` LB scales on requests by default; without `type` an update leaves it, another is refused."""
    same = {"name": "lb1", "templateId": template, "gpuIds": "ADA_24"}
    saved = save_endpoint(client, **same, type="LB")
    assert (saved["type"], saved["scalerType"]) == ("LB", "REQUEST_COUNT")
    assert save_endpoint(client, **same, id=saved["id"])["type"] == "LB"
    wanted = same | {"id": saved["id"], "type": "QB"}
    assert refusal(client, SAVE_ENDPOINT, {"input": wanted}) == "The type of an endpoint cannot be changed."


def test_volumes_by_either_field(client: TestClient, template: str) -> None:
    """One by `networkVolumeId`, several (one per data centre) by `networkVolumeIds`; the empty text is none."""
    first, second = create_volume(client), create_volume(client, data_center="US-KS-2")
    same = {"name": "abc", "templateId": template, "gpuIds": "ADA_24"}
    several = [{"networkVolumeId": first}, {"networkVolumeId": second}]
    saved = save_endpoint(client, **same, networkVolumeIds=several)
    assert [row["dataCenterId"] for row in saved["networkVolumeIds"]] == ["EU-RO-1", "US-KS-2"]
    both = save_endpoint(client, **same, id=saved["id"], networkVolumeId=first, networkVolumeIds=several[:1])
    assert [row["networkVolumeId"] for row in both["networkVolumeIds"]] == [first]
    none = save_endpoint(client, **same, id=saved["id"], networkVolumeId="", networkVolumeIds=[])
    assert (none["networkVolumeId"], none["networkVolumeIds"]) == (None, [])


# --- cached models ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("reference", ["https://huggingface.co/org/name:main", "org/name", "org/name:main"])
def test_a_model_is_pinned_to_a_commit(client: TestClient, template: str, reference: str) -> None:
    """Without a hub, 40 hex digits stand for the commit: always the same ones, and a save of them changes nothing."""
    same = {"name": "abc", "templateId": template, "gpuIds": "ADA_24"}
    saved = save_endpoint(client, **same, modelReferences=[reference])
    [pinned] = saved["modelReferences"]
    repo, _, commit = pinned.rpartition(":")
    assert repo == "https://huggingface.co/org/name"
    assert len(commit) == 40 and set(commit) <= set("0123456789abcdef")
    again = save_endpoint(client, **same, id=saved["id"], modelReferences=[pinned])
    assert (again["modelReferences"], again["version"]) == ([pinned], 1)


def test_the_boxes_hub_says_the_commit(tmp_path: Path) -> None:
    """With a hub, it is the repository's own commit; a repository or revision that it lacks is refused."""
    folder = tmp_path / "hub" / "org" / "name"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / ".hub.json").write_text(f'{{"sha": "{COMMIT}"}}')
    app = create_runpod(clock=StepClock(), hub=tmp_path / "hub")
    with TestClient(app, headers={"Authorization": f"Bearer {KEY}"}) as client:
        same = {"name": "abc", "templateId": save_template(client)["id"], "gpuIds": "ADA_24"}
        saved = save_endpoint(client, **same, modelReferences=["org/name"])
        assert saved["modelReferences"] == [f"https://huggingface.co/org/name:{COMMIT}"]
        for reference in ("org/other:main", "org/name:v9"):
            message = refusal(client, SAVE_ENDPOINT, {"input": same | {"modelReferences": [reference]}})
            assert message == f"Model {reference} not found on Hugging Face"
        shutil.rmtree(folder)
        message = refusal(client, SAVE_ENDPOINT, {"input": same | {"modelReferences": ["org/name"]}})
        assert message == "Model org/name:main not found on Hugging Face"


def test_without_workers_there_are_no_pods(client: TestClient, template: str) -> None:
    """Without a launcher nothing runs: no pods, and counts of zero."""
    save_endpoint(client, name="abc", templateId=template, gpuIds="ADA_24")
    query = """{ myself { endpoints {
      pods { id imageName desiredStatus version machine { gpuTypeId } }
      workerState { time initialized ready running throttled }
    } } }"""
    [endpoint] = data(client, query)["myself"]["endpoints"]
    counts = dict.fromkeys(("initialized", "ready", "running", "throttled"), 0)
    assert endpoint == {"pods": [], "workerState": [{"time": "2023-11-14T22:13:20Z", **counts}]}


def test_workers_are_shown_as_pods() -> None:
    """A worker has its image, its GPU, the version that it was started from, and costs money."""
    query = """{ myself {
      currentSpendPerHr spendDetails { gpuComputePerHour }
      endpoints {
        version
        pods { id imageName desiredStatus version gpuCount endpointId containerDiskInGb machine { gpuTypeId } }
        workerState { ready running throttled }
      }
    } }"""
    with (
        emulated(launcher=InlineLauncher()) as runpod,
        httpx.Client(base_url=runpod.url, headers={"Authorization": f"Bearer {KEY}"}) as client,
    ):
        template = save_template(client)["id"]
        endpoint = save_endpoint(client, name="abc", templateId=template, gpuIds="ADA_24", workersMin=1)
        deadline = time.monotonic() + 20
        shown: dict[str, Any] = {}
        while not (shown and shown["endpoints"][0]["workerState"][0]["ready"] and shown["currentSpendPerHr"]):
            assert time.monotonic() < deadline, shown
            runpod.advance(1)
            shown = data(client, query)["myself"]
    [pod] = shown["endpoints"][0]["pods"]
    assert pod == {
        "id": pod["id"],
        "imageName": "org/worker:1",
        "desiredStatus": "RUNNING",
        "version": 1,
        "gpuCount": 1,
        "endpointId": endpoint["id"],
        "containerDiskInGb": 10,
        "machine": {"gpuTypeId": "NVIDIA GeForce RTX 4090"},
    }
    usd_per_h = 0.00031 * 3600 + 10 * 0.10 / 730  # the GPU and the container disk
    assert shown["spendDetails"] == {"gpuComputePerHour": pytest.approx(usd_per_h, rel=1e-3)}
    assert shown["currentSpendPerHr"] == pytest.approx(usd_per_h, rel=1e-3)
