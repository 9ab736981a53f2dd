"""Every known answer of RunPod that is no success, as the exception, the code and the hint that a user gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.clients.runpod.errors import cloud_error, job_error, no_sense, read_complaint, unreachable
from factory.clients.runpod.hints import KNOWN
from factory.errors import (
    CloudDenied,
    CloudFailed,
    CloudGone,
    CloudRefused,
    EndpointNotFound,
    JobRefused,
    ProvisionError,
    RunError,
)

KEY = "rpa_SECRETSECRETSECRET"
QUOTA = (
    "Max workers across all endpoints must not exceed your workers quota (10). Reduce the max workers for other "
    "endpoints or lower the max worker count for this endpoint to at most 9."
)


def problem(status: int, detail: str, *errors: str) -> httpx.Response:
    """An answer as REST v2 gives it."""
    body: dict[str, Any] = {"title": "No", "status": status, "detail": detail}
    return answer(status, {**body, **({"errors": list(errors)} if errors else {})}, "application/problem+json")


def graphql(message: str, status: int = 200, **extensions: str) -> httpx.Response:
    """An answer as GraphQL gives it."""
    return answer(status, {"errors": [{"message": message, "extensions": extensions}], "data": None})


def answer(status: int, body: object, kind: str = "application/json", **headers: str) -> httpx.Response:
    """An answer to a call that had a key."""
    content = body if isinstance(body, str) else json.dumps(body)
    request = httpx.Request("POST", "https://api.runpod.io/v2/serverless", headers={"Authorization": f"Bearer {KEY}"})
    return httpx.Response(status, headers={"content-type": kind, **headers}, text=content, request=request)


BALANCE = "You must have at least $0.01 in your account balance to create an endpoint."
GONE_INSTANCES = (
    "There are no longer any instances available with the requested specifications. Please refresh and try again."
)
MASKED = "Something went wrong. Please try again later or contact support."

# (answer, class, code, words of the hint)
CASES: list[tuple[httpx.Response, type[ProvisionError], str | None, str]] = [
    (problem(400, QUOTA), CloudRefused, "worker_quota", "of this recipe to at most 9"),
    (graphql(QUOTA), CloudRefused, "worker_quota", "all endpoints together may have 10"),
    (
        answer(500, {"error": f"create endpoint: create endpoint: graphql: {QUOTA}", "status": 500}),
        CloudRefused,
        "worker_quota",
        "at most 9",
    ),
    (graphql("You exceed your worker quota of 5"), CloudRefused, "worker_quota", "all endpoints together may have 5"),
    (graphql(QUOTA.replace("most 9", "most 0")), CloudRefused, "worker_quota", "lower workers.max of another endpoint"),
    (graphql(BALANCE), CloudRefused, "no_balance", "add money"),
    (answer(500, {"error": f"create endpoint: graphql: {BALANCE}"}), CloudRefused, "no_balance", "add money"),
    (problem(402, "Your account balance is too low to rent a pod"), CloudRefused, "low_balance", "add money"),
    (problem(402, "Payment required"), CloudRefused, "low_balance", "add money"),
    (
        graphql("Serverless endpoints cannot use pod templates. Please use a serverless template."),
        CloudRefused,
        "pod_template",
        "delete that template",
    ),
    (graphql("Unable to find template"), CloudRefused, "template_not_found", "run this again"),
    (graphql(MASKED), CloudFailed, "masked", "ask its support with the request id"),
    (problem(400, GONE_INSTANCES), CloudRefused, "no_instances", "gpu.pools"),
    (graphql("There are no instances currently available"), CloudRefused, "no_instances", "gpu.pools"),
    (
        graphql("This machine does not have the resources to deploy your pod"),
        CloudRefused,
        "machine_too_small",
        "smaller disk.container",
    ),
    (
        problem(400, "unsatisfied condition: cuda>=12.6, please update your driver"),
        CloudRefused,
        "cuda",
        "gpu.min_cuda",
    ),
    (problem(400, "Template name must be unique."), CloudRefused, "name_taken", "rename"),
    (problem(409, "a template named 'x' already exists"), CloudRefused, "name_taken", "rename"),
    (problem(400, "image docker.io/me/wan:1.2 not found"), CloudRefused, "image_missing", "factory push"),
    (problem(400, "manifest for me/wan:1 unknown"), CloudRefused, "image_missing", "registry login"),
    (problem(400, "template is currently referenced by endpoint abc"), CloudRefused, "in_use", "remove what uses it"),
    (answer(403, "error code: 1010", "text/plain"), CloudDenied, "cloudflare_1010", "User-Agent"),
    (problem(401, "missing bearer token"), CloudDenied, "unauthorized", "RUNPOD_API_KEY"),
    (answer(401, ""), CloudDenied, "unauthorized", "RUNPOD_API_KEY"),
    (problem(403, "access denied"), CloudDenied, "unauthorized", "RUNPOD_API_KEY"),
    (problem(403, "this key is read-only"), CloudDenied, "forbidden", "more rights"),
    (graphql("Missing required scope(s): CSR_READ"), CloudDenied, "missing_scope", "more rights"),
    (graphql("Unauthorized"), CloudDenied, "unauthorized", "RUNPOD_API_KEY"),
    (
        graphql('Cannot query field "x" on type "User".', 400, code="GRAPHQL_VALIDATION_FAILED"),
        CloudRefused,
        "unknown_field",
        "update factory",
    ),
    (graphql("Volume is too small", code="BAD_USER_INPUT"), CloudRefused, "BAD_USER_INPUT", "message says"),
    (graphql("Too many requests, please try again later"), CloudFailed, "passing", "again in a moment"),
    (
        problem(422, "Request validation failed.", "$: additional properties 'bogus' not allowed"),
        CloudRefused,
        "unknown_field",
        "update factory",
    ),
    (problem(422, "Request validation failed.", "$.disk: minimum is 1"), CloudRefused, "invalid", "message names it"),
    (problem(404, "serverless endpoint not found"), CloudRefused, "not_found", "deleted meanwhile"),
    (problem(405, "The requested method is not allowed"), CloudRefused, "method_not_allowed", "RUNPOD_API_BASE_URL"),
    (problem(429, "rate limit exceeded for the minute window"), CloudFailed, "rate_limited", "wait a minute"),
    (answer(500, {"error": "oops"}), CloudFailed, "failed", "status.runpod.io"),
    (answer(502, "<html><title>502 Bad Gateway</title></html>", "text/html"), CloudFailed, "failed", "again"),
    (answer(524, "<html>", "text/html"), CloudFailed, "proxy_timeout", "may still happen"),
    (answer(302, ""), CloudFailed, "failed", "again"),
    (answer(503, '{"error": "bro'), CloudFailed, "failed", "again"),
    (answer(400, [{"error": "got array, want object", "problems": []}]), CloudRefused, None, "message says"),
    (answer(404, {"message": "Not Found"}), CloudRefused, "not_found", "deleted meanwhile"),
]


@pytest.mark.parametrize(("found", "kind", "code", "hint"), CASES)
def test_a_known_answer(found: httpx.Response, kind: type[ProvisionError], code: str | None, hint: str) -> None:
    """Each answer is one sentence of the right class, with its code, its status and what to do."""
    error = cloud_error(found, 'endpoint "wan"', "rest")
    assert type(error) is kind
    assert error.details["code"] == code
    assert error.details["status"] == found.status_code
    assert hint in error.fix
    assert error.details["hint"] == error.fix
    assert str(error).startswith('endpoint "wan": RunPod ') and "\n" not in str(error)


@pytest.mark.parametrize(("api", "name", "other"), [("rest", "REST v2", "graphql"), ("graphql", "GraphQL", "rest")])
def test_a_retired_api_names_the_other(api: Any, name: str, other: str) -> None:
    """A 410 says which API is gone and which setting takes the other."""
    error = cloud_error(problem(410, "Gone"), "volumes", api)
    assert type(error) is CloudGone
    assert str(error) == f"volumes: RunPod has retired {name} (HTTP 410); set RUNPOD_API={other}, and update factory"


def test_the_parts_of_a_validation_error_are_named() -> None:
    """A 422 shows each of RunPod's parts."""
    found = problem(422, "Request validation failed.", "$.disk: minimum is 1", "$.name: missing")
    assert read_complaint(found).message == "Request validation failed: $.disk: minimum is 1; $.name: missing"


def test_the_steps_of_rest_v1_are_left_out() -> None:
    """What the old wrapper put before GraphQL's message is no part of it."""
    found = answer(500, {"error": f"create endpoint: create endpoint: graphql: {BALANCE}"})
    assert read_complaint(found).message == BALANCE


def test_the_request_id_is_shown() -> None:
    """RunPod's support asks for the request id: it is in the sentence and in the details."""
    error = cloud_error(answer(500, {"error": "oops"}, **{"x-request-id": "r-77"}), "volumes", "rest")
    assert "(HTTP 500, request r-77)" in str(error)
    assert error.details["request_id"] == "r-77"


def test_secrets_are_cut_out() -> None:
    """Neither the key nor a marked secret stays in a message that RunPod echoes."""
    found = problem(422, f"bad header Bearer {KEY}", "$.password: 'hunter22' is too short")
    found.request.extensions["factory.secrets"] = ("hunter22",)
    text = json.dumps(cloud_error(found, "login", "rest").as_record())
    assert KEY not in text and "hunter22" not in text
    assert "***" in text


def test_the_page_lists_every_known_text() -> None:
    """docs/runpod.md has a row for each code that a known text gets, and each text here is one that is known."""
    page = (Path(__file__).parents[3] / "docs" / "runpod.md").read_text(encoding="utf-8")
    codes = {known.code for known in KNOWN} - {"passing"}
    assert not [code for code in sorted(codes) if f"`{code}`" not in page]
    assert codes <= {code for _answer, _kind, code, _hint in CASES}


# (answer, class, words)
JOB_CASES: list[tuple[httpx.Response, type[RunError], str]] = [
    (answer(404, {"message": "Not Found"}), EndpointNotFound, "(.ai, not .io)"),
    (answer(404, {"status": 404, "title": "Not Found"}), EndpointNotFound, "balance"),
    (answer(401, ""), RunError, "RUNPOD_API_KEY"),
    (answer(403, "error code: 1010", "text/plain"), RunError, "User-Agent"),
    (answer(400, {"error": "bad request"}), JobRefused, "bad request (HTTP 400)"),
    (answer(413, {"error": "payload too large"}), JobRefused, "payload too large"),
    (answer(429, {"error": "slow down"}), RunError, "wait a minute"),
    (answer(500, {"error": "oops"}), RunError, "oops (HTTP 500)"),
    (answer(524, "<html>"), RunError, "may still happen"),
]


@pytest.mark.parametrize(("found", "kind", "words"), JOB_CASES)
def test_a_job_calls_answer(found: httpx.Response, kind: type[RunError], words: str) -> None:
    """The job API's answers become the tree below RunError, by the same parser."""
    error = job_error(found, "endpoint abc")
    assert type(error) is kind
    assert words in str(error)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("<!doctype html><title>Log in</title>", "found a web page: Log in"),
        ("", "found nothing"),
        ('{"endpoints": [', 'found {"endpoints": ['),
    ],
)
def test_a_success_without_sense(body: str, words: str) -> None:
    """A 200 that isn't RunPod's says what was found instead."""
    assert words in str(no_sense(answer(200, body), "endpoints"))


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        (httpx.ConnectError("refused"), "no answer from api.runpod.io (no connection)"),
        (httpx.ReadTimeout(""), "(silence)"),
        (httpx.RemoteProtocolError("cut"), "(the connection broke)"),
    ],
)
def test_no_answer(lost: httpx.TransportError, words: str) -> None:
    """A call without an answer says how the connection ended."""
    assert words in str(unreachable(lost, "volumes", "api.runpod.io"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["errors", "error", "message", "detail", "title", "status", "extensions"]) | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(status=st.integers(300, 599), body=JSON)
def test_any_json_is_read(status: int, body: object) -> None:
    """Whatever JSON comes with an error status, it becomes one error with one line."""
    error = cloud_error(answer(status, body), "x", "rest")
    assert "\n" not in str(error)
    assert isinstance(error.details["message"], str) or type(error) is CloudGone


@given(status=st.integers(300, 599), body=st.text())
def test_any_text_is_read(status: int, body: str) -> None:
    """Whatever text comes with an error status, it becomes one error."""
    assert str(job_error(answer(status, body, "text/plain"), "x"))
