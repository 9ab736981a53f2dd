"""The list of rules is whole, and what they find together is ranked and said once."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import replace

import pytest
from evidences import evidence

from factory import diagnosis
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding, Mend
from factory.diagnosis.rules import MODULES, diagnose

FILES = [
    importlib.import_module(f"factory.diagnosis.{name}") for _, name, _ in pkgutil.iter_modules(diagnosis.__path__)
]


def test_every_rule_is_listed_once() -> None:
    """A file with a `find` is a rule, and every rule runs."""
    rules = [module for module in FILES if hasattr(module, "find")]
    assert sorted(m.__name__ for m in MODULES) == sorted(m.__name__ for m in rules) and len(rules) > 20


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_a_rule_is_silent_about_what_it_does_not_know(module: object) -> None:
    """With nothing known but the account, no rule says anything but that there is no endpoint."""
    bare = Evidence(name="demo", account=evidence().account, recipe=None)
    assert list(module.find(bare)) == []  # type: ignore[attr-defined]


WORST = Finding("b", "error", "two", "cause", Mend("factory b"), "certain")
FOUND = (
    Finding("a", "warning", "one", "cause", Mend("factory a"), "certain"),
    replace(WORST, sureness="possible", cause="other"),
    WORST,
    replace(WORST, seen="three"),
    replace(WORST, seen="three"),
    replace(WORST, seen="four"),
)


def test_the_worst_and_surest_is_first_and_each_is_said_once() -> None:
    """Severity, then sureness; what one rule says again with the same cause and command is an "also seen"."""

    def rule(_: Evidence) -> Iterator[Finding]:
        return iter(FOUND)

    found = diagnose(evidence(), [rule])
    assert [(f.rule, f.sureness) for f in found] == [("b", "certain"), ("b", "possible"), ("a", "certain")]
    assert found[0].seen == "two" and found[0].details["also_seen"] == ("three", "four")
