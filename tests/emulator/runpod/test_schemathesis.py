"""Calls that nobody here wrote: schemathesis works through RunPod's whole OpenAPI against the application."""

from __future__ import annotations

import copy
import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from factory.emulator.runpod.app import create_runpod
from factory.emulator.runpod.clock import StepClock
from factory.emulator.runpod.openapi import published

KEY = "rpa_schemathesis"
# Every check of schemathesis but one: RunPod's own prose has rules beyond its schemas (a data centre must exist), so
# that not all data which fits the schema is accepted.
EXCLUDED = "positive_data_acceptance"


@dataclass
class Outcome:
    """What came of a run."""

    failures: list[str] = field(default_factory=list)
    checks: set[str] = field(default_factory=set)
    statuses: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))


def law() -> dict[str, Any]:
    """Return RunPod's document, less one promise that its own examples break: `…/status/{job_id}` is no URI."""
    document = copy.deepcopy(published().document)
    for url in document["components"]["schemas"]["QueueBasedRequestUrls"]["properties"].values():
        del url["format"]
    return document


def run(app: ASGIApp, *, path: str | None = None, max_examples: int = 4) -> Outcome:
    """Let schemathesis loose on an application: examples, coverage, fuzzing, and chains of calls."""
    config = SchemathesisConfig.from_dict(
        {
            "seed": 4,
            "headers": {"Authorization": f"Bearer {KEY}"},
            "checks": {EXCLUDED: {"enabled": False}},
            "generation": {"max-examples": max_examples, "deterministic": True, "database": "none"},
            "cache": {"enabled": False},
        }
    )
    schema = schemathesis.openapi.from_dict(law(), config=config)
    schema.app = app
    outcome = Outcome()
    for event in from_schema(schema.include(path=path) if path else schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            outcome.failures.append(str(event))
        elif isinstance(event, events.ScenarioFinished):
            _note(event, outcome)
    return outcome


def _note(event: events.ScenarioFinished, outcome: Outcome) -> None:
    for case_id, interaction in event.recorder.interactions.items():
        if interaction.response is not None:
            label = event.recorder.cases[case_id].value.operation.label
            outcome.statuses[label].add(interaction.response.status_code)
    for checks in event.recorder.checks.values():
        for check in checks:
            outcome.checks.add(check.name)
            if check.failure_info:
                failure = check.failure_info
                outcome.failures.append(f"{check.name}: {failure.failure.message}\n{failure.code_sample}")


def test_no_call_meets_what_the_openapi_does_not_say() -> None:
    """No undocumented status, content type or header, no schema broken, nothing invalid accepted, on any path."""
    outcome = run(create_runpod(clock=StepClock(), keys=frozenset({KEY})))
    assert outcome.failures == []
    assert {"status_code_conformance", "response_schema_conformance", "negative_data_rejection"} <= outcome.checks
    assert len(outcome.statuses) == 53, "every operation is called"
    succeeded = [label for label, statuses in outcome.statuses.items() if statuses & {200, 201, 204}]
    assert len(succeeded) >= 35, "most of them successfully; the rest needs things to be there (test_rest_*.py)"


def _resized(body: bytes) -> bytes:
    answer = json.loads(body)
    answer["networkVolumes"] = [{"id": "a", "name": "b", "size": "10 GB", "dataCenter": "c", "type": "STANDARD"}]
    return json.dumps(answer).encode()


@pytest.mark.parametrize(
    ("status", "change", "caught_by"),
    [
        (200, _resized, "response_schema_conformance"),
        (500, lambda body: body, "not_a_server_error"),
        (200, lambda body: b"<html>", "response_schema_conformance"),
    ],
)
def test_a_broken_answer_is_caught(status: int, change: Any, caught_by: str) -> None:
    """The run can fail: an answer that is spoilt on its way out is found."""
    whole = create_runpod(clock=StepClock(), keys=frozenset({KEY}))

    async def spoilt(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != "/v2/network-volumes":
            await whole(scope, receive, send)
            return
        is_ok = False

        async def spoil(message: Message) -> None:
            nonlocal is_ok
            if message["type"] == "http.response.start":
                is_ok = message["status"] == 200
                kept = [header for header in message["headers"] if header[0] != b"content-length"]
                message = {**message, "status": status if is_ok else message["status"], "headers": kept}
            elif is_ok:
                message = {**message, "body": change(message["body"])}
            await send(message)

        await whole(scope, receive, spoil)

    failures = run(spoilt, path="/v2/network-volumes", max_examples=1).failures
    assert any(failure.startswith(caught_by) for failure in failures), failures
