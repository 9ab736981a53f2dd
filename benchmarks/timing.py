"""One process timed from start to exit: seconds of wall clock, and of CPU, which a busy machine changes less."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Taken:
    """What one run took, and how it ended."""

    wall_s: float
    cpu_s: float
    code: int
    out: str
    err: str


def timed(command: Sequence[str], environ: Mapping[str, str]) -> Taken:
    """Run a command to its end."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        started_s = time.perf_counter()
        process = subprocess.Popen(command, env=dict(environ), stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started_s
        process.returncode = os.waitstatus_to_exitcode(status)  # it is reaped: Popen must not wait for it again
        for file in (out, err):
            file.seek(0)
        return Taken(wall_s, used.ru_utime + used.ru_stime, process.returncode, out.read(), err.read())


def table(name: str, runs: Sequence[Taken], goal_s: float) -> list[str]:
    """Return a Markdown table of some runs."""
    walls, cpus = [run.wall_s for run in runs], [run.cpu_s for run in runs]
    verdict = "met" if statistics.median(walls) <= goal_s else "MISSED"
    return [
        f"| {len(runs)} runs | median s | min s | max s | CPU s, median | goal s | |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
        f"| {name} | {statistics.median(walls):.2f} | {min(walls):.2f} | {max(walls):.2f} "
        f"| {statistics.median(cpus):.2f} | {goal_s:.2f} | {verdict} |",
    ]


def load() -> str:
    """Return the sentence that says how busy the machine is."""
    return f"Load average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores."
