"""Time `factory plan` of fifty recipes on the emulator: `PYTHONPATH=tests/support python -m benchmarks.plan [RUNS]`.

Whole processes, from start to exit. The emulator (account and Hub) and the registry are processes of their own. Exit
status 1 when the median misses the goal, or when the account is asked more than once per list.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from registries import pusher, running_registry

from benchmarks.timing import Taken, load, table, timed

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
            checked(timed(command, environ))
            before = calls(exports["RUNPOD_API_BASE_URL"])
            taken = [checked(timed(command, environ)) for _ in range(runs)]
            asked = (calls(exports["RUNPOD_API_BASE_URL"]) - before) / runs
    is_few = asked <= MOST_CALLS
    lines = table(f"`factory plan` ({RECIPES} recipes)", taken, GOAL_S)
    verdict = "met" if is_few else "MISSED"
    said = f"Calls to the account in each: {asked:g} (at most {MOST_CALLS}): {verdict}."
    sys.stdout.write("\n".join([*lines, "", said, load()]) + "\n")
    return 1 if "MISSED" in lines[-1] or not is_few else 0


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


def checked(run: Taken) -> Taken:
    """Return a run; its exit code must say that something would change, or what is in the way."""
    if run.code not in (4, 86) or len(json.loads(run.out)) != RECIPES:
        sys.exit(f"exit status {run.code}: {run.err[-500:]}")
    return run


def calls(url: str) -> int:
    """Return how many calls the account has had."""
    log = httpx.get(f"{url}/_emulator/calls", trust_env=False).raise_for_status().json()
    return sum(call["path"].startswith(("/v2/", "/graphql")) for call in log)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
