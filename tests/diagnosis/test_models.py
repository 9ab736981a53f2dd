"""model_denied, model_gone, model_changed: the models on the Hub."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from evidences import evidence, log, model_state, told

from factory.diagnosis import model_changed, model_denied, model_gone
from factory.diagnosis.evidence import Evidence, ModelState

PROVISION = "factory provision recipes/demo.yaml"
RELEASE = "factory release recipes/demo.yaml"
ACCEPT = "accept the licence on https://huggingface.co/org/model with the account of HF_TOKEN"
TOKEN = {"HF_TOKEN": "{{ RUNPOD_SECRET_HF_TOKEN }}"}


def model(
    state: ModelState | None = None, blocks: Any = None, env: dict[str, str] | None = None, **more: Any
) -> Evidence:
    """Return the evidence of one model's state on the Hub."""
    return replace(evidence(blocks, spec={"env": env or {}}, **more), models=(state or model_state(),))


def files(**changes: Any) -> ModelState:
    """Return a model whose files are otherwise."""
    state = model_state()
    assert state.files is not None
    return replace(state, files=replace(state.files, **changes))


def problem(code: str) -> ModelState:
    """Return a model that the Hub doesn't give."""
    return model_state(files=None, problem_code=code, problem="no")


DENIED_LOG = {"w-1": log('{"event": "failed", "code": "hub_denied", "sentence": "the Hub refuses org/model"}')}
GATED = files(gated="manual", is_readable=True)
ACCEPT_IT = [("error", "likely", ACCEPT, "")]
DENIED = [
    ("open", model(), []),
    ("gated, and both may read", model(GATED, env=TOKEN), []),
    ("gated, in the image", model(files(gated="auto", placement="image")), []),
    ("this machine may not", model(problem("access_denied")), ACCEPT_IT),
    ("this machine may not read a file", model(files(gated="auto", is_readable=False), env=TOKEN), ACCEPT_IT),
    ("the worker has no token", model(GATED), [("error", "likely", PROVISION, "secrets: [HF_TOKEN]")]),
    (
        "the worker has no token, the recipe names it",
        model(GATED, {"secrets": ["HF_TOKEN"]}),
        [("error", "likely", PROVISION, "")],
    ),
    ("one secret more", model(GATED, {"secrets": ["A"]}), [("error", "likely", PROVISION, "secrets: [A, HF_TOKEN]")]),
    ("a worker was refused", model(GATED, env=TOKEN, logs=DENIED_LOG), ACCEPT_IT),
    ("the Hub is away", model(problem("hub_unreachable")), []),
]
GONE = [
    ("there", model(), []),
    (
        "no such revision",
        model(problem("revision_not_found")),
        [("error", "likely", RELEASE, "models.0.revision: main")],
    ),
    (
        "no such repository",
        model(problem("repo_not_found")),
        [
            (
                "error",
                "likely",
                "name another repository than org/model in models.0.repo, or give a token that may read it (HF_TOKEN)",
                "",
            )
        ],
    ),
    ("the Hub is away", model(problem("hub_unreachable")), []),
]
CHANGED = [
    ("the same", model(model_state(released_commit="c" * 40)), []),
    ("never released from here", model(), []),
    ("moved", model(model_state(released_commit="d" * 40)), [("note", "certain", RELEASE, "")]),
    ("not to be had now", model(replace(problem("hub_unreachable"), released_commit="d" * 40)), []),
]
RULES = [(model_denied, DENIED), (model_gone, GONE), (model_changed, CHANGED)]


@pytest.mark.parametrize(
    ("rule", "found", "expected"),
    [
        pytest.param(rule, *case[1:], id=f"{rule.__name__.rpartition('.')[2]}: {case[0]}")
        for rule, cases in RULES
        for case in cases
    ],
)
def test_what_the_hub_says_of_the_models(rule: Any, found: Evidence, expected: list[tuple[str, str, str, str]]) -> None:
    """Each rule finds its own case, and no neighbour of it."""
    assert told(rule.find(found)) == expected
