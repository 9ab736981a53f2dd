"""What `factory check` finds in each file, and how it is shown."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from factory import recipe as recipes
from factory.checks import check, findings_from_fits
from factory.checks.finding import Finding
from factory.errors import CheckError, FactoryError, RecipeError
from factory.recipe.load import RecipeFile
from factory.records import tell_nobody
from factory.wording import count_text


@dataclass(frozen=True, slots=True)
class Inspection:
    """One file: sentences that kept it from being read, or findings."""

    path: Path
    problems: tuple[str, ...]
    findings: tuple[Finding, ...]
    problem_code: int = 0

    @property
    def exit_code(self) -> int:
        """Return 10 when unreadable, 11 when a check failed, a stage's when the Hub or a size did, else 0."""
        if self.problems:
            return self.problem_code
        return CheckError.exit_code if any(f.severity == "error" for f in self.findings) else 0


def inspect(path: Path, is_online: bool, *, must_be_locked: bool = False) -> Inspection:
    """Read and lint one recipe; `is_online` also asks the Hub and sizes it."""
    try:
        file = recipes.load(path)
        if must_be_locked:
            from factory.pipeline import lock_of

            lock_of(file, is_demanded=True, has_own_base=True)
        return Inspection(path, (), _online(file) if is_online else check(file))
    except RecipeError as error:
        return Inspection(path, error.problems, (), error.exit_code)
    except FactoryError as error:
        return Inspection(path, (f"{path}: {error}",), (), error.exit_code)


def _online(file: RecipeFile) -> tuple[Finding, ...]:
    from factory import settings, wiring
    from factory.pipeline import Line

    read = settings.read()
    line = Line(file, wiring.Clients(read, file), wiring.machine(read, file), lambda _: tell_nobody)
    return (*check(file, line.models), *findings_from_fits(line.plan.fits, file))


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
        parts.insert(0, f"{unreadable} failed")
    click.echo(f"{count_text(len(inspections), 'recipe')}: {', '.join(parts) or 'clean'}", err=True)


def _record(inspection: Inspection) -> dict[str, object]:
    findings = [
        {"rule": f.rule, "severity": f.severity, "where": f.where, "sentence": f.sentence, "fix": f.fix}
        for f in inspection.findings
    ]
    return {"recipe": str(inspection.path), "problems": list(inspection.problems), "findings": findings}
