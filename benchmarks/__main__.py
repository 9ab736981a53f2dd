"""Time every case: whole processes, in turns, so that a noisy moment hits all alike. Prints a Markdown table.

`python -m benchmarks [RUNS]`; exit status 1 when a median misses its goal.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cases import CASES, Case


def run_s(command: Sequence[str]) -> float:
    """Return the seconds that one run takes, from start to exit; a failing command ends the benchmark."""
    started = time.perf_counter()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    took_s = time.perf_counter() - started
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)[:200]}: exit status {done.returncode}: {done.stderr.strip()[-500:]}")
    return took_s


def row(case: Case, times_s: Sequence[float]) -> str:
    """Return the table's row."""
    median_s = statistics.median(times_s)
    goal = f"{case.goal_s:.2f}" if case.goal_s else ""
    verdict = "" if case.goal_s is None else "met" if median_s <= case.goal_s else "MISSED"
    return f"| `{case.name}` | {median_s:.3f} | {min(times_s):.3f} | {max(times_s):.3f} | {goal} | {verdict} |"


def main(runs: int) -> int:
    """Time all cases `runs` times, after one run that fills the disk cache, and print the table."""
    with tempfile.TemporaryDirectory() as home:
        cases = []
        for make in CASES:
            folder = Path(home) / make.__name__
            folder.mkdir()
            cases.append(make(folder))
        for each in cases:
            run_s(each.command)
        times = [[run_s(each.command) for each in cases] for _ in range(runs)]
    columns = list(zip(*times, strict=True))
    lines = [
        f"| whole process, {runs} runs | median s | min s | max s | goal s | |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    lines += [row(each, column) for each, column in zip(cases, columns, strict=True)]
    lines += ["", f"Load average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores."]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if any("MISSED" in line for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 9))
