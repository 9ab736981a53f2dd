"""What `factory check` finds in each file, and how it is shown."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from factory import recipe as recipes
from factory.checks import check
from factory.checks.finding import Finding
from factory.errors import CheckError, RecipeError
from factory.wording import count_text


@dataclass(frozen=True, slots=True)
class Inspection:
    """One file: sentences that kept it from being read, or findings."""

    path: Path
    problems: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """The file's exit code: 10 unreadable, 11 an error was found, else 0."""
        if self.problems:
            return RecipeError.exit_code
        return CheckError.exit_code if any(f.severity == "error" for f in self.findings) else 0


def inspect(path: Path, is_online: bool) -> Inspection:
    """Read and lint one recipe; Hub errors are raised."""
    try:
        file = recipes.load(path)
    except RecipeError as error:
        return Inspection(path, error.problems, ())
    models = ()
    if is_online:
        from factory import settings, wiring
        from factory.stages.resolve import resolve

        models = resolve(file.recipe, wiring.Clients(settings.read()).hub)
    return Inspection(path, (), check(file, models))


def show(inspections: Sequence[Inspection], as_json: bool) -> None:
    """Print findings on stdout and a summary on stderr."""
    if as_json:
        click.echo(json.dumps([_record(inspection) for inspection in inspections], indent=2))
        return
    for inspection in inspections:
        for line in (*inspection.problems, *map(str, inspection.findings)):
            click.echo(line)
    kinds = Counter(finding.severity for inspection in inspections for finding in inspection.findings)
    unreadable = sum(bool(inspection.problems) for inspection in inspections)
    parts = [count_text(kinds[kind], kind) for kind in ("error", "warning", "note") if kinds[kind]]
    if unreadable:
        parts.insert(0, f"{unreadable} unreadable")
    click.echo(f"{count_text(len(inspections), 'recipe')}: {', '.join(parts) or 'clean'}", err=True)


def _record(inspection: Inspection) -> dict[str, object]:
    findings = [
        {"rule": f.rule, "severity": f.severity, "where": f.where, "sentence": f.sentence, "fix": f.fix}
        for f in inspection.findings
    ]
    return {"recipe": str(inspection.path), "problems": list(inspection.problems), "findings": findings}
