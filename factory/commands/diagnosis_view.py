"""A diagnosis as people read it, and as `--json` prints it: the worst first, each with the command that mends it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from factory.commands.tables import new_grid
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding, Severity
from factory.diagnosis.rules import RULES
from factory.gathering import ON_THE_VOLUME
from factory.wording import count_text

MARKS: Mapping[Severity, tuple[str, str]] = {
    "error": ("✗", "red"),
    "warning": ("!", "yellow"),
    "note": ("·", "dim"),
}


def show(evidence: Evidence, findings: Sequence[Finding], console: Console) -> None:
    """Print what is wrong, or in one line that nothing is and what was looked at."""
    known_as = f" endpoint {evidence.endpoint.id}" if evidence.endpoint else " no endpoint"
    head = Text.assemble((evidence.name, "bold"), (known_as, "dim"))
    if not findings:
        console.print(head.append("   healthy", "green").append(f": {'; '.join(checked(evidence))}"))
    else:
        console.print(head.append(f"   {_counts(findings)}", "dim"))
    for finding in findings:
        console.print()
        console.print(_block(finding))
    gaps = [f"{what} ({why})" for what, why in evidence.gaps.items() if findings or what != ON_THE_VOLUME]
    if gaps:
        console.print(Text(f"  not seen: {'; '.join(gaps)}", "dim"))


def as_record(evidence: Evidence, findings: Sequence[Finding]) -> dict[str, object]:
    """Return what `--json` prints."""
    return {
        "name": evidence.name,
        "endpoint": evidence.endpoint.id if evidence.endpoint else None,
        "is_healthy": not findings,
        "checked": list(checked(evidence)),
        "findings": [_record(finding) for finding in findings],
        "gaps": dict(evidence.gaps),
    }


def checked(evidence: Evidence) -> Iterator[str]:
    """Yield what was looked at, with numbers."""
    yield count_text(len(RULES), "rule")
    if evidence.samples:
        yield f"{count_text(len(evidence.samples), 'look')} over {evidence.samples[-1].at_s:.1f} s"
        yield f"{count_text(len(evidence.workers), 'worker')}, {count_text(evidence.queued, 'job')} waiting"
    if evidence.logs:
        lines = sum(len(lines) for lines in evidence.logs.values())
        yield f"{count_text(lines, 'log line')} of {count_text(len(evidence.logs), 'worker')}"
    if evidence.image and evidence.image.is_pushed:
        yield "the image in its registry"
    if evidence.models:
        yield f"{count_text(len(evidence.models), 'model')} on the Hub"
    if evidence.jobs:
        yield f"{count_text(len(evidence.jobs), 'job')} of the ledger"


def _counts(findings: Sequence[Finding]) -> str:
    severities = [finding.severity for finding in findings]
    kinds: tuple[Severity, ...] = ("error", "warning", "note")
    return ", ".join(count_text(severities.count(kind), kind) for kind in kinds if kind in severities)


def _block(finding: Finding) -> Table:
    mark, style = MARKS[finding.severity]
    grid = new_grid("left", "left")
    grid.add_row(Text(f"  {mark}", style), Text(finding.seen, "bold"))
    grid.add_row(Text("", "dim"), Text(f"{finding.cause} ({finding.sureness})"))
    also = finding.details.get("also_seen")
    for seen in also if isinstance(also, tuple) else ():
        grid.add_row("", Text(f"also: {seen}", "dim"))
    is_command = finding.mend.command.startswith("factory ")
    safe = Text("   safe: --fix runs it", "dim") if finding.mend.is_safe and is_command else Text()
    if finding.mend.edit:
        grid.add_row(Text("  →", "green"), Text(f"write {finding.mend.edit}").append("  in the recipe, then", "dim"))
    grid.add_row(Text("  →", "green"), Text(finding.mend.command, "green" if is_command else "").append(safe))
    return grid


def _record(finding: Finding) -> dict[str, object]:
    return {
        "rule": finding.rule,
        "severity": finding.severity,
        "sureness": finding.sureness,
        "seen": finding.seen,
        "cause": finding.cause,
        "edit": finding.mend.edit,
        "command": finding.mend.command,
        "is_safe": finding.mend.is_safe,
        "details": dict(finding.details),
    }
