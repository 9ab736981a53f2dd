"""Write docs/{commands,errors,troubleshooting}.md from the code, so that they can't fall behind it: `make docs`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from factory import errors, settings
from factory.cli import cli
from factory.diagnosis import rules

DOCS = Path(__file__).parent.parent / "docs"


def commands_page() -> str:
    """Return docs/commands.md: the help of every command, as the terminal shows it."""
    parts = [
        "# Commands\n",
        "Made from the help by `make docs`; a test holds it. Results go to stdout, progress and warnings to stderr.\n",
        f"```text\n{_help(cli, 'factory')}\n```\n",
    ]
    for name, command in sorted(cli.commands.items()):
        parts.append(f"## factory {name}\n\n```text\n{_help(command, f'factory {name}')}\n```\n")
        for word, inner in sorted(command.commands.items()) if isinstance(command, click.Group) else ():
            parts.append(f"### factory {name} {word}\n\n```text\n{_help(inner, f'factory {name} {word}')}\n```\n")
    parts.append(f"## The machine's settings\n\n```text\n{inspect.getdoc(settings)}\n```\n")
    parts.append("Flags win over settings. `--debug` with any command shows the traceback of an error.\n")
    return "\n".join(parts)


def errors_page() -> str:
    """Return docs/errors.md: every exit code, its name in `--json`, and what it means."""
    rows = [f"| {e.exit_code} | `{e.code}` | {e.__name__} | {_first_line(e)} |" for e in error_classes()]
    return "\n".join(
        [
            "# Errors and exit codes\n",
            "Made from `factory/errors.py` by `make docs`; a test holds it. An error is one sentence on stderr: where,",
            "what is wrong and what was found; then one thing to do. With `--json`, stdout gets",
            '`{"error": {"code", "exit_code", "where", "what", "fix", "details"}}`. A stage owns a decade; 0 is',
            "success, 1 a bug of ours (a report file is written and named), 2 a wrong command line.\n",
            "| exit | code | class | meaning |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
        ]
    )


def troubleshooting_page() -> str:
    """Return docs/troubleshooting.md: of every rule of `factory diagnose` what is seen, why, and what mends it."""
    parts = [
        "# An endpoint doesn't answer\n",
        "Made from the rules in `factory/diagnosis/` by `make docs`; a test holds it. `factory diagnose RECIPE` looks",
        "for all of this by itself, shows the numbers it saw, and prints the command with the recipe's name in it;",
        "`--fix` runs the safe ones. Causes stand before what follows from them.\n",
    ]
    for module in rules.MODULES:
        symptom, cause, command = rule_words(module)
        name = module.__name__.rpartition(".")[2]
        parts.append(f"## {symptom.rstrip('.')}\n\n- **Cause**: {cause}\n- **Command**: {command}\n- Rule: `{name}`\n")
    return "\n".join(parts)


def rule_words(module: ModuleType) -> tuple[str, str, str]:
    """Return symptom, cause and command of a rule, as its docstring has them, each in one line."""
    text = inspect.getdoc(module) or ""
    symptom, found, rest = text.partition("\n\nCause: ")
    cause, has_command, command = rest.partition("\nCommand: ")
    if not (found and has_command):
        raise ValueError(f"{module.__name__}: its docstring is no symptom, `Cause: ` and `Command: `")
    return " ".join(symptom.split()), " ".join(cause.split()), " ".join(command.split())


def error_classes() -> Iterator[type[errors.FactoryError]]:
    """Yield every class of the tree, by exit code."""
    found = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.FactoryError)]
    yield from sorted((c for c in found if c is not errors.FactoryError), key=lambda c: c.exit_code)


def _first_line(kind: type) -> str:
    return " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())


def _help(command: click.Command, path: str) -> str:
    settings: dict[str, Any] = {**cli.context_settings, "terminal_width": 100}
    parent = None if command is cli else click.Context(cli, **settings)
    return command.get_help(click.Context(command, parent=parent, info_name=path, **settings))


if __name__ == "__main__":
    (DOCS / "commands.md").write_text(commands_page())
    (DOCS / "errors.md").write_text(errors_page())
    (DOCS / "troubleshooting.md").write_text(troubleshooting_page())
