"""Time `factory plan` of fifty recipes on the emulator: `PYTHONPATH=tests/support python -m benchmarks.plan [RUNS]`.

Whole processes, from start to exit. The emulator (account and Hub) and the registry are processes of their own. Exit
status 1 when the median misses the goal, or when the account is asked more than once per list.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from registries import pusher, running_registry

ROOT = Path(__file__).parent.parent
RECIPES, GOAL_S, MOST_CALLS = 50, 3.0, 9
SHIPPED = ("sdxl", "qwen", "minilm", "whisper", "mocha")


def main(runs: int) -> int:
    """Time it, and print the table."""
    with tempfile.TemporaryDirectory() as home, running_registry(Path(home) / "data") as registry:
        pusher(registry).image("base", "1")
        folder = Path(home) / "recipes"
        paths = write_recipes(folder)
        with emulator() as exports:
            environ = {**os.environ, **exports, "FACTORY_HOME": home, "RUNPOD_API_KEY": "rpa_bench"}
            environ |= {"FACTORY_REGISTRY": registry.address, "FACTORY_BASE": f"{registry.address}/base:1"}
            command = [sys.executable, "-m", "factory", "plan", *map(str, paths), "--json"]
            run_s(command, environ)
            before = calls(exports["RUNPOD_API_BASE_URL"])
            times = [run_s(command, environ) for _ in range(runs)]
            asked = (calls(exports["RUNPOD_API_BASE_URL"]) - before) / runs
    median = statistics.median(times)
    sys.stdout.write(
        f"| `factory plan` ({RECIPES} recipes), {runs} runs | median s | min s | max s | goal s | account's calls |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: |\n"
        f"| whole process | {median:.2f} | {min(times):.2f} | {max(times):.2f} | {GOAL_S:.2f} | {asked:.0f} |\n"
        f"\nLoad average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.\n"
    )
    return 0 if median <= GOAL_S and asked <= MOST_CALLS else 1


def write_recipes(folder: Path) -> list[Path]:
    """Write fifty recipes, ten of each of five shipped models, each with a name and image of its own."""
    folder.mkdir()
    paths = []
    for number in range(RECIPES):
        model = SHIPPED[number % len(SHIPPED)]
        text = (ROOT / "recipes" / f"{model}.yaml").read_text()
        text = re.sub(rf"^name: {model}$", f"name: {model}-{number}", text, flags=re.MULTILINE)
        text = text.replace(f"factory/{model}", f"factory/{model}-{number}")
        text = text.replace("handler: {file: mocha_handler.py, options: {fps: 30}}", "handler: echo")
        paths.append(folder / f"{model}-{number}.yaml")
        paths[-1].write_text(text)
    return paths


@contextmanager
def emulator() -> Iterator[dict[str, str]]:
    """Run `factory emulator` with the fixture hub, and give what it tells to export."""
    command = [sys.executable, "-m", "factory", "emulator", "--port", "0", "--workers", "none", "--worker-quota", "200"]
    command += ["--hub", str(ROOT / "tests" / "fixtures" / "hub")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            exports: dict[str, str] = {}
            assert process.stdout is not None
            while "HF_ENDPOINT" not in exports or "RUNPOD_API_BASE_URL" not in exports:
                line = process.stdout.readline()
                if not line:
                    sys.exit("the emulator did not start")
                name, _, value = line.strip().removeprefix("export ").partition("=")
                exports[name] = value.strip("'\"")
            yield exports
        finally:
            process.terminate()


def run_s(command: list[str], environ: dict[str, str]) -> float:
    """Return the seconds of one run; its exit code must say that something would change, or what is in the way."""
    started = time.perf_counter()
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    took_s = time.perf_counter() - started
    if done.returncode not in (4, 86) or len(json.loads(done.stdout)) != RECIPES:
        sys.exit(f"exit status {done.returncode}: {done.stderr[-500:]}")
    return took_s


def calls(url: str) -> int:
    """Return how many calls the account has had."""
    log = httpx.get(f"{url}/_emulator/calls", trust_env=False).raise_for_status().json()
    return sum(call["path"].startswith(("/v2/", "/graphql")) for call in log)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
