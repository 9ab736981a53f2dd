"""Time `status`, `audit` and `diagnose` on an account of fifty endpoints: `python -m benchmarks.operate [RUNS]`.

Whole processes, from start to exit. The account is a process of its own: fifty endpoints with a worker, a template and
a volume each, and ten jobs in every history. Exit status 1 when a median misses its goal, or when a command takes more
management calls than RunPod's OpenAPI shows for a minute (60, read 2026-11-23).
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from factory.emulator.runpod.app import create_runpod
from factory.emulator.runpod.box import Box
from factory.emulator.runpod.catalogue import Catalogue
from factory.emulator.runpod.clock import RealClock
from factory.emulator.runpod.entities import Container, Endpoint, Person, Template
from factory.emulator.runpod.launch_inline import InlineLauncher
from factory.emulator.serve import serve

ENDPOINTS, JOBS, GOAL_S, CALLS_PER_MINUTE = 50, 10, 2.0, 60
COMMANDS = (("status",), ("audit",), ("diagnose", "model-07"))
APIS = ("rest", "graphql")


def main(runs: int) -> int:
    """Time all of it in turns, and print the table."""
    rows, is_met = [], True
    with tempfile.TemporaryDirectory() as home, account() as url:
        for api in APIS:
            environ = {
                name: value for name, value in os.environ.items() if not name.startswith(("FACTORY_", "RUNPOD_"))
            }
            environ |= {"RUNPOD_API": api, "RUNPOD_API_BASE_URL": url, "RUNPOD_ENDPOINT_BASE_URL": f"{url}/v2"}
            environ |= {"RUNPOD_API_KEY": "rpa_bench", "FACTORY_HOME": home, "HF_ENDPOINT": url}
            for command in COMMANDS:
                run_s(command, environ, home)
                before = calls(url)
                cpu_before = resource.getrusage(resource.RUSAGE_CHILDREN)
                times = [run_s(command, environ, home) for _ in range(runs)]
                cpu = resource.getrusage(resource.RUSAGE_CHILDREN)
                cpu_s = (cpu.ru_utime + cpu.ru_stime - cpu_before.ru_utime - cpu_before.ru_stime) / runs
                asked = (calls(url) - before) / runs
                median = statistics.median(times)
                is_met &= median <= GOAL_S and asked <= CALLS_PER_MINUTE
                cells = (f"`factory {command[0]}`, {api}", median, min(times), max(times), GOAL_S, cpu_s, asked)
                rows.append("| {} | {:.2f} | {:.2f} | {:.2f} | {:.2f} | {:.2f} | {:.0f} |".format(*cells))
    sys.stdout.write(
        f"| {ENDPOINTS} endpoints, {runs} runs | median s | min s | max s | goal s | its CPU s | management calls |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n" + "\n".join(rows) + "\n"
        f"\nLoad average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.\n"
    )
    return 0 if is_met else 1


def run_s(command: tuple[str, ...], environ: dict[str, str], folder: str) -> float:
    """Return the seconds of one run; a failure ends the benchmark (a finding of `diagnose` is none)."""
    started = time.perf_counter()
    arguments = [sys.executable, "-m", "factory", *command, "--json"]
    done = subprocess.run(arguments, env=environ, cwd=folder, capture_output=True, text=True)
    took_s = time.perf_counter() - started
    if not done.stdout.strip() or (done.returncode and command[0] != "diagnose"):
        sys.exit(f"{command[0]}: exit status {done.returncode}: {done.stderr[-500:]}")
    return took_s


def calls(url: str) -> int:
    """Return how many management calls the account has had: REST v2 and GraphQL, not the job API."""
    log = httpx.get(f"{url}/_emulator/calls", trust_env=False).raise_for_status().json()
    return sum(_is_management(call["path"].split("/")) for call in log)


def _is_management(parts: list[str]) -> bool:
    """Is it REST v2's or GraphQL's path? The job API's is `/v2/ENDPOINT/WORD`, of five words that we send."""
    is_job = len(parts) > 3 and parts[3] in ("health", "requests", "status", "run", "runsync")
    return parts[1] == "graphql" or (parts[1] == "v2" and not is_job)


# --- the account, in a process of its own ----------------------------------------------------------------------------
@contextmanager
def account() -> Iterator[str]:
    """Serve the account while the block runs, and give its URL once every endpoint has a worker and a history."""
    command = [sys.executable, "-m", "benchmarks.operate", "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            if not url:
                sys.exit("the account did not start")
            while not _is_ready(url):
                time.sleep(0.2)
            yield url
        finally:
            process.terminate()


def _is_ready(url: str) -> bool:
    state = httpx.get(f"{url}/_emulator/state", trust_env=False).raise_for_status().json()
    return all(one["jobs"]["completed"] == JOBS and one["workers"] for one in state["endpoints"])


def serve_account() -> None:
    """Serve the account until it is ended."""
    app = create_runpod(
        clock=RealClock(),
        launcher=InlineLauncher(),
        person=Person(worker_quota=3 * ENDPOINTS),
        catalogue=Catalogue.snapshot(),
    )
    fill(app.state.box)
    serve(app, on_ready=_say)


def _say(url: str) -> None:
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()


def fill(box: Box) -> None:
    """Make fifty endpoints, each with a template, a volume and jobs."""
    for number in range(ENDPOINTS):
        name = f"model-{number:02}"
        container = Container(f"org/{name}:1", env={"MODEL": name})
        volume = box.world.create_volume(name, 50, "EU-RO-1")
        template = box.world.create_template(Template("", name, container, is_serverless=True))
        endpoint = box.world.create_endpoint(
            Endpoint(
                *("", name, "QUEUE", container),
                template_id=template.id,
                pools=["ADA_24"],
                workers_min=1,
                volume_ids=[volume.id],
            )
        )
        for job in range(JOBS):
            box.jobs.submit(endpoint.id, {"input": {"number": job}}, is_sync=False)


if __name__ == "__main__":
    if "--serve" in sys.argv:
        serve_account()
    else:
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
