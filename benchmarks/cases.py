"""The commands that are timed, each with the goal it was given. A new one is a function with `@case`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FACTORY = str(Path(sys.executable).with_name("factory"))


@dataclass(frozen=True, slots=True)
class Case:
    """A command to time. `goal_s` is the median it may take; None for a yardstick."""

    name: str
    command: Sequence[str]
    goal_s: float | None


CASES: list[Callable[[Path], Case]] = []


def case(make: Callable[[Path], Case]) -> Callable[[Path], Case]:
    """Add a function that prepares a case in an empty folder."""
    CASES.append(make)
    return make


@case
def bare_python(folder: Path) -> Case:
    """The yardstick: what the interpreter alone takes on this machine, now."""
    return Case("python -c pass", [sys.executable, "-c", "pass"], None)


@case
def help_text(folder: Path) -> Case:
    """The first thing a person types."""
    return Case("factory --help", [FACTORY, "--help"], 0.15)


@case
def check_100_recipes(folder: Path) -> Case:
    """Copies of the shipped recipes, each under a name of its own."""
    shipped = sorted((ROOT / "recipes").glob("*.yaml"))
    for beside in (ROOT / "recipes").iterdir():
        if beside.suffix != ".yaml":
            (folder / beside.name).symlink_to(beside)
    copies = []
    for number in range(100):
        source = shipped[number % len(shipped)]
        copy = folder / f"{source.stem}-{number:03}.yaml"
        copy.write_text(source.read_text().replace(f"name: {source.stem}\n", f"name: {copy.stem}\n", 1))
        copies.append(str(copy))
    return Case("factory check (100 recipes)", [FACTORY, "check", *copies], 1.5)
