"""`python -m worker_runtime`: settings → start → RunPod's SDK.

    --check             validate recipe.json, import the SDK and the handler, print one JSON line; no weights
    --schema            print the JSON Schema of the handler's input
    --test-input FILE   bring the weights, load, run the one job in FILE (`-`: stdin), print its JSON

Anything else is the SDK's own: --rp_serve_api, --rp_api_host, --rp_api_port, --test_input JSON, --rp_log_level.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import signal
import sys
import threading
import time
from types import FrameType

from worker_runtime import sdk
from worker_runtime.errors import WorkerError


def main(argv: list[str], started: float) -> int:
    """Run what the arguments ask for and return the exit code. `started` is a `time.perf_counter()`."""
    parser = argparse.ArgumentParser(prog="worker_runtime", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="validate recipe.json and import the handler")
    mode.add_argument("--schema", action="store_true", help="print the JSON Schema of the handler's input")
    mode.add_argument("--test-input", metavar="FILE", help='run one job, {"input": …}, on the spot')
    ours, rest = parser.parse_known_args(argv)
    if not (ours.check or ours.schema or ours.test_input is not None):
        return _serve(rest, started)
    from worker_runtime import on_the_spot, settings

    settings.prepare_libraries()
    if ours.check:
        return on_the_spot.check()
    return on_the_spot.schema() if ours.schema else on_the_spot.run_one(ours.test_input, started)


def _exit_on_sigterm(signum: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signum)


def _serve(rest: list[str], started: float) -> int:
    """Import the SDK and, beside it, our own modules; then serve."""
    # The kernel gives PID 1 no default action for SIGTERM: without this a start could not be stopped.
    signal.signal(signal.SIGTERM, _exit_on_sigterm)
    gc.disable()  # what is imported stays: looking through it for garbage takes 2 to 3 % (measured 2026-11-24)
    is_over = threading.Event()
    beside = threading.Thread(target=_import_ours, args=(is_over,), name="import", daemon=True)
    beside.start()
    try:
        loaded: sdk.Sdk | WorkerError = sdk.load()
    except WorkerError as error:
        loaded = error
    is_over.set()
    beside.join()
    gc.enable()
    from worker_runtime import settings
    from worker_runtime.serve import serve

    settings.prepare_libraries()
    return serve(loaded, rest, started)


def _import_ours(is_over: threading.Event) -> None:
    """Import our modules while the SDK's import waits.

    Two thirds of its time it waits for a program that py-cpuinfo asks what CPU this is (runpod 1.12.0, measured
    2026-11-24). No package of more than one module is imported on both sides, so neither meets a half of the other's.
    """
    while "cpuinfo" not in sys.modules and not is_over.wait(0.005):
        pass
    importlib.import_module("worker_runtime.serve")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], time.perf_counter()))
