"""Time what the worker runtime adds to RunPod's bare SDK: per job, and from its start to the first job-take.

`python -m benchmarks.worker [STARTS] [JOBS]` prints two Markdown tables; exit status 1 when a goal is missed. All cases
take turns in one run, so that a noisy moment hits all alike.

A job is the SDK's own `handle_job`, from the job to its posted result, over HTTP to a server in another process: all
that happens to a job but the SDK's poll, which comes at any moment of 0.1 s. A start is a whole process.
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from job_server import JobServer
from worker_app import environment, write_app

GOAL_JOB_MS = 2.0
GOAL_START = 1.15
SYNC = "class Handler:\n    def __call__(self, inputs):\n        return inputs\n"
JOB_INPUT = {"texts": ["all that a small job has"] * 40, "options": {"normalize": True, "batch_size": 8}}


def start_s(command: Sequence[str], variables: Mapping[str, str], recipe: Path) -> float:
    """Return the seconds from a worker's start to its first job-take."""
    with JobServer(hold_s=5) as server:
        began = time.monotonic()
        with subprocess.Popen(
            command,
            env=environment(recipe, **server.variables(), **variables),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as worker:
            while not server.polls and worker.poll() is None:
                time.sleep(0.002)
            os.killpg(worker.pid, signal.SIGKILL)  # the bare SDK's pings would go on for ever
        if not server.polls:
            sys.exit(f"{' '.join(command)} ended without a job-take")
        return server.polls[0] - began


def starts(rounds: int) -> list[str]:
    """Return the table of starts."""
    python = [sys.executable, "-u"]
    commands = {
        "bare SDK": [*python, "-m", "benchmarks.bare_worker"],
        "worker_runtime": [*python, "-m", "worker_runtime"],
    }
    variables = {"RUNPOD_LOG_LEVEL": "INFO", "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true", "RUNPOD_SKIP_GPU_CHECK": "true"}
    with tempfile.TemporaryDirectory() as folder:
        recipe = write_app(Path(folder))
        times: dict[str, list[float]] = {name: [] for name in commands}
        for number in range(rounds + 1):
            for name, command in commands.items():
                took_s = start_s(command, variables, recipe)
                if number:  # the first fills the disk cache
                    times[name].append(took_s)
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    ratio = medians["worker_runtime"] / medians["bare SDK"]
    rows = [f"| {name} | {medians[name]:.2f} | {min(t):.2f} | {max(t):.2f} |" for name, t in times.items()]
    return [
        f"| start to first job-take, {rounds} runs | median s | min s | max s |",
        "| --- | ---: | ---: | ---: |",
        *rows,
        "",
        f"Ratio of the medians: {ratio:.3f} (goal {GOAL_START}): {'met' if ratio <= GOAL_START else 'MISSED'}.",
    ]


async def job_ms(configs: Mapping[str, dict[str, Any]], rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds of each job, the configurations taking turns."""
    from runpod.http_client import AsyncClientSession
    from runpod.serverless.modules.rp_job import handle_job

    times: dict[str, list[float]] = {name: [] for name in configs}
    async with AsyncClientSession() as session:
        for number in range(rounds + 20):
            for name, config in configs.items():
                job = {"id": f"job-{number}", "input": JOB_INPUT}
                began = time.perf_counter()
                await handle_job(session, config, job)
                if number >= 20:
                    times[name].append((time.perf_counter() - began) * 1000)
    return times


def configurations(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the SDK's configuration for a bare handler, and for the runtime's with an async and a sync handler."""
    from benchmarks.bare_worker import handler
    from worker_runtime import contract
    from worker_runtime.adapter import Adapter, Surroundings
    from worker_runtime.events import EventLog
    from worker_runtime.recipe import HandlerBlock

    around = Surroundings(EventLog((folder / "log").open("w")), jobs_folder=folder / "jobs")
    (folder / "handler.py").write_text(SYNC)
    echo = contract.make(contract.find(HandlerBlock(name="echo"), folder), options={})
    sync = contract.make(contract.find(HandlerBlock(file="handler.py"), folder))
    return {
        "bare SDK": {"handler": handler},
        "worker_runtime, async": {"handler": Adapter(echo, around).run},
        "worker_runtime, sync": {"handler": Adapter(sync, around).run},
    }


def serve_for_ever() -> None:
    """Serve a queue, say where, and stay until stdin ends."""
    with JobServer() as server:
        sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
        sys.stdout.flush()
        threading.Thread(target=sys.stdin.read).run()


def jobs(rounds: int) -> list[str]:
    """Return the table of jobs."""
    command = [sys.executable, "-c", "from benchmarks.worker import serve_for_ever; serve_for_ever()"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server,
    ):
        assert server.stdout is not None and server.stdin is not None
        url = server.stdout.readline().strip()
        os.environ["RUNPOD_WEBHOOK_POST_OUTPUT"] = f"{url}/job-done/worker-1/$ID?gpu=none"  # read at the SDK's import
        os.environ["RUNPOD_LOG_LEVEL"] = "ERROR"
        times = asyncio.run(job_ms(configurations(Path(folder)), rounds))
        server.stdin.close()
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    more = {name: median - medians["bare SDK"] for name, median in medians.items()}
    rows = [
        f"| {name} | {medians[name]:.2f} | {statistics.quantiles(taken, n=20)[-1]:.2f} | {more[name]:+.2f} |"
        for name, taken in times.items()
    ]
    worst = max(more.values())
    verdict = "met" if worst <= GOAL_JOB_MS else "MISSED"
    return [
        f"| one job, {rounds} runs | median ms | 95 % ms | over the bare SDK |",
        "| --- | ---: | ---: | ---: |",
        *rows,
        "",
        f"Most over the bare SDK: {worst:.2f} ms (goal {GOAL_JOB_MS:g}): {verdict}.",
    ]


def main(rounds: int, job_rounds: int) -> int:
    """Print both tables."""
    lines = [*starts(rounds), "", *jobs(job_rounds), ""]
    lines.append(f"Load average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.")
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if any("MISSED" in line for line in lines) else 0


if __name__ == "__main__":
    numbers = [int(text) for text in sys.argv[1:]]
    sys.exit(main(*(numbers + [15, 1000][len(numbers) :])))
