"""What `python -m worker_runtime` does without a queue: `--check`, `--schema` and `--test-input`."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from worker_runtime import contract, recipe, sdk, settings, start
from worker_runtime.adapter import Adapter, Surroundings
from worker_runtime.errors import WorkerError
from worker_runtime.events import EventLog
from worker_runtime.handler_thread import HandlerThread
from worker_runtime.progress import Progress
from worker_runtime.serve import output_rules


def _print(value: object) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


def check() -> int:
    """Print one JSON line: `ok`, and what is here or what is wrong."""
    try:
        environment = settings.read()
        found = recipe.load(environment.recipe)
        version = sdk.load().version
        start.construct_unloaded(found, environment, EventLog(sys.stderr))
    except WorkerError as error:
        _print({"ok": False, **error.as_fields()})
        return 1
    models = {model.key: model.placement for model in found.models}
    handler = found.handler.name or found.handler.file
    _print({"ok": True, "recipe": found.name, "handler": handler, "models": models, "runpod": version})
    return 0


def schema() -> int:
    """Print the JSON Schema of the handler's input; `{}`, which allows anything, when it has none."""
    try:
        environment = settings.read()
        model = contract.input_model(
            start.construct_unloaded(recipe.load(environment.recipe), environment, EventLog(sys.stderr))
        )
    except WorkerError as error:
        _print({"error": str(error)})
        return 1
    _print(model.model_json_schema() if model else {})
    return 0


def run_one(file: str, started: float) -> int:
    """Run the job in a file and print `{"output": …}` or `{"error": …}`; events go to stderr."""
    try:
        job = json.loads(sys.stdin.read() if file == "-" else Path(file).read_bytes())
        if not isinstance(job, dict) or "input" not in job:
            raise ValueError('it has no "input"')
    except (OSError, ValueError) as error:
        _print({"error": f'input_invalid: {file} is no job ({error}); write {{"input": …}}'})
        return 1
    try:
        environment = settings.read()
    except WorkerError as error:
        _print({"error": str(error)})
        return 1
    log = EventLog(sys.stderr, secrets=environment.secrets)
    thread, progress = HandlerThread(), Progress(log)
    startup = start.StartUp(environment, log, progress, started)
    startup.begin(thread)
    startup.done.wait()
    if startup.failure is not None:
        _print({"error": str(startup.failure)})
        return 1
    rules = output_rules(environment)
    around = Surroundings(log, thread, rules, environment.jobs_folder, environment.job_s, progress)
    output = asyncio.run(Adapter(startup.handler, around).run({"id": "test-input", **job}))
    has_failed = isinstance(output, dict) and "error" in output
    _print({"error": output["error"]} if has_failed else {"output": output})
    return 1 if has_failed else 0
