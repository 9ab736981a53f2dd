"""REST v2's JSON: RunPod's own examples are read, what is written is read back the same, unknown keys do no harm."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.account import (
    CloudWorker,
    DataCenter,
    Endpoint,
    EndpointSpec,
    GpuOffer,
    Login,
    Release,
    Rollout,
    Template,
    TemplateSpec,
    Volume,
)
from factory.clients.runpod import wire
from factory.clients.runpod.readback import checked_endpoint, checked_template
from factory.errors import CloudRefused

OPENAPI = json.loads(
    (Path(__file__).parents[3] / "factory/emulator/runpod/runpod-openapi-v2.json").read_text(encoding="utf-8")
)

# What RunPod's OpenAPI gives as the example of each list: (path, key, reader, the noun that comes of the first).
EXAMPLES: list[tuple[str, str, Callable[[Any], object], type]] = [
    ("/v2/serverless", "endpoints", wire.read_endpoint, Endpoint),
    ("/v2/serverless/{id}/workers", "workers", wire.read_worker, CloudWorker),
    ("/v2/serverless/{id}/releases", "releases", wire.read_release, Release),
    ("/v2/templates", "templates", wire.read_template, Template),
    ("/v2/network-volumes", "networkVolumes", wire.read_volume, Volume),
    ("/v2/registries", "registries", wire.read_login, Login),
    ("/v2/catalog/gpus", "gpus", wire.read_gpu, GpuOffer),
    ("/v2/catalog/datacenters", "dataCenters", wire.read_data_center, DataCenter),
]


def examples(path: str) -> list[Any]:
    """The examples of a list's answer."""
    content = OPENAPI["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
    return [example["value"] for example in content["examples"].values()]


@pytest.mark.parametrize(("path", "key", "read", "noun"), EXAMPLES)
def test_runpods_own_examples(path: str, key: str, read: Callable[[Any], object], noun: type) -> None:
    """Every example of RunPod's OpenAPI is read, and the same with keys that we don't know."""
    rows = [row for example in examples(path) for row in example[key]]
    assert rows
    for row in rows:
        found = read(row)
        assert isinstance(found, noun)
        assert read({**row, "newInNovember": {"deep": [1]}}) == found


def test_the_example_of_a_rollout() -> None:
    """The list of releases says how far the current version has come."""
    (example, *_) = examples("/v2/serverless/{id}/releases")
    assert wire.read_rollout(example) == Rollout(
        example["endpointVersion"],
        example["rollout"]["workersOnLatest"],
        example["rollout"]["workersTotal"],
        example["rollout"]["inProgress"],
    )


def test_the_fields_of_the_endpoints_example() -> None:
    """Each field of the example lies where factory looks for it."""
    endpoint = wire.read_endpoint(examples("/v2/serverless")[0]["endpoints"][0])
    assert endpoint == Endpoint(
        "4m7x2k9q",
        EndpointSpec(
            name="image-generator",
            image="runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404",
            container_disk_gb=20,
            env={"MODEL_NAME": "sdxl"},
            pools=("ADA_24",),
            workers_max=5,
            idle_timeout_s=5,
            data_centers=("US-KS-2",),
            volume_ids=("2q9m7x4c",),
            execution_timeout_ms=300_000,
        ),
        is_queue=True,
    )


def test_an_unknown_status_is_not_ready() -> None:
    """A worker's status that came with a newer API is no error."""
    assert wire.read_worker({"id": "w", "status": "HIBERNATING", "isStale": False}).status == "INITIALIZING"


def test_stock_and_cuda_of_a_gpu() -> None:
    """Places without stock are left out, CUDA versions sorted by number."""
    offer = wire.read_gpu(
        {
            "id": "NVIDIA X",
            "memory": 24,
            "pool": None,
            "price": {"secure": 1, "community": 1},
            "dataCenters": [
                {"id": "A", "availability": "HIGH"},
                {"id": "B", "availability": "NONE"},
                {"id": "C", "availability": "PLENTY"},
                {"id": "D"},
            ],
            "cudaVersions": [{"version": v, "available": True} for v in ("12.10", "12.8", "13.0", "12.8")],
        }
    )
    assert offer == GpuOffer("NVIDIA X", "NVIDIA X", None, 24, None, {"A": "high"}, ("12.8", "12.10", "13.0"))


# --- written and read back -----------------------------------------------------------------------------------------
NAMES = st.text(min_size=1, max_size=12)
ENV = st.dictionaries(NAMES, st.text(max_size=12), max_size=3)
MEMORY_GB = {("cpu3c", 2): 4, ("cpu3c", 8): 16, ("cpu5g", 4): 16}
CPUS = st.lists(st.sampled_from([f"{f}-{n}-{gb}" for (f, n), gb in MEMORY_GB.items()]), min_size=1, unique=True)


@st.composite
def specs(draw: st.DrawFn) -> EndpointSpec:
    """Any endpoint that factory may ask for."""
    is_by_delay = draw(st.booleans())
    pools = tuple(draw(st.lists(NAMES, max_size=3, unique=True)))
    return EndpointSpec(
        name=draw(NAMES),
        image=draw(NAMES),
        container_disk_gb=draw(st.integers(1, 2000)),
        env=draw(ENV),
        login_id=draw(st.none() | NAMES),
        pools=pools,
        gpu_count=draw(st.integers(1, 8)) if pools else 1,
        min_cuda=draw(st.none() | st.sampled_from(["12.4", "13.0"])) if pools else None,
        cpus=() if pools else tuple(draw(CPUS)),
        workers_min=draw(st.integers(0, 5)),
        workers_max=draw(st.integers(0, 60)),
        idle_timeout_s=draw(st.integers(1, 3600)) if is_by_delay else None,
        scaler="queue_delay" if is_by_delay else "request_count",
        scaler_value=draw(st.floats(0.5, 100)) if is_by_delay else draw(st.integers(1, 100)),
        data_centers=tuple(draw(st.lists(NAMES, max_size=2, unique=True))),
        volume_ids=tuple(draw(st.lists(NAMES, max_size=2, unique=True))),
        execution_timeout_ms=draw(st.integers(5_000, 604_800_000)),
        flashboot=draw(st.booleans()),
    )


def as_runpod_shows(body: dict[str, Any]) -> dict[str, Any]:
    """What RunPod answers to a body: the same with an id, the CPUs' memory, and no CUDA floor where it is empty."""
    shown = {**json.loads(json.dumps(body)), "id": "e1", "createdAt": "2026-11-25T00:00:00Z", "type": "QUEUE"}
    for cpu in shown.get("cpu", ()):
        cpu["memory"] = MEMORY_GB[cpu["id"], cpu["vcpuCount"]]
    if "gpu" in shown:
        shown["gpu"]["minCudaVersion"] = shown["gpu"].get("minCudaVersion") or None
    return shown


@given(specs())
def test_an_endpoint_is_read_back_as_written(spec: EndpointSpec) -> None:
    """No field is lost between what is asked for and what is read."""
    endpoint = wire.read_endpoint(as_runpod_shows(wire.write_endpoint(spec)))
    assert endpoint.spec == spec
    assert checked_endpoint(endpoint, spec) is endpoint


@given(specs(), specs())
def test_a_change_states_everything(before: EndpointSpec, after: EndpointSpec) -> None:
    """A PATCH over any endpoint gives the one that is asked for: no field of the old one stays by being left out."""
    old = as_runpod_shows(wire.write_endpoint(before))
    endpoint = replace(wire.read_endpoint(old), extra={"allowed_cuda": ("12.4",), "flashboot": "PRIORITY_FLASHBOOT"})
    change = wire.write_endpoint_change(endpoint, after)
    compute = {"gpu", "cpu"} - change.keys()
    changed = {key: value for key, value in {**old, **change}.items() if key not in compute}
    shown = wire.read_endpoint(as_runpod_shows(changed))
    assert shown.spec == after
    if after.pools:  # a floor and a list exclude each other
        assert bool(shown.spec.min_cuda) is not bool(shown.extra.get("allowed_cuda"))
    assert shown.extra.get("flashboot") == ("PRIORITY_FLASHBOOT" if after.flashboot else None)


@given(specs(), specs())
def test_what_differs_is_named(asked: EndpointSpec, found: EndpointSpec) -> None:
    """An endpoint that isn't what was asked for is refused by the names of its fields; one that is, is not."""
    differs = {
        name
        for name in ("name", "image", "container_disk_gb", "login_id", "pools", "cpus", "workers_min", "workers_max",
                     "scaler", "scaler_value", "execution_timeout_ms", "flashboot")
        if getattr(asked, name) != getattr(found, name)
    }  # fmt: skip
    try:
        checked_endpoint(Endpoint("e1", found, is_queue=True), asked)
    except CloudRefused as error:
        said = str(error.details["message"])
        assert all(f"{name}: " in said for name in differs)
    else:
        assert not differs


@given(NAMES, NAMES, st.integers(1, 2000), ENV, st.none() | NAMES)
def test_a_template_is_read_back_as_written(
    name: str, image: str, disk_gb: int, env: dict[str, str], login: str | None
) -> None:
    """No field of a template is lost, and it is serverless."""
    spec = TemplateSpec(name, image, disk_gb, env, login)
    template = wire.read_template({"id": "t1", **json.loads(json.dumps(wire.write_template(spec)))})
    assert template == Template("t1", spec, is_serverless=True)
    assert checked_template(template, spec) is template


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"is_serverless": False}, "serverless: asked for True, found False"),
        ({"args": "sleep 1"}, "args: asked for none, found 'sleep 1'"),
    ],
)
def test_a_template_of_another_kind(change: dict[str, Any], words: str) -> None:
    """A pod's template, or one with a command of its own, is not what was asked for."""
    spec = TemplateSpec("t", "i", 5)
    with pytest.raises(CloudRefused) as caught:
        checked_template(replace(Template("t1", spec, is_serverless=True), **change), spec)
    assert words in str(caught.value)


def test_the_values_of_env_are_not_shown() -> None:
    """A value that differs is named by its variable alone."""
    asked = EndpointSpec("e", "i", 5, {"TOKEN": "hf_asked"}, pools=("P",))
    found = replace(asked, env={"TOKEN": "hf_found"})
    with pytest.raises(CloudRefused) as caught:
        checked_endpoint(Endpoint("e1", found, is_queue=True), asked)
    assert "env: TOKEN not as asked" in str(caught.value)
    assert "hf_" not in json.dumps(caught.value.as_record())
