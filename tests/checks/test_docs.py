"""docs/checks.md has every rule with its severity, a cause and a fix, and no rule that is none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from factory.checks.finding import ModelRule, Rule
from factory.checks.rules import MODEL_RULES, RULES, VRAM

PAGE = (Path(__file__).parents[2] / "docs" / "checks.md").read_text()
ROWS = {
    rule: (severity, cause, fix)
    for rule, severity, cause, fix in re.findall(r"^\| `([\w-]+)` \| (\w+) \| (.+?) \| ([^|]+) \|$", PAGE, re.M)
}


@pytest.mark.parametrize("rule", [*RULES, *MODEL_RULES], ids=lambda rule: rule.id)
def test_every_rule_is_documented(rule: Rule | ModelRule) -> None:
    """A rule's row has its usual severity, a cause and a fix."""
    severity, cause, fix = ROWS[rule.id]
    assert severity == rule.severity
    assert len(cause) > 10
    assert fix


def test_no_row_is_without_its_rule() -> None:
    """Every row is a rule that exists; `vram` comes from the stage `size`."""
    assert set(ROWS) == {VRAM, *(rule.id for rule in RULES), *(rule.id for rule in MODEL_RULES)}


def test_rules_that_need_the_models_say_so() -> None:
    """The rows of rules that run only with the models' files start with "Online."."""
    online = {rule for rule, (_, cause, _) in ROWS.items() if cause.startswith("Online.")}
    assert online == {VRAM, *(rule.id for rule in MODEL_RULES)}
