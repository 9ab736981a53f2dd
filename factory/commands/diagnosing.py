"""`factory diagnose` at work: from what was typed to evidence, from evidence to what is printed and mended."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import click

from factory import settings, wiring
from factory.commands.diagnosis_view import as_record, show
from factory.commands.display import waiting
from factory.commands.output import print_json
from factory.commands.tables import open_console
from factory.commands.targets import file_of
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding
from factory.diagnosis.rules import diagnose
from factory.errors import DiagnoseError, DiagnoseWarned, EndpointNotFound
from factory.gathering import SAMPLES, WINDOW_S, gather
from factory.pipeline import Line
from factory.recipe import RecipeFile
from factory.records import tell_nobody

REGISTRY_PATIENCE_S = 0.5  # a registry that is away is a gap; nobody waits for it as a deployment would
SAMPLE_EVERY_S = 1.0  # with --watch: often enough to see a worker that lives for two seconds


@dataclass(frozen=True, slots=True)
class DiagnoseWords:
    """What was typed after `factory diagnose TARGET`."""

    watch_s: float | None
    is_fixing: bool
    is_sure: bool
    is_unbuilt: bool
    as_json: bool


def diagnose_endpoint(target: str, words: DiagnoseWords) -> None:
    """Look, say what is wrong, mend what is safe to mend, and exit by the worst that is left."""
    if words.as_json and words.is_fixing and not words.is_sure:
        raise click.UsageError("--json can't ask: give --yes with --fix, or leave --fix out.")
    evidence, findings = _diagnosed(target, words)
    if words.is_fixing and (commands := safe_commands(findings)):
        if not words.as_json:
            show(evidence, findings, open_console())
        if _may_run(commands, words):
            _run(commands)
            evidence, findings = _diagnosed(target, words)
            click.echo("after the mends:", err=True)
        elif not words.as_json:
            click.get_current_context().exit(exit_code(findings))
    if words.as_json:
        print_json(as_record(evidence, findings))
    else:
        show(evidence, findings, open_console())
    click.get_current_context().exit(exit_code(findings))


def exit_code(findings: Iterable[Finding]) -> int:
    """Return 100 with an error among the findings, 101 with a warning, 0 with nothing worse than a note."""
    severities = {finding.severity for finding in findings}
    if "error" in severities:
        return DiagnoseError.exit_code
    return DiagnoseWarned.exit_code if "warning" in severities else 0


def safe_commands(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Return the commands of the safe mends, each once, the worst finding's first."""
    mends = [finding.mend for finding in findings]
    safe = [mend for mend in mends if mend.is_safe and not mend.edit and mend.command.startswith("factory ")]
    return tuple(dict.fromkeys(mend.command for mend in safe))


# --- looking ---------------------------------------------------------------------------------------------------------
def _diagnosed(target: str, words: DiagnoseWords) -> tuple[Evidence, tuple[Finding, ...]]:
    machine = settings.read()
    shared = wiring.Shared(machine, patience_s=REGISTRY_PATIENCE_S)
    file = file_of(target)
    line = _line(file, machine, shared) if file else None
    name = line.file.recipe.name if line else target
    asked = wiring.target(machine, name, line, shared, is_unbuilt=words.is_unbuilt)
    window_s = words.watch_s or WINDOW_S
    samples = max(SAMPLES, round(window_s / SAMPLE_EVERY_S) + 1) if words.watch_s else SAMPLES
    with waiting(f"looking at {name}"):
        evidence = gather(asked, samples=samples, window_s=window_s)
    if evidence.endpoint is None and line is None:
        raise EndpointNotFound(
            evidence.gaps.get("endpoint", f"the account has no endpoint {name}"),
            where="RunPod account",
            fix="name a recipe's file, or an endpoint that `factory audit` lists",
        )
    return evidence, diagnose(evidence)


def _line(file: RecipeFile, machine: settings.Settings, shared: wiring.Shared) -> Line:
    clients = wiring.Clients(machine, file, shared)
    return Line(file, clients, wiring.machine(machine, file), lambda _stage: tell_nobody)


# --- mending ---------------------------------------------------------------------------------------------------------
def _may_run(commands: Sequence[str], words: DiagnoseWords) -> bool:
    for command in commands:
        click.echo(f"will run: {command}", err=True)
    return words.is_sure or click.confirm("Run now?", default=False, err=True)


def _run(commands: Iterable[str]) -> None:
    """Run `factory` commands as they were shown, each as a process of its own; one that fails doesn't stop the rest."""
    for command in commands:
        click.echo(f"$ {command}", err=True)
        words = shlex.split(command)[1:]
        done = subprocess.run([sys.executable, "-m", "factory", *words], stdout=sys.stderr, check=False)
        if done.returncode:
            click.echo(f"exit code {done.returncode}", err=True)
