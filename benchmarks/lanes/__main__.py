"""Every row: `PYTHONPATH=tests/support python -m benchmarks.lanes [--rounds N] [NAME…]`; exit status 1 when one misses.

A row is a module of this package with `main(rounds: int) -> int`, which prints its Markdown table and returns 1 when a
median misses its goal.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys

import benchmarks.lanes
from benchmarks.timing import load


def main() -> int:
    """Run the rows that were asked for, one after the other."""
    names = sorted(each.name for each in pkgutil.iter_modules(benchmarks.lanes.__path__) if each.name != "__main__")
    parser = argparse.ArgumentParser(prog="benchmarks.lanes")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(names):
        parser.error(f"no such row: {', '.join(sorted(unknown))} (there are {', '.join(names)})")
    missed = 0
    for name in asked.names or names:
        missed |= importlib.import_module(f"benchmarks.lanes.{name}").main(asked.rounds)
        sys.stdout.write(f"\n{load()}\n\n")
        sys.stdout.flush()
    return missed


if __name__ == "__main__":
    sys.exit(main())
