"""Count the emulator's job round trips: submitted → taken by a worker → done → result read.

`python -m benchmarks.emulator [JOBS] [ROUNDS]`. The emulator is one process, served by uvicorn; the load client is
another, over HTTP keep-alive, and so are the workers, unless they are inline: tasks in the emulator's own loop. No
worker is a process, and none computes anything. Rate limits are on: the load goes to many endpoints. Prints a Markdown
table; exit status 1 when the inline workers miss the goal.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from benchmarks.http_line import Connection

GOAL_PER_S = 1_000
ENDPOINTS = 40
CLIENTS = 64
KEY = "rpa_bench"
BODY = json.dumps({"input": {"texts": ["all that a small job has"] * 4, "options": {"normalize": True}}}).encode()
RESULT = json.dumps({"output": {"embedding": [0.25] * 16}}).encode()


# --- the emulator's process -----------------------------------------------------------------------------------------
def serve_emulator(is_inline: bool, state: str) -> None:
    """Serve an account with many endpoints until killed; the first line on stdout says where."""
    from factory.emulator.runpod.app import create_runpod
    from factory.emulator.runpod.entities import Container, Endpoint, Person
    from factory.emulator.runpod.launch_inline import InlineLauncher
    from factory.emulator.serve import serve

    output = json.loads(RESULT)["output"]
    app = create_runpod(
        launcher=InlineLauncher(lambda _: output) if is_inline else None,
        person=Person(worker_quota=ENDPOINTS),
        state=Path(state) if state else None,
    )
    ids = []
    for number in range(ENDPOINTS):
        draft = Endpoint("", f"bench-{number}", "QUEUE", Container("image"), pools=["ADA_24"])
        draft.workers_min = draft.workers_max = 1
        ids.append(app.state.box.world.create_endpoint(draft).id)

    def ready(url: str) -> None:
        sys.stdout.write(json.dumps({"url": url, "endpoints": ids}) + "\n")
        sys.stdout.flush()

    serve(app, on_ready=ready)


# --- the client's process -------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Round:
    """What one round showed: round trips a second, and what each cost the emulator."""

    per_s: float
    cpu_ms: float


@dataclass
class Load:
    """What one round of the client needs."""

    port: int
    endpoints: list[str]
    is_inline: bool
    emulator_pid: int
    left: int = 0
    done: dict[str, asyncio.Event] = field(default_factory=dict)

    def next_job(self) -> bool:
        """Take one of the jobs that are to be run."""
        self.left -= 1
        return self.left >= 0

    def emulator_cpu_s(self) -> float:
        """Return the CPU time that the emulator's process has had (Linux, proc(5): fields 14 and 15)."""
        fields = Path(f"/proc/{self.emulator_pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def by_run(load: Load, line: Connection, endpoint: str) -> None:
    """Submit with /run, wait until the worker is done with it, and read /status."""
    answer = json.loads(await line.call("POST", f"/v2/{endpoint}/run", BODY))
    event = load.done.setdefault(answer["id"], asyncio.Event())
    if not load.is_inline:
        await event.wait()
    while (found := json.loads(await line.call("GET", f"/v2/{endpoint}/status/{answer['id']}")))[
        "status"
    ] != "COMPLETED":
        assert load.is_inline and found["status"] in ("IN_QUEUE", "IN_PROGRESS"), found
    assert found["output"]["embedding"][0] == 0.25
    del load.done[answer["id"]]


async def by_runsync(load: Load, line: Connection, endpoint: str) -> None:
    """Submit with /runsync, which answers with the result."""
    found = json.loads(await line.call("POST", f"/v2/{endpoint}/runsync", BODY))
    assert found["status"] == "COMPLETED" and found["output"]["embedding"][0] == 0.25, found


async def submit(load: Load, number: int, trip: Callable[[Load, Connection, str], Awaitable[None]]) -> None:
    """One client: a job at a time, endpoint after endpoint."""
    line = await Connection.open(load.port, KEY)
    while load.next_job():
        number += 1
        await trip(load, line, load.endpoints[number % len(load.endpoints)])
    line.close()


async def work(load: Load, endpoint: str) -> None:
    """One worker over HTTP: take, answer, again."""
    line = await Connection.open(load.port, KEY)
    name = f"worker-{endpoint}"
    while True:
        body = await line.call("GET", f"/v2/{endpoint}/job-take/{name}?gpu=none&job_in_progress=0")
        if body:
            job = json.loads(body)
            await line.call("POST", f"/v2/{endpoint}/job-done/{name}/{job['id']}?gpu=none&isStream=false", RESULT)
            load.done.setdefault(job["id"], asyncio.Event()).set()


async def one_round(load: Load, jobs: int, trip: Callable[[Load, Connection, str], Awaitable[None]]) -> Round:
    """Run so many jobs."""
    workers = [] if load.is_inline else [asyncio.create_task(work(load, id_)) for id_ in load.endpoints]
    load.left = jobs
    began, cpu_s = time.perf_counter(), load.emulator_cpu_s()
    await asyncio.gather(*(submit(load, number, trip) for number in range(CLIENTS)))
    took_s, cpu_s = time.perf_counter() - began, load.emulator_cpu_s() - cpu_s
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    return Round(jobs / took_s, cpu_s * 1000 / jobs)


@contextmanager
def emulator(is_inline: bool, state: str = "") -> Iterator[Load]:
    """Run the emulator's process."""
    command = [sys.executable, "-m", "benchmarks.emulator", "serve", str(int(is_inline)), state]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            said = json.loads(process.stdout.readline())
            yield Load(int(said["url"].rpartition(":")[2]), said["endpoints"], is_inline, process.pid)
        finally:
            process.kill()


WAYS = (
    # is inline, calls over HTTP in a trip, how, with a state folder
    (True, 1, by_runsync, "inline workers, runsync", False),
    (True, 2, by_run, "inline workers, run and status", False),
    (False, 3, by_runsync, "HTTP workers, runsync", False),
    (False, 4, by_run, "HTTP workers, run and status", False),
    (False, 4, by_run, "HTTP workers, run and status, `--state`", True),
)


def main(jobs: int, rounds: int) -> int:
    """Measure each way, and print the table."""
    title = f"{jobs} jobs, {rounds} rounds, {CLIENTS} clients, {ENDPOINTS} endpoints with a worker each"
    lines = [
        f"| {title} | calls a trip | median trips/s | min | max | emulator CPU ms a trip | goal {GOAL_PER_S:,}/s |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    is_met = False
    for is_inline, calls, trip, name, is_kept in WAYS:
        with TemporaryDirectory() as folder, emulator(is_inline, folder if is_kept else "") as load:
            uvloop.run(one_round(load, jobs // 4, trip))  # warms up
            found = [uvloop.run(one_round(load, jobs, trip)) for _ in range(rounds)]
        per_s = [one.per_s for one in found]
        median, cpu_ms = statistics.median(per_s), statistics.median(one.cpu_ms for one in found)
        is_met |= is_inline and median >= GOAL_PER_S
        verdict = "met" if median >= GOAL_PER_S else "MISSED"
        lines.append(
            f"| {name} | {calls} | {median:.0f} | {min(per_s):.0f} | {max(per_s):.0f} | {cpu_ms:.2f} | {verdict} |"
        )
    lines += ["", f"Load average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores."]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if is_met else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve_emulator(sys.argv[2] == "1", sys.argv[3])
    numbers = [int(text) for text in sys.argv[1:]]
    sys.exit(main(*(numbers + [5000, 5][len(numbers) :])))
