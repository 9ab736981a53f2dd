"""What a check finds, and what a rule is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from factory.recipe import RecipeFile
from factory.recipe.tokens import redacted
from factory.records import ModelFiles

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a rule found. `where` is `file:line: key`; an error stops the line, a warning or note does not."""

    rule: str
    severity: Severity
    where: str
    sentence: str
    fix: str

    def __str__(self) -> str:
        """Return the one line a person reads."""
        return f"{self.where}: {self.severity}: {self.sentence}; {self.fix} [{self.rule}]"

    def as_record(self) -> dict[str, str]:
        """Return what `--json` prints."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            "where": self.where,
            "sentence": self.sentence,
            "fix": self.fix,
        }


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule yields: the dotted key of the model, the sentence, the fix; `severity` only where it varies."""

    key: str
    sentence: str
    fix: str
    severity: Severity | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule with its id and usual severity. `inspect` needs the recipe only."""

    id: str
    severity: Severity
    inspect: Callable[[RecipeFile], Iterable[Found]]


@dataclass(frozen=True, slots=True)
class ModelRule:
    """A rule that needs the models' files too: it runs only where they are known."""

    id: str
    severity: Severity
    inspect: Callable[[RecipeFile, Sequence[ModelFiles]], Iterable[Found]]


def finding(rule: Rule | ModelRule, file: RecipeFile, found: Found) -> Finding:
    """Join a rule, what it found, and the place in the file."""
    where = ": ".join(part for part in (file.where(found.key), file.name(found.key)) if part)
    words = (redacted(text) for text in (where, found.sentence, found.fix))  # a token may stand anywhere
    return Finding(rule.id, found.severity or rule.severity, *words)
