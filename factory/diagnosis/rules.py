"""Every rule in its order, and what they find together: the worst and surest first, each thing said once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from types import ModuleType

from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding

Rule = Callable[[Evidence], Iterator[Finding]]

# Causes come before what follows from them: of two findings with one rank, the one whose rule stands higher is first.
MODULES: tuple[ModuleType, ...] = ()
RULES: tuple[Rule, ...] = tuple(module.find for module in MODULES)


def diagnose(evidence: Evidence, rules: Iterable[Rule] = RULES) -> tuple[Finding, ...]:
    """Return what is wrong, ranked: by severity, then sureness, then the rules' order. Nobody is asked."""
    found = [finding for rule in rules for finding in rule(evidence)]
    return _folded(sorted(found, key=lambda finding: finding.rank))


def _folded(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Fold findings of one rule with one cause and one command into the first; its details say what else was seen."""
    kept: dict[tuple[str, str, str], Finding] = {}
    for finding in found:
        key = (finding.rule, finding.cause, finding.mend.command)
        if key not in kept:
            kept[key] = finding
        elif finding.seen != kept[key].seen:
            first = kept[key]
            before = first.details.get("also_seen", ())
            also = (*before, finding.seen) if isinstance(before, tuple) else (finding.seen,)
            kept[key] = replace(first, details={**first.details, "also_seen": tuple(dict.fromkeys(also))})
    return tuple(kept.values())
