"""sdk_version, init_timeout, execution_timeout, payload_too_large, job_gone: limits that jobs and starts run into."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from evidences import evidence, log, model_state, sample, told

from factory.diagnosis import execution_timeout, init_timeout, job_gone, payload_too_large, sdk_version
from factory.diagnosis.evidence import Evidence, KnownJob, ModelState

PROVISION = "factory provision recipes/demo.yaml"
RELEASE = "factory release recipes/demo.yaml"


def started(version: str) -> Evidence:
    """Return the evidence of a worker whose SDK says its version."""
    return evidence(logs={"w-1": log(f"--- Starting Serverless Worker |  Version {version} ---", "ready")})


def pip(*items: str) -> Evidence:
    """Return the evidence of a recipe with these requirements."""
    return evidence({"image": {"repository": "acme/demo", "pip": list(items)}})


FAILED = KnownJob("j-1", 1.0, "FAILED", None, '{"error_type": "X", "runpod_version": "1.9.0"}')
SDK = [
    ("none is said", evidence(), []),
    ("a good one", started("1.12.0"), []),
    ("the last before", started("1.7.10"), []),
    ("the first bad", started("1.7.11"), [("warning", "certain", RELEASE, "")]),
    ("the last bad", started("1.10.0"), [("warning", "certain", RELEASE, "")]),
    ("the first good again", started("1.10.1"), []),
    ("a job's error tells", evidence(jobs=(FAILED,)), [("warning", "certain", RELEASE, "")]),
    (
        "the recipe pins it",
        pip("numpy==2.4.6", "runpod==1.8.1"),
        [("warning", "certain", RELEASE, "image.pip: [numpy==2.4.6]")],
    ),
    ("the recipe pins a good one", pip("runpod==1.12.0"), []),
]
SICK = (sample(("w-1", "UNHEALTHY"), queued=1),)


def weights(gb: float, env: dict[str, str] | None = None, said: dict[str, str] | None = None, **more: Any) -> Evidence:
    """Return the evidence of so many weights, an endpoint's environment and the recipe's."""
    return replace(evidence({"env": said or {}}, spec={"env": env or {}}, **more), models=(model_state(gb),))


def in_image(gb: float) -> ModelState:
    """Return a model that is in the image."""
    state = model_state(gb)
    assert state.files is not None
    return replace(state, files=replace(state.files, placement="image"))


LONG = {"RUNPOD_INIT_TIMEOUT": "900"}
INIT = [
    ("soon there", weights(20), []),
    ("as long as RunPod waits", weights(84), []),
    ("longer", weights(100), [("warning", "likely", PROVISION, "")]),
    ("longer, and a worker is unhealthy", weights(100, samples=SICK), [("error", "likely", PROVISION, "")]),
    ("with the limit raised", weights(100, LONG), []),
    (
        "raised too little, by the recipe",
        weights(200, LONG, LONG),
        [("warning", "likely", PROVISION, 'env.RUNPOD_INIT_TIMEOUT: "1500"')],
    ),
    ("no number", weights(200, {"RUNPOD_INIT_TIMEOUT": "long"}), []),
    ("weights in the image", replace(evidence(), models=(in_image(200),)), []),
]


def limit(seconds: int, *jobs: KnownJob, test_s: int = 0, says_s: int = 600) -> Evidence:
    """Return the evidence of an endpoint with such a limit, of jobs, and of a recipe's test and limit."""
    tests = [{"input": {"a": 1}, "timeout_s": test_s}] if test_s else []
    blocks = {"tests": tests, "endpoint": {"execution_timeout_s": says_s}}
    return evidence(blocks, spec={"execution_timeout_ms": seconds * 1000}, jobs=jobs)


CUT = KnownJob("j-1", 1.0, "IN_PROGRESS", "TIMED_OUT")
LATER = KnownJob("j-2", 2.0, "COMPLETED", None)
EXECUTION = [
    ("long enough", limit(600, test_s=600), []),
    ("no limit", limit(0, CUT), []),
    ("a job was cut off", limit(600, CUT), [("error", "likely", PROVISION, "endpoint.execution_timeout_s: 1200")]),
    ("the recipe says enough", limit(60, CUT), [("error", "likely", PROVISION, "")]),
    ("one was done since", limit(600, CUT, LATER), []),
    ("a test may take longer", limit(60, test_s=300), [("warning", "certain", PROVISION, "")]),
    (
        "longer than the recipe's own limit",
        limit(60, test_s=300, says_s=60),
        [("warning", "certain", PROVISION, "endpoint.execution_timeout_s: 300")],
    ),
    (
        "never more than 7 days",
        limit(604_800, CUT, says_s=600),
        [("error", "likely", PROVISION, "endpoint.execution_timeout_s: 604800")],
    ),
]
NO_VOLUME: dict[str, Any] = {"spec": {"volume_ids": ()}}
LOST = {"w-1": log("j-1 | Failed to return job results. | 400, message='Bad Request'")}
LESS = "return large parts as files or bytes, which the worker lays on the volume, or return less"
PAYLOAD = [
    ("fine", evidence(logs={"w-1": log("Finished.")}), []),
    ("lost for another reason", evidence(logs={"w-1": log("Failed to return job results. | Connection reset")}), []),
    ("refused, and no volume", evidence(logs=LOST, **NO_VOLUME), [("error", "likely", PROVISION, "disk.volume: 10")]),
    ("refused, with a volume", evidence(logs=LOST), [("error", "likely", LESS, "")]),
    (
        "a job's error",
        evidence(jobs=(replace(FAILED, error="output_too_large: 12 MB"),)),
        [("error", "likely", LESS, "")],
    ),
]
LIST = [("warning", "certain", "factory jobs list recipes/demo.yaml", "")]


def job(before: str, now: str | None) -> Evidence:
    """Return the evidence of one job of the ledger."""
    return evidence(jobs=(KnownJob("j-1", 1.0, before, now, age_s=4000.0),))


JOB = [
    ("none", evidence(), []),
    ("still there", job("IN_QUEUE", "IN_PROGRESS"), []),
    ("not asked", job("IN_QUEUE", None), []),
    ("forgotten", job("IN_PROGRESS", "EXPIRED"), LIST),
    ("purged", job("IN_QUEUE", "CANCELLED"), LIST),
    ("known to have ended", job("EXPIRED", None), []),
    ("the whole endpoint is unknown", replace(job("IN_QUEUE", "EXPIRED"), job_api_status=404), []),
]
RULES = [
    (sdk_version, SDK),
    (init_timeout, INIT),
    (execution_timeout, EXECUTION),
    (payload_too_large, PAYLOAD),
    (job_gone, JOB),
]


@pytest.mark.parametrize(
    ("rule", "found", "expected"),
    [
        pytest.param(rule, *case[1:], id=f"{rule.__name__.rpartition('.')[2]}: {case[0]}")
        for rule, cases in RULES
        for case in cases
    ],
)
def test_limits_that_starts_and_jobs_run_into(
    rule: Any, found: Evidence, expected: list[tuple[str, str, str, str]]
) -> None:
    """Each rule finds its own case, edits the recipe only where it says the wrong thing, and no neighbour."""
    assert told(rule.find(found)) == expected
