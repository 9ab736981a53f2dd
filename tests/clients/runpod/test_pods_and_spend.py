"""Pods and the endpoints' bill: the same through both clouds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from runpod_box import KEY, Emulated, an_endpoint, emulated

from factory.account import Pod
from factory.clients.runpod.graphql import GraphqlAccount, GraphqlClient
from factory.clients.runpod.graphql_cloud import GraphqlCloud
from factory.clients.runpod.rest import RestCloud
from factory.clients.runpod.transport import RunPodClient
from factory.clients.runpod.wire import read_spend
from factory.emulator.runpod.launch_inline import InlineLauncher
from factory.ports import Cloud


@pytest.fixture
def runpod() -> Iterator[Emulated]:
    """An account whose time a test moves."""
    with emulated(launcher=InlineLauncher()) as box:
        yield box


@pytest.fixture
def clouds(runpod: Emulated) -> Iterator[dict[str, Cloud]]:
    """Both ways to it."""
    with RunPodClient(runpod.url, KEY, timeout_s=5.0, patience_s=1.0) as client:
        account = GraphqlAccount(GraphqlClient(client))
        yield {"rest": RestCloud(client, account), "graphql": GraphqlCloud(client)}


def rent(runpod: Emulated, **more: object) -> str:
    """Rent a pod as a person does, and return its id."""
    body = {"name": "left-over", "image": "org/dev:1", "gpu": {"id": "NVIDIA GeForce RTX 4090", "count": 2}, **more}
    answer = httpx.post(f"{runpod.url}/v2/pods", json=body, headers={"Authorization": f"Bearer {KEY}"}, trust_env=False)
    return str(answer.raise_for_status().json()["id"])


@pytest.mark.parametrize("api", ["rest", "graphql"])
def test_a_pod_has_its_price_and_its_volumes(runpod: Emulated, clouds: dict[str, Cloud], api: str) -> None:
    """A running pod costs what its GPUs cost, a stopped one nothing; a mounted volume is named."""
    cloud = clouds[api]
    volume = cloud.create_volume("kept", "EU-RO-1", 20)
    pod_id = rent(runpod, mounts={"network": [{"volumeId": volume.id, "path": "/workspace"}]})
    price = runpod.box.catalogue.gpus["NVIDIA GeForce RTX 4090"].secure_usd_per_h
    running = Pod(pod_id, "left-over", True, round(2 * price, 4), "NVIDIA GeForce RTX 4090", 2, "EU-RO-1", (volume.id,))
    assert cloud.pods() == (running,)
    runpod.call(lambda box: setattr(box.world.pods.find(pod_id), "status", "EXITED"))
    assert cloud.pods() == (replace(running, is_running=False, usd_per_h=0.0),)


def test_the_workers_of_endpoints_are_no_pods(runpod: Emulated, clouds: dict[str, Cloud]) -> None:
    """GraphQL calls both pods; neither cloud does."""
    runpod.call(lambda box: box.world.create_endpoint(an_endpoint("busy", workers_min=1)))
    runpod.advance(1)
    assert [cloud.pods() for cloud in clouds.values()] == [(), ()]


@pytest.mark.parametrize("api", ["rest", "graphql"])
def test_the_bill_of_each_endpoint(runpod: Emulated, clouds: dict[str, Cloud], api: str) -> None:
    """An hour of one worker is that GPU's price and its disk's; an endpoint that has done nothing is absent."""
    busy = runpod.call(lambda box: box.world.create_endpoint(an_endpoint("busy", workers_min=1, workers_max=1)))
    runpod.call(lambda box: box.world.create_endpoint(an_endpoint("still")))
    runpod.tick()
    for _ in range(4):
        runpod.advance(900)
    price = runpod.box.catalogue.gpus["NVIDIA GeForce RTX 4090"].serverless_usd_per_h
    assert price is not None
    (found,) = clouds[api].spend().items()
    assert found[0] == busy.id and found[1] == pytest.approx(price, rel=0.05)


def test_buckets_are_added_up() -> None:
    """One record an hour and endpoint comes back as one sum an endpoint."""
    rows = [{"serverlessId": "a", "totalAmount": 1.5}, {"serverlessId": "b", "totalAmount": 1}]
    assert read_spend({"records": [*rows, *rows]}) == {"a": 3.0, "b": 2.0}
