"""startup_arguments and plain_token: what runs, and what stands to be read, at a worker's start."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from evidences import evidence, told

from factory.diagnosis import plain_token, startup_arguments
from factory.diagnosis.evidence import Evidence

PROVISION = "factory provision recipes/demo.yaml"
WARNING = ("warning", "certain", PROVISION, "")
LIKELY = ("warning", "likely", PROVISION, "")
TOKEN = "hf_" + "aB3" * 8
RANDOM = "a7Bq3Zx9Lm2Kd8Vw5Tn1Rc4Yh6"


def args(text: str, **more: Any) -> Evidence:
    """Return the evidence of an endpoint with a start command, as REST v2 shows it."""
    return evidence(extra={"args": text}, **more)


def template_args(text: str) -> Evidence:
    """Return the evidence of an endpoint whose template has a start command, as GraphQL shows it."""
    found = evidence()
    assert found.template is not None
    return replace(found, template=replace(found.template, args=text))


ARGUMENTS = [
    ("none", evidence(), []),
    ("one that only starts", args("python -u /app/main.py --port 80"), []),
    ("clones", args("bash -c 'git clone https://github.com/a/b && python b/main.py'"), [WARNING]),
    ("clones, shallow", args("git --no-pager -c a=b clone https://x"), []),
    ("installs", args("bash -c 'pip  install torch; python a.py'"), [WARNING]),
    ("installs with apt", template_args("bash -c 'apt-get -y install ffmpeg && python a.py'"), [WARNING]),
    ("hides a failure", args("bash -c 'python prepare.py || true; python a.py'"), [WARNING]),
    ("hides one by a colon", args("sh -c 'a || : ; b'"), [WARNING]),
    ("a name that only begins so", args("sh -c 'a || trueish'"), []),
    ("both", args("bash -c 'pip install x || true'"), [WARNING, WARNING]),
    (
        "no recipe",
        args("pip install x", recipe=None),
        [("warning", "certain", "move this into the image, and clear the start command in RunPod's console", "")],
    ),
]
VARIABLES = [
    ("none", {"A": "1", "MODEL": "org/model", "MAX_TOKEN": "4096", "HF_TOKEN": ""}, []),
    ("a reference", {"HF_TOKEN": "{{ RUNPOD_SECRET_HF_TOKEN }}"}, []),
    ("a token by its prefix", {"A": TOKEN}, [WARNING]),
    ("one that looks random", {"A": RANDOM}, [LIKELY]),
    ("one by its name", {"DB_PASSWORD": "hunter2"}, [LIKELY]),
]


@pytest.mark.parametrize(("found", "expected"), [pytest.param(*case[1:], id=case[0]) for case in ARGUMENTS])
def test_start_commands_that_fetch_or_hide_are_found(
    found: Evidence, expected: list[tuple[str, str, str, str]]
) -> None:
    """Provisioning clears the command; what it did belongs into the image."""
    assert told(startup_arguments.find(found)) == expected


@pytest.mark.parametrize(("env", "expected"), [pytest.param(*case[1:], id=case[0]) for case in VARIABLES])
def test_secrets_in_plain_sight_are_found(env: dict[str, str], expected: list[tuple[str, str, str, str]]) -> None:
    """Once for the endpoint and its template, whoever has it."""
    assert told(plain_token.find(evidence(spec={"env": env}))) == expected


def test_a_token_of_the_recipe_becomes_a_secret() -> None:
    """The edit names the secret beside those that the recipe has."""
    found = evidence({"env": {"HF_TOKEN": TOKEN}, "secrets": ["B"]}, spec={"env": {"HF_TOKEN": TOKEN}})
    assert told(plain_token.find(found)) == [("warning", "certain", PROVISION, "secrets: [B, HF_TOKEN]")]


@pytest.mark.parametrize(
    "found",
    [
        evidence(spec={"env": {"A": TOKEN, "B": RANDOM, "DB_PASSWORD": "hunter2"}}),
        evidence(spec={"env": {"A": TOKEN, "B": RANDOM, "DB_PASSWORD": "hunter2"}}, recipe=None),
        args(f"bash -c 'git clone https://x:{TOKEN}@github.com/a/b || true' --key {RANDOM} --password hunter2"),
        template_args(f"curl -H 'Authorization: {TOKEN}' https://x"),
        template_args(f"serve --key {RANDOM}"),
    ],
)
def test_no_value_is_ever_shown(found: Evidence) -> None:
    """Not in what was seen, nor in the cause, the mend or the details."""
    findings = [*plain_token.find(found), *startup_arguments.find(found)]
    assert findings
    assert not [secret for secret in (TOKEN, RANDOM, "hunter2", TOKEN[:8]) if secret in str(findings)]
