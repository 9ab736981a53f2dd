"""`python -m worker_runtime`: settings → bootstrap → handler → RunPod's SDK.

    --check             validate recipe.json, import the SDK and the handler, print one JSON line; no weights
    --schema            print the JSON Schema of the handler's input
    --test-input FILE   bring the weights, load, run the one job in FILE (`-`: stdin), print its JSON

Anything else is the SDK's own: --rp_serve_api, --rp_api_host, --rp_api_port, --test_input JSON, --rp_log_level.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from worker_runtime import contract, recipe, settings, start
from worker_runtime.adapter import Adapter, is_streaming
from worker_runtime.errors import HandlerImportFailed, StartError, WorkerError
from worker_runtime.events import EventLog
from worker_runtime.failed_start import FailedStart
from worker_runtime.settings import Settings


def main(argv: list[str], started: float) -> int:
    """Run what the arguments ask for and return the exit code. `started` is a `time.perf_counter()`."""
    parser = argparse.ArgumentParser(prog="worker_runtime", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="validate recipe.json and import the handler")
    mode.add_argument("--schema", action="store_true", help="print the JSON Schema of the handler's input")
    mode.add_argument("--test-input", metavar="FILE", help='run one job, {"input": …}, on the spot')
    ours, rest = parser.parse_known_args(argv)
    settings.limit_threads()
    if ours.check:
        return check()
    if ours.schema:
        return schema()
    if ours.test_input is not None:
        return run_one(ours.test_input, started)
    return serve(rest, started)


def _print(value: object) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


def import_sdk() -> Any:
    """Import RunPod's SDK (1.7 to 4.5 s, measured 2026-11-23), or raise HandlerImportFailed."""
    try:
        import runpod
    except Exception as error:
        raise HandlerImportFailed(
            f"importing the runpod SDK raised {type(error).__name__}: {error}",
            fix="install worker_runtime/requirements.txt, and no package in image.pip that contradicts it",
        ) from error
    return runpod


def check() -> int:
    """Print one JSON line: `ok`, and what is here or what is wrong."""
    try:
        environment = settings.read()
        found = recipe.load(environment.recipe)
        sdk = import_sdk()
        start.construct_unloaded(found, environment, EventLog(sys.stderr))
    except WorkerError as error:
        _print({"ok": False, **error.as_fields()})
        return 1
    models = {model.key: model.placement for model in found.models}
    handler = found.handler.name or found.handler.file
    _print({"ok": True, "recipe": found.name, "handler": handler, "models": models, "runpod": sdk.__version__})
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
    log = EventLog(sys.stderr)
    try:
        job = json.loads(sys.stdin.read() if file == "-" else Path(file).read_bytes())
        if not isinstance(job, dict) or "input" not in job:
            raise ValueError('it has no "input"')
    except (OSError, ValueError) as error:
        _print({"error": f'input_invalid: {file} is no job ({error}); write {{"input": …}}'})
        return 1
    try:
        environment = settings.read()
        handler = start.bring_up(environment, log, started)
    except StartError as error:
        _print({"error": str(error)})
        return 1
    adapter = Adapter(handler, log, max_result_bytes=environment.max_result_bytes)
    output = asyncio.run(adapter.run({"id": "test-input", **job}))
    has_failed = isinstance(output, dict) and "error" in output
    _print({"error": output["error"]} if has_failed else {"output": output})
    return 1 if has_failed else 0


def _exit_on_sigterm(signum: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signum)


def serve(rest: list[str], started: float) -> int:
    """Bring the handler up and give it, or the reason why it isn't up, to the SDK, which serves until it is stopped."""
    log = EventLog()
    # The kernel gives PID 1 no default action for SIGTERM: without this a download could not be stopped.
    signal.signal(signal.SIGTERM, _exit_on_sigterm)
    failure: WorkerError | None = None
    handler: Any = None
    try:
        environment = settings.read()
    except WorkerError as error:
        environment, failure = Settings(), error
        log.failed(error)
    try:
        sdk = import_sdk()
    except WorkerError as error:
        log.failed(error)  # without the SDK there is no queue to join
        return 1
    if failure is None:
        handler, failure = start.try_bring_up(environment, log, started)
    sdk.serverless.log.set_level(environment.sdk_log_level)
    sys.argv = [sys.argv[0], *rest]  # the SDK reads its own arguments there
    function = _job_function(handler, failure, environment, log, has_local_flag=_has_local_flag(rest))
    if failure is None:
        with log.phase("ready", since=started):
            pass
    try:
        sdk.serverless.start({"handler": function, "return_aggregate_stream": True})
    except SystemExit as stopped:
        if failure is None:
            raise
        log.tell("stopped", code=stopped.code)
    return 0 if failure is None else 1


def _has_local_flag(rest: list[str]) -> bool:
    return any(argument.startswith(("--rp_serve_api", "--test_input")) for argument in rest)


def _job_function(
    handler: Any, failure: WorkerError | None, environment: Settings, log: EventLog, *, has_local_flag: bool
) -> Any:
    if failure is not None:
        failed = FailedStart(failure, log, max_jobs=environment.failed_jobs, max_s=environment.failed_s)
        failed.begin()
        return failed.answer
    adapter = Adapter(handler, log, max_result_bytes=environment.max_result_bytes)
    # The SDK's local modes lose a generator's error, so there the parts come as one list.
    is_queue = environment.has_queue and not has_local_flag
    return adapter.stream if is_queue and is_streaming(handler) else adapter.run


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], time.perf_counter()))
