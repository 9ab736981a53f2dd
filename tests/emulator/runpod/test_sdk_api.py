"""The unmodified `runpod` SDK's management API (1.12.0, `runpod.api`) against the emulator, over its GraphQL."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
import runpod
from runpod import error as sdk_errors
from runpod_box import KEY, Emulated, emulated


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulated]:
    """A box that the SDK talks to."""
    with emulated() as box:
        monkeypatch.setenv("RUNPOD_API_BASE_URL", box.url)
        monkeypatch.setattr(runpod, "api_key", KEY)
        yield box


def a_template(name: str = "minilm", **fields: Any) -> dict[str, Any]:
    """Make a serverless template with the SDK."""
    made: dict[str, Any] = runpod.create_template(name, "org/worker:1", is_serverless=True, **fields)
    return made


def test_this_is_the_sdk_that_images_carry() -> None:
    """What is proved here is proved with the pinned version."""
    assert version("runpod") == "1.12.0"


def test_templates(served: Emulated) -> None:
    """`create_template`: a pod's and a serverless one, with command, env, ports and login."""
    login = runpod.create_container_registry_auth("hub", "me", "secret")
    made = a_template(
        docker_start_cmd='python -c "print(1)"',
        container_disk_in_gb=25,
        env={"A": "1"},
        ports="8888/http, 22/tcp",
        registry_auth_id=login["id"],
    )
    assert made == {
        "id": made["id"],
        "name": "minilm",
        "imageName": "org/worker:1",
        "dockerArgs": 'python -c "print(1)"',
        "containerDiskInGb": 25,
        "volumeInGb": 0,
        "volumeMountPath": "",
        "ports": "8888/http,22/tcp",
        "env": [{"key": "A", "value": "1"}],
        "isServerless": True,
    }
    pod = runpod.create_template("pod", "org/pod:1", volume_in_gb=20, volume_mount_path="/data")
    assert (pod["isServerless"], pod["volumeInGb"], pod["volumeMountPath"]) == (False, 20, "/data")
    assert served.box.world.templates[made["id"]].container.login_id == login["id"]
    with pytest.raises(sdk_errors.QueryError, match="name must be unique"):
        a_template()


def test_endpoints(served: Emulated) -> None:
    """`create_endpoint`, `get_endpoints`, `update_endpoint_template`."""
    first = a_template("one")
    second = runpod.create_template("two", "org/worker:2", is_serverless=True)
    volume = served.call(lambda box: box.world.create_volume("weights", 20, "EU-RO-1"))
    made = runpod.create_endpoint(
        "minilm",
        first["id"],
        gpu_ids="ADA_24,AMPERE_24",
        network_volume_id=volume.id,
        locations="EU-RO-1",
        idle_timeout=30,
        workers_max=2,
        flashboot=True,
        allowed_cuda_versions="12.4,12.8",
    )
    assert made == {
        "id": made["id"],
        "name": "minilm",
        "templateId": first["id"],
        "gpuIds": "ADA_24,AMPERE_24",
        "networkVolumeId": volume.id,
        "locations": "EU-RO-1",
        "idleTimeout": 30,
        "scalerType": "QUEUE_DELAY",
        "scalerValue": 4,
        "workersMin": 0,
        "workersMax": 2,
        "allowedCudaVersions": "12.4,12.8",
        "gpuCount": 1,
        "flashBootType": "FLASHBOOT",
    }
    assert runpod.update_endpoint_template(made["id"], second["id"]) == {"id": made["id"], "templateId": second["id"]}
    [shown] = runpod.get_endpoints()
    assert shown["networkVolume"] == {"id": volume.id, "dataCenterId": "EU-RO-1"}
    assert (shown["templateId"], shown["version"], shown["type"]) == (second["id"], 2, "QB")
    assert (shown["workersStandby"], shown["userId"]) == (1, "user_emulated")


def test_the_sdks_defaults_make_an_endpoint(served: Emulated) -> None:
    """`create_endpoint(name, template)` alone: AMPERE_16, three workers, no volume."""
    made = runpod.create_endpoint("plain", a_template()["id"])
    assert (made["gpuIds"], made["workersMax"], made["networkVolumeId"]) == ("AMPERE_16", 3, None)
    assert made["flashBootType"] == "OFF"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"template_id": "nope"}, "Unable to find template"),
        ({"workers_max": 11}, "must not exceed your workers quota"),
        ({"network_volume_id": "nope"}, "Network volume nope not found"),
    ],
)
def test_refusals_reach_the_sdks_user(served: Emulated, fields: dict[str, Any], message: str) -> None:
    """The SDK raises QueryError with RunPod's text."""
    wanted = {"template_id": a_template()["id"]} | fields
    with pytest.raises(sdk_errors.QueryError, match=message):
        runpod.create_endpoint("minilm", **wanted)


def test_gpus(served: Emulated) -> None:
    """`get_gpus` lists them; `get_gpu` has the price, and ValueError for an unknown one."""
    listed = runpod.get_gpus()
    assert {"id": "NVIDIA L4", "displayName": "L4", "memoryInGb": 24} in listed
    gpu = runpod.get_gpu("NVIDIA L4", gpu_quantity=2)
    assert gpu["manufacturer"] == "Nvidia"
    assert gpu["lowestPrice"]["uninterruptablePrice"] == pytest.approx(2 * gpu["securePrice"])
    with pytest.raises(ValueError, match="No GPU found"):
        runpod.get_gpu("NVIDIA NOTHING")


def test_the_user(served: Emulated) -> None:
    """`get_user` shows keys and volumes; `update_user_settings` sets the key, line breaks and all."""
    volume = served.call(lambda box: box.world.create_volume("weights", 20, "EU-RO-1"))
    assert runpod.update_user_settings("ssh-ed25519 AAAA one\nssh-ed25519 BBBB two") == {
        "id": "user_emulated",
        "pubKey": "ssh-ed25519 AAAA one\nssh-ed25519 BBBB two",
    }
    shown = runpod.get_user()
    assert shown["networkVolumes"] == [{"id": volume.id, "name": "weights", "size": 20, "dataCenterId": "EU-RO-1"}]


def test_registry_logins(served: Emulated) -> None:
    """Create, update, delete; a taken name and an unknown id are QueryErrors."""
    made = runpod.create_container_registry_auth("hub", "me", "secret")
    assert made == {"id": made["id"], "name": "hub"}
    assert runpod.update_container_registry_auth(made["id"], "me", "other") == made
    with pytest.raises(sdk_errors.QueryError, match="must be unique"):
        runpod.create_container_registry_auth("hub", "me", "secret")
    assert runpod.delete_container_registry_auth(made["id"]) is None
    with pytest.raises(sdk_errors.QueryError, match="not found"):
        runpod.delete_container_registry_auth(made["id"])


def test_gpu_pods(served: Emulated) -> None:
    """`create_pod` to `terminate_pod`; what the emulator doesn't have, a runtime, is null."""
    volume = served.call(lambda box: box.world.create_volume("data", 20, "EU-RO-1"))
    made = runpod.create_pod(
        "work", "org/pod:1", "NVIDIA L4", gpu_count=2, env={"A": "1"}, ports="8888/http", network_volume_id=volume.id
    )
    assert (made["imageName"], made["env"]) == ("org/pod:1", ["A=1"])
    [shown] = runpod.get_pods()
    assert (shown["id"], shown["desiredStatus"], shown["gpuCount"]) == (made["id"], "RUNNING", 2)
    assert (shown["machine"], shown["runtime"]) == ({"gpuDisplayName": "L4"}, None)
    assert shown["volumeMountPath"] == "/runpod-volume"
    assert runpod.get_pod(made["id"]) == shown
    assert runpod.stop_pod(made["id"]) == {"id": made["id"], "desiredStatus": "EXITED"}
    assert runpod.resume_pod(made["id"], 2)["desiredStatus"] == "RUNNING"
    runpod.terminate_pod(made["id"])
    assert (runpod.get_pods(), runpod.get_pod(made["id"])) == ([], None)
    with pytest.raises(sdk_errors.QueryError, match="not found"):
        runpod.terminate_pod(made["id"])


def test_cpu_pods(served: Emulated) -> None:
    """Without a GPU the SDK names the template `runpod-ubuntu`, which is there."""
    made = runpod.create_pod("work", "org/pod:1", instance_id="cpu3c-4-8")
    [shown] = runpod.get_pods()
    assert (shown["id"], shown["vcpuCount"], shown["memoryInGb"]) == (made["id"], 4, 8)


def test_no_stock_is_said_in_runpods_words(served: Emulated) -> None:
    """A pod that can't be placed is a QueryError with the text that users know."""
    served.call(lambda box: box.catalogue.set_stock("NVIDIA L4", "*", "NONE"))
    with pytest.raises(sdk_errors.QueryError, match="There are no longer any instances available"):
        runpod.create_pod("work", "org/pod:1", "NVIDIA L4")


def test_a_wrong_key_is_the_sdks_own_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """401 becomes AuthenticationError."""
    with emulated(keys=frozenset({"right"})) as box:
        monkeypatch.setenv("RUNPOD_API_BASE_URL", box.url)
        monkeypatch.setattr(runpod, "api_key", "wrong")
        with pytest.raises(sdk_errors.AuthenticationError):
            runpod.get_user()
        assert runpod.get_user(api_key="right")["id"] == "user_emulated"
