"""stale_release: a template ahead of its endpoint, workers behind it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from evidences import evidence, sample, told

from factory.account import Rollout
from factory.diagnosis import stale_release
from factory.diagnosis.evidence import Evidence

PROVISION = "factory provision recipes/demo.yaml"
BEHIND = [("warning", "certain", PROVISION, "")]
OLD = sample(("w-1", "RUNNING"), is_stale=True, version=2)


def template(**changes: Any) -> Evidence:
    """Return the evidence with a changed template."""
    found = evidence(spec={"env": {"A": "1"}})
    assert found.template is not None
    is_serverless = changes.pop("is_serverless", True)
    spec = replace(found.template.spec, **changes)
    return replace(found, template=replace(found.template, spec=spec, is_serverless=is_serverless))


CASES = [
    ("the same", template(), []),
    ("another image", template(image="acme/demo:2"), BEHIND),
    ("another disk", template(container_disk_gb=99), BEHIND),
    ("another variable", template(env={"A": "2"}), BEHIND),
    ("one more variable", template(env={"A": "1", "B": "2"}), BEHIND),
    ("a variable of the endpoint's own", template(env={}), []),
    (
        "no recipe and no link, but the name",
        replace(template(container_disk_gb=99), recipe=None),
        [("warning", "possible", "release the endpoint in RunPod's console (Manage, New Release)", "")],
    ),
    ("another login", template(login_id="login-1"), BEHIND),
    ("a pod template of the same name", template(image="acme/pod:1", is_serverless=False), []),
    ("no template is known", replace(evidence(), template=None), []),
    ("old workers all the time", evidence(samples=(OLD, replace(OLD, at_s=1))), [("warning", "likely", PROVISION, "")]),
    ("an old worker that has gone", evidence(samples=(OLD, sample(("w-2", "IDLE"), at_s=1))), []),
]


@pytest.mark.parametrize(("found", "expected"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_a_change_that_reached_nobody_is_found(found: Evidence, expected: list[tuple[str, str, str, str]]) -> None:
    """Provisioning releases the endpoint and waits for the workers."""
    assert told(stale_release.find(found)) == expected


def test_it_says_fields_and_versions_but_no_value() -> None:
    """The environment may hold what is nobody's business."""
    (finding,) = stale_release.find(template(env={"A": "hunter2"}))
    assert finding.seen == "template demo and endpoint demo differ in env.A"
    (finding,) = stale_release.find(evidence(samples=(OLD,), rollout=Rollout(3, 0, 1, True)))
    assert finding.seen == "1 of 1 worker run an older configuration on version 2, the endpoint is at version 3"
