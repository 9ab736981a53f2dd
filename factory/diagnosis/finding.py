"""A finding: what was seen, why, the command that mends it, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["error", "warning", "note"]
Sureness = Literal["certain", "likely", "possible"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
SURENESSES: tuple[Sureness, ...] = ("certain", "likely", "possible")


@dataclass(frozen=True, slots=True)
class Mend:
    """What mends it. `command` is what a person types (or a sentence where no command can); `is_safe` lets
    `diagnose --fix` run it after showing it: it costs nothing, loses nothing, and can be taken back. `edit` is what to
    write into the recipe before that, as `KEY: VALUE` with a dotted key and YAML's short form; mostly nothing.
    """

    command: str
    is_safe: bool = False
    edit: str = ""

    def __str__(self) -> str:
        """Return what a person does, in order."""
        if not self.edit:
            return self.command
        return f"write `{self.edit}` in the recipe, then `{self.command}`"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `rule` is its file's name; `seen` has numbers, `cause` says why, one sentence each."""

    rule: str
    severity: Severity
    seen: str
    cause: str
    mend: Mend
    sureness: Sureness = "likely"
    details: Mapping[str, object] = field(default_factory=dict)

    @property
    def rank(self) -> tuple[int, int]:
        """Sort key: the worst and surest first."""
        return SEVERITIES.index(self.severity), SURENESSES.index(self.sureness)
