"""wrong_paths: /workspace and caches off the volume; volume_not_attached: a volume that isn't mounted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from evidences import HOLDS, account, evidence, told

from factory.account import Volume
from factory.diagnosis import volume_not_attached, wrong_paths
from factory.diagnosis.evidence import Evidence

PROVISION = "factory provision recipes/demo.yaml"
BAD = {"OUT": "/workspace/out"}
PATHS = [
    ("none", evidence(spec={"env": {"A": "1"}}), []),
    (
        "below the volume",
        evidence(spec={"env": {"OUT": "/runpod-volume/workspace", "HF_HOME": "/runpod-volume/hf"}}),
        [],
    ),
    (
        "/workspace, the recipe's own",
        evidence({"env": BAD}, spec={"env": BAD}),
        [("error", "certain", PROVISION, "env.OUT: /runpod-volume/out")],
    ),
    ("/workspace, which only the endpoint has", evidence(spec={"env": BAD}), [("error", "certain", PROVISION, "")]),
    (
        "/workspace, and no recipe",
        evidence(spec={"env": BAD}, recipe=None),
        [("error", "certain", "set OUT to /runpod-volume/out in the endpoint's environment, in RunPod's console", "")],
    ),
    (
        "a cache elsewhere",
        evidence({"env": {"HF_HOME": "/root/hf"}}, spec={"env": {"HF_HOME": "/root/hf"}}),
        [("warning", "certain", PROVISION, "env.HF_HOME: /runpod-volume/huggingface")],
    ),
    ("a cache elsewhere, and no volume", evidence(spec={"env": {"HF_HOME": "/root/hf"}, "volume_ids": ()}), []),
]
ATTACHED = [
    ("attached", evidence(), []),
    ("the recipe needs none", evidence({"models": []}, spec={"volume_ids": ()}), []),
    ("not attached", evidence(spec={"volume_ids": ()}), [("error", "certain", PROVISION, "")]),
    (
        "another one",
        evidence(volumes=(Volume("vol-1", "other", "EU-RO-1", 40),)),
        [("error", "certain", PROVISION, "")],
    ),
    (
        "deleted",
        replace(evidence(), account=account(evidence(), volumes=()), volumes=()),
        [("error", "certain", PROVISION, "")],
    ),
    (
        "the volumes could not be listed",
        replace(evidence(), account=account(evidence(), volumes=()), volumes=(), gaps={"volumes": "no answer"}),
        [],
    ),
    ("no recipe", evidence(spec={"volume_ids": ()}, recipe=None), []),
    (
        "two, of which one is ours",
        evidence(
            spec={"volume_ids": ("vol-1", "vol-2")},
            account=account(evidence(), volumes=(HOLDS, replace(HOLDS, id="vol-2", name="x"))),
        ),
        [],
    ),
]


@pytest.mark.parametrize(("found", "expected"), [pytest.param(*case[1:], id=case[0]) for case in PATHS])
def test_paths_that_no_serverless_worker_has_are_found(
    found: Evidence, expected: list[tuple[str, str, str, str]]
) -> None:
    """The variable is written anew where the recipe says it, and goes with the next provisioning where not."""
    assert told(wrong_paths.find(found)) == expected


@pytest.mark.parametrize(("found", "expected"), [pytest.param(*case[1:], id=case[0]) for case in ATTACHED])
def test_a_volume_that_is_not_mounted_is_found(found: Evidence, expected: list[tuple[str, str, str, str]]) -> None:
    """Provisioning attaches it, or makes it anew."""
    assert told(volume_not_attached.find(found)) == expected
