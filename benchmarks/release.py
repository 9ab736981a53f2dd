"""Time a `factory release` of which nothing changed: `PYTHONPATH=tests/support python -m benchmarks.release [RUNS]`.

Whole processes, from start to exit, over both management APIs. The account with its worker and the Hub are the
emulator's, in this process; the registry is one of its own. Exit status 1 when a median misses the goal.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from release_bench import Bench, workshop

from benchmarks.timing import Taken, load, table, timed
from factory.emulator.runpod.launch_inline import InlineLauncher

GOAL_S = 2.0
STAGES = {"resolve", "check", "size", "render", "build", "push", "verify", "provision", "run"}


def main(runs: int) -> int:
    """Time it, and print the tables."""
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as home:
        (Path(home) / "place").mkdir()
        with workshop(Path(home) / "place", launcher=InlineLauncher()) as place:
            for api in ("rest", "graphql"):
                (folder := Path(home) / api).mkdir()
                bench = Bench(place, folder, api)
                place.runpod.empty()
                command = [sys.executable, "-m", "factory", "release", str(bench.write()), "--no-run", "--json"]
                _states(timed(command, bench.env))
                taken = [timed(command, bench.env) for _ in range(runs)]
                if any(_states(run) != dict.fromkeys(STAGES, "unchanged") for run in taken):
                    sys.exit("something was not unchanged")
                lines += [*table(f"`factory release`, unchanged, {api}", taken, GOAL_S), ""]
    sys.stdout.write("\n".join([*lines, load()]) + "\n")
    return 1 if any("MISSED" in line for line in lines) else 0


def _states(run: Taken) -> dict[str, str]:
    """Return how each stage of a release ended; a release that failed ends the benchmark."""
    if run.code != 0:
        sys.exit(f"exit status {run.code}: {run.err[-500:]}")
    return {stage["stage"]: stage["state"] for stage in json.loads(run.out)["stages"]}


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
