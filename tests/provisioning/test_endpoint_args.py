"""A start command on an endpoint: factory's endpoints run the image's own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from plan_case import endpoint

from factory.provisioning import actions


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        ("bash -c 'pip install torch; python a.py'", "bash -c 'pip install torch; python a.py'"),
        ("--token hf_" + "aB3" * 8, "--token hf_…"),
        ("--key " + "a7Bq3Zx9Lm2Kd8Vw5Tn1Rc4Yh6", "(hidden)"),
    ],
)
def test_a_start_command_is_a_change_that_rolls_the_workers(args: str, shown: str) -> None:
    """REST v2 shows it on the endpoint: it is cleared by a release, and no token of it is shown."""
    found = endpoint(extra={"args": args, "excluded_gpus": ("NVIDIA L4",)})
    action, _ = actions.for_endpoint(found.spec, None, None, [found])
    assert (action.kind, [(c.field, c.old, c.new) for c in action.changes]) == ("release", [("args", shown, "")])
    assert action.reason == "kept as they are: excluded_gpus"


def test_without_one_nothing_changes() -> None:
    """An endpoint that is as it should be stays as it is."""
    found = replace(endpoint(), extra={})
    action, _ = actions.for_endpoint(found.spec, None, None, [found])
    assert (action.kind, action.changes, action.reason) == ("unchanged", (), "")
