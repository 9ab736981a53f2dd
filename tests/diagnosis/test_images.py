"""The rules on images: missing, of another platform, private, pending, `:latest`, not the one released."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from evidences import DIGEST, IMAGE, OTHER_DIGEST, account, evidence, log, sample, told

from factory.account import Login
from factory.diagnosis import (
    image_latest,
    image_missing,
    image_not_released,
    image_platform,
    image_private,
    image_pull_pending,
)
from factory.diagnosis.evidence import Evidence
from factory.provisioning.observed import ImageState

RELEASE = "factory release recipes/demo.yaml"
PROVISION = "factory provision recipes/demo.yaml"
OUT_OF_REACH = "push to a registry on the internet (image.repository, FACTORY_REGISTRY), then release again"
TAGGED = "ghcr.io/acme/demo:1"
PRIVATE = ImageState(f"ghcr.io/acme/demo@{DIGEST}", is_public=False)
LOGGED_IN = account(evidence(), logins=(Login("login-1", "factory-ghcr.io"),))


def seen(image: ImageState, **more: Any) -> Evidence:
    """Return the evidence of an endpoint whose image is this."""
    return replace(evidence(), image=image, **more)


MISSING = [
    ("there", evidence(), []),
    ("gone", seen(ImageState(TAGGED, is_pushed=False)), [("error", "certain", RELEASE, "")]),
    ("the registry is away", seen(ImageState(TAGGED, is_pushed=False, problem="no answer")), []),
    ("nobody looked", replace(evidence(), image=None), []),
    (
        "on this machine",
        seen(ImageState("localhost:5000/acme/demo:1", is_out_of_reach=True)),
        [("error", "certain", OUT_OF_REACH, "")],
    ),
    (
        "gone, and no recipe",
        seen(ImageState(TAGGED, is_pushed=False), recipe=None),
        [("error", "certain", f"push {TAGGED}, or give the endpoint an image that exists", "")],
    ),
]
PLATFORM = [
    ("linux/amd64", evidence(), []),
    (
        "linux/arm64",
        seen(ImageState(IMAGE, platform="linux/arm64")),
        [("error", "certain", RELEASE, "")],
    ),
    (
        "linux/arm64, the recipe's own too",
        seen(ImageState(IMAGE, platform="linux/arm64"), expected=ImageState(IMAGE, platform="linux/arm64")),
        [("error", "certain", "factory release --force recipes/demo.yaml", "")],
    ),
    (
        "by the log",
        evidence(logs={"w-1": log("exec /usr/bin/python: exec format error")}),
        [("error", "certain", "factory release --force recipes/demo.yaml", "")],
    ),
    ("not there: nothing is known of its platform", seen(ImageState(IMAGE, is_pushed=False, platform="none")), []),
]
PRIVATE_CASES = [
    ("public", evidence(), []),
    ("nobody knows", seen(ImageState(IMAGE, is_public=None)), []),
    (
        "private, this machine has a login",
        seen(replace(PRIVATE, has_login=True)),
        [("error", "certain", PROVISION, "")],
    ),
    (
        "private, and no login anywhere",
        seen(PRIVATE),
        [("error", "certain", f"docker login ghcr.io && {PROVISION}", "")],
    ),
    (
        "on Docker Hub",
        seen(ImageState(IMAGE, is_public=False)),
        [("error", "certain", f"docker login && {PROVISION}", "")],
    ),
    (
        "not even this machine may look",
        seen(replace(PRIVATE, is_pushed=False, problem="401")),
        [("error", "certain", f"docker login ghcr.io && {PROVISION}", "")],
    ),
    (
        "with a login",
        replace(evidence(spec={"login_id": "login-1"}), image=PRIVATE, account=LOGGED_IN),
        [],
    ),
    (
        "with a login that was deleted",
        replace(evidence(spec={"login_id": "login-2"}), image=replace(PRIVATE, has_login=True), account=LOGGED_IN),
        [("error", "certain", PROVISION, "")],
    ),
    (
        "the logins could not be listed",
        replace(evidence(spec={"login_id": "login-2"}), image=PRIVATE, gaps={"registry logins": "no answer"}),
        [],
    ),
]


def pulling(*lines: str, status: str = "INITIALIZING") -> Evidence:
    """Return the evidence of one worker with these system lines."""
    return evidence(samples=(sample(("w-1", status), queued=1),), logs={"w-1": log(*lines, source="system")})


ONCE = "image pull: acme/demo:1: pending"
PENDING = [
    ("nothing is pulled", evidence(), []),
    ("begun once: it may well come", pulling("create container acme/demo:1", ONCE), []),
    ("begun again", pulling(ONCE, "create container", ONCE), [("error", "likely", RELEASE, "")]),
    (
        "with the registry's error",
        pulling(ONCE, "error pulling image: manifest unknown"),
        [("error", "certain", RELEASE, "")],
    ),
    ("it came", pulling(ONCE, ONCE, "image pull: acme/demo:1: complete"), []),
    ("another worker's, which runs", pulling(ONCE, ONCE, status="IDLE"), []),
]
LATEST = [
    ("by digest", evidence(), []),
    ("by a tag of its own", evidence(spec={"image": "localhost:5000/acme/demo:1"}), []),
    ("latest", evidence(spec={"image": "acme/demo:latest"}), [("warning", "certain", RELEASE, "")]),
    ("no tag", evidence(spec={"image": "localhost:5000/acme/demo"}), [("warning", "certain", RELEASE, "")]),
    ("latest, and a digest", evidence(spec={"image": f"acme/demo:latest@{DIGEST}"}), []),
    ("RunPod doesn't say", evidence(spec={"image": ""}), []),
]
OTHER = ImageState(f"acme/demo@{OTHER_DIGEST}")
RELEASED = [
    ("the same digest", evidence(), []),
    ("the same digest by another name", replace(evidence(), expected=ImageState(f"docker.io/acme/demo@{DIGEST}")), []),
    ("another digest", replace(evidence(), expected=OTHER), [("warning", "certain", RELEASE, "")]),
    (
        "the recipe's isn't built",
        replace(evidence(), expected=ImageState("acme/demo:0123", is_pushed=False)),
        [("note", "certain", RELEASE, "")],
    ),
    ("the registry is away", replace(evidence(), expected=replace(OTHER, problem="no answer")), []),
    (
        "the endpoint's is gone: image_missing says so",
        replace(evidence(), image=ImageState("a:1", is_pushed=False)),
        [],
    ),
    ("no image at all (unbuilt)", replace(evidence(), image=ImageState("a/b:1"), expected=ImageState("a/b:1")), []),
]
RULES = [
    (image_missing, MISSING),
    (image_platform, PLATFORM),
    (image_private, PRIVATE_CASES),
    (image_pull_pending, PENDING),
    (image_latest, LATEST),
    (image_not_released, RELEASED),
]


@pytest.mark.parametrize(
    ("rule", "found", "expected"),
    [
        pytest.param(rule, *case[1:], id=f"{rule.__name__.rpartition('.')[2]}: {case[0]}")
        for rule, cases in RULES
        for case in cases
    ],
)
def test_what_the_registry_and_the_logs_say_of_the_image(
    rule: Any, found: Evidence, expected: list[tuple[str, str, str, str]]
) -> None:
    """Each rule finds its own case, with the command that mends it, and no neighbour of it."""
    assert told(rule.find(found)) == expected
