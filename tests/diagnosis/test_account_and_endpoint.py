"""balance, endpoint_gone, no_workers, worker_quota, secret_missing: the account, and what an endpoint has of it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from evidences import account, evidence, sample, told

from factory.account import Balance, Endpoint
from factory.diagnosis import balance, endpoint_gone, no_workers, secret_missing, worker_quota
from factory.diagnosis.evidence import Evidence

PROVISION = "factory provision recipes/demo.yaml"
CREDIT = "add credit in RunPod's console (Billing)"


def money(usd: float, per_h: float = 0.0, **more: Any) -> Evidence:
    """Return the evidence of an account with so much money."""
    return evidence(account=account(evidence(), balance=Balance(usd, per_h, **more)))


BALANCE = [
    ("enough", money(100, 0.5), []),
    ("nothing spent", money(0.01), []),
    ("unknown", money(math.nan), []),
    ("none", money(0), [("error", "certain", CREDIT, "")]),
    ("owed", money(-3.2), [("error", "certain", CREDIT, "")]),
    ("RunPod says so itself", money(5, is_under_balance=True), [("error", "certain", CREDIT, "")]),
    ("an hour's worth", money(1, 1), [("warning", "certain", CREDIT, "")]),
    ("a day's worth", money(24, 1), []),
]
GONE = [
    ("there", evidence(), []),
    ("nobody asked", evidence(job_api_status=None), []),
    ("the job API is away", evidence(job_api_status=502), []),
    ("gone", evidence(job_api_status=404), [("error", "likely", "factory recreate recipes/demo.yaml", "")]),
    (
        "gone, and no recipe",
        evidence(job_api_status=404, recipe=None),
        [("error", "likely", "factory recreate demo", "")],
    ),
    ("no endpoint at all", replace(evidence(job_api_status=404), endpoint=None), []),
]


def workers(has: int, says: int, **more: Any) -> Evidence:
    """Return the evidence of an endpoint that has so many workers at most, of a recipe that says so many."""
    return evidence({"endpoint": {"workers": {"max": says}}}, spec={"workers_max": has}, **more)


NO_WORKERS = [
    ("as the recipe says", workers(3, 3), []),
    ("none", workers(0, 3), [("error", "certain", PROVISION, "")]),
    ("none, as the recipe says", workers(0, 0), [("error", "certain", PROVISION, "endpoint.workers.max: 3")]),
    (
        "none, and no recipe",
        workers(0, 3, recipe=None),
        [("error", "certain", "set the endpoint's max workers to 3 in RunPod's console", "")],
    ),
    ("lowered to two", workers(2, 5), [("warning", "likely", PROVISION, "")]),
    ("two, as the recipe says", workers(2, 2), []),
    ("one, by hand", workers(1, 5), []),
]


def quota(limit: int | None, *others: int, **more: Any) -> Evidence:
    """Return the evidence of an account with such a quota, and other endpoints with so many workers."""
    found = evidence(**more)
    assert found.endpoint is not None
    rivals = [
        Endpoint(f"ep-{n}", replace(found.endpoint.spec, name=f"other{n}", workers_max=count), is_queue=True)
        for n, count in enumerate(others, 2)
    ]
    endpoints = (found.endpoint, *rivals)
    return replace(found, account=account(found, balance=Balance(100, 0, worker_quota=limit), endpoints=endpoints))


WAITING = {"samples": (sample(queued=2),)}
LOWER = "lower endpoint.workers.max of other2 (it has 9) and provision it, or ask RunPod for a larger quota"
QUOTA = [
    ("unknown", quota(None, 100), []),
    ("room", quota(10, 7), []),
    ("too many, and workers are up", quota(10, 8), [("warning", "possible", PROVISION, "endpoint.workers.max: 2")]),
    ("too many, and none is", quota(10, 8, **WAITING), [("error", "likely", PROVISION, "endpoint.workers.max: 2")]),
    ("the others have them all", quota(10, 9, 4, **WAITING), [("error", "likely", LOWER, "")]),
]
MAKE = "make the secret HF_TOKEN in RunPod's console (Secrets), then start the workers anew"
SECRET = evidence(spec={"env": {"HF_TOKEN": "{{ RUNPOD_SECRET_HF_TOKEN }}"}})
SECRETS = [
    ("none named", evidence(), []),
    ("there", replace(SECRET, account=account(SECRET, secrets=("HF_TOKEN",))), []),
    ("missing", SECRET, [("error", "certain", MAKE, "")]),
    ("they could not be listed", replace(SECRET, gaps={"secrets": "no answer"}), []),
]
RULES = [
    (balance, BALANCE),
    (endpoint_gone, GONE),
    (no_workers, NO_WORKERS),
    (worker_quota, QUOTA),
    (secret_missing, SECRETS),
]


@pytest.mark.parametrize(
    ("rule", "found", "expected"),
    [
        pytest.param(rule, *case[1:], id=f"{rule.__name__.rpartition('.')[2]}: {case[0]}")
        for rule, cases in RULES
        for case in cases
    ],
)
def test_what_the_account_gives_and_takes(
    rule: Any, found: Evidence, expected: list[tuple[str, str, str, str]]
) -> None:
    """Each rule finds its own case, and no neighbour of it."""
    assert told(rule.find(found)) == expected
