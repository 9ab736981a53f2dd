"""Whatever is made of the schema is answered, and what comes of it is lawful over REST v2 as well."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import hypothesis.strategies as st
import pytest
from graphql_calls import SAVE_ENDPOINT, SAVE_TEMPLATE, save_template
from hypothesis import HealthCheck, given, settings
from hypothesis_graphql import mutations, queries
from runpod_box import KEY
from starlette.testclient import TestClient

from factory.emulator.runpod.app import create_runpod
from factory.emulator.runpod.clock import StepClock

SCHEMA = files("factory.emulator.runpod").joinpath("schema.graphql").read_text()


@pytest.fixture(scope="module")
def account() -> Iterator[TestClient]:
    """One account for all examples: what they make piles up."""
    with TestClient(create_runpod(clock=StepClock()), headers={"Authorization": f"Bearer {KEY}"}) as client:
        yield client


def check(client: TestClient, operation: str) -> None:
    """Hold an operation to a 200, where an error is at most a rule of the account."""
    answer = client.post("/graphql", json={"query": operation})
    assert answer.status_code == 200, answer.text
    assert {error["extensions"]["code"] for error in answer.json().get("errors", ())} <= {"RUNPOD"}, answer.text


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(operation=queries(SCHEMA))
def test_any_query_is_answered(account: TestClient, operation: str) -> None:
    """A query of the schema never meets a bug of ours."""
    check(account, operation)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(operation=mutations(SCHEMA))
def test_any_mutation_is_answered(account: TestClient, operation: str) -> None:
    """A mutation of the schema is done, or refused by a rule; it never meets a bug of ours."""
    check(account, operation)


INTS = st.sampled_from([*range(1, 11), 3600]) | st.sampled_from([-1, 0, 3601, 2**31 - 1])
TEXTS = st.sampled_from(["", " ", "abc", "a" * 300, "ü,ö", "12.4", "12.4, 12.8", "12", "EU-RO-1", "US,EU-RO-1"])
POOLS = st.sampled_from(["ADA_24", "ADA_24,AMPERE_24", "ADA_24,-NVIDIA L4", "NVIDIA L4", ",", "-", "", "ADA_24,ADA_24"])
ENV = st.lists(st.fixed_dictionaries({"key": TEXTS, "value": TEXTS}), max_size=3)
ENDPOINTS = st.fixed_dictionaries(
    {"name": TEXTS.filter(lambda text: len(text) > 2), "gpuIds": POOLS},
    optional={
        "type": st.sampled_from(["QB", "LB", None]),
        "gpuCount": INTS,
        "instanceIds": st.lists(st.sampled_from(["cpu3c-2-4", "cpu3c-3", "cpu9-2-4", "gpu"]), max_size=2),
        "workersMin": INTS,
        "workersMax": INTS,
        "idleTimeout": INTS,
        "scalerType": st.sampled_from(["QUEUE_DELAY", "REQUEST_COUNT"]),
        "scalerValue": INTS,
        "locations": TEXTS,
        "executionTimeoutMs": INTS,
        "allowedCudaVersions": TEXTS,
        "minCudaVersion": TEXTS,
        "flashBootType": st.sampled_from(["OFF", "FLASHBOOT", "PRIORITY_FLASHBOOT", None]),
        "modelReferences": st.lists(TEXTS, max_size=1),
        "env": ENV,
    },
)
TEMPLATES = st.fixed_dictionaries(
    {
        "name": TEXTS,
        "imageName": TEXTS,
        "dockerArgs": TEXTS,
        "containerDiskInGb": INTS,
        "volumeInGb": INTS,
        "env": ENV,
    },
    optional={
        "isServerless": st.booleans(),
        "ports": st.sampled_from(["", "8888/http", "8888/http,22/tcp", "x", "70000/tcp", ","]),
        "volumeMountPath": TEXTS,
        "category": st.sampled_from(["NVIDIA", "CPU", "TPU"]),
        "allowedCudaVersions": st.lists(TEXTS, max_size=2),
    },
)


def saved(client: TestClient, query: str, asked: dict[str, Any]) -> str | None:
    """Return the id of what a mutation saved; None when a rule forbade it."""
    answer = client.post("/graphql", json={"query": query, "variables": {"input": asked}})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert {error["extensions"]["code"] for error in body.get("errors", ())} <= {"RUNPOD"}, body
    [thing] = body["data"].values()
    return thing["id"] if thing else None


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(asked=ENDPOINTS)
def test_a_saved_endpoint_is_lawful_over_rest(account: TestClient, asked: dict[str, Any]) -> None:
    """What saveEndpoint takes, REST v2 can show within its OpenAPI."""
    templates = account.get("/v2/templates").json()["templates"]
    template = (
        next((t["id"] for t in templates if t["name"] == "lawful"), None) or save_template(account, "lawful")["id"]
    )
    endpoint_id = saved(account, SAVE_ENDPOINT, {"templateId": template, **asked})
    if endpoint_id:
        answer = account.get(f"/v2/serverless/{endpoint_id}")
        assert account.delete(f"/v2/serverless/{endpoint_id}").status_code == 204
        assert answer.status_code == 200, answer.text


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(asked=TEMPLATES)
def test_a_saved_template_is_lawful_over_rest(account: TestClient, asked: dict[str, Any]) -> None:
    """What saveTemplate takes, REST v2 can show within its OpenAPI."""
    template_id = saved(account, SAVE_TEMPLATE, asked)
    if template_id:
        answer = account.get(f"/v2/templates/{template_id}")
        assert account.delete(f"/v2/templates/{template_id}").status_code == 204
        assert answer.status_code == 200, answer.text
