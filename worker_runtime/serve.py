"""Serving RunPod's queue, or the SDK's local modes, until the worker is stopped."""

from __future__ import annotations

import threading
import time

from worker_runtime import failures, sdk, settings
from worker_runtime.adapter import Surroundings
from worker_runtime.children import die_with_worker, end_at_once
from worker_runtime.errors import WorkerError
from worker_runtime.events import EventLog
from worker_runtime.failed_start import FailedStart
from worker_runtime.handler_thread import HandlerThread
from worker_runtime.job_folder import JobFolder
from worker_runtime.leaving import Leaving
from worker_runtime.outputs import OutputRules
from worker_runtime.progress import Progress
from worker_runtime.service import Service
from worker_runtime.settings import Settings
from worker_runtime.start import StartUp
from worker_runtime.volume import mounted

LOCAL_FLAGS = ("--rp_serve_api", "--test_input")


def output_rules(environment: Settings) -> OutputRules:
    """Return where outputs go; FACTORY_MAX_RESULT_MB is the limit of jobs of both kinds, RunPod's own are two."""
    sizes = {}
    if environment.max_result_bytes is not None:
        sizes = dict.fromkeys(("max_result_bytes", "max_sync_result_bytes"), environment.max_result_bytes)
    return OutputRules(environment.storage, mounted(environment), allow=environment.inputs.allow, **sizes)


def serve(loaded: sdk.Sdk | WorkerError, rest: list[str], started: float) -> int:
    """Give the handler, or the reason why there is none, to the SDK. Return the exit code."""
    die_with_worker()
    failure: WorkerError | None = None
    try:
        environment = settings.read()
    except WorkerError as error:
        environment, failure = Settings(), error
    log = EventLog(secrets=settings.secrets())
    if failure is not None:
        log.failed(failure)
    if isinstance(loaded, WorkerError):
        report = failures.record(loaded, environment, log, phase="import")
        log.failed(loaded, phase="import", **({"report": str(report)} if report else {}))
        return 1  # without the SDK there is no queue to join
    return _Worker(environment, log, loaded, rest, started).serve(failure)


class _Worker:
    """All that one worker consists of."""

    def __init__(self, environment: Settings, log: EventLog, loaded: sdk.Sdk, rest: list[str], started: float) -> None:
        self._settings = environment
        self._log = log
        self._sdk = loaded
        self._rest = rest
        self._started = started
        # What the SDK takes for local: it reads the same variable, and its own arguments.
        self._is_queue = settings.has_queue() and not any(word.startswith(LOCAL_FLAGS) for word in rest)
        self._thread = HandlerThread()
        loaded.set_log_level(environment.sdk_log_level)
        self._leaving = Leaving(log, loaded.jobs_in_progress, environment.stop_s)
        self._progress = Progress(log, loaded.post_progress if self._is_queue else None)
        self._failed = FailedStart(log, max_jobs=environment.failed_jobs, max_s=environment.failed_s)
        self._startup = StartUp(environment, log, self._progress, started, sdk=loaded if self._is_queue else None)

    def serve(self, failure: WorkerError | None) -> int:
        """Start, join the queue when it is time to, and stay there. Return the exit code."""
        code = 0
        try:
            self._begin(failure)
            self._sdk.serve(self._leaving.config, self._rest)
        except SystemExit as stopped:
            code = stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
            self._log.tell("stopped", code=code)
        finally:
            self._startup.stop()
        code = 1 if self._startup.failure is not None else code
        if not self._startup.done.is_set() or self._thread.is_busy:  # its thread would hold up an ordinary exit
            end_at_once(code)
        return code

    def _begin(self, failure: WorkerError | None) -> None:
        """Have the SDK's configuration ready, with the function that suits what is known so far."""
        around = Surroundings(
            self._log,
            self._thread,
            output_rules(self._settings),
            self._settings.jobs_folder,
            self._settings.job_s,
            self._progress,
            self._leaving.stopping,
            self._leaving.retire,
        )
        service = Service(self._startup, around, self._failed, self._progress)
        JobFolder.remove_leftovers(self._settings.jobs_folder)
        settings.skip_sdk_checks()
        config = self._leaving.config
        config.update(return_aggregate_stream=True)
        if self._is_queue:
            config["concurrency_modifier"] = self._leaving.join
        if failure is not None:
            failures.record(failure, self._settings, self._log, phase="settings")
            self._startup.fail(failure)
        else:
            self._startup.begin(self._thread)
            self._wait()
        config["handler"] = service.function(is_queue=self._is_queue)
        if self._startup.done.is_set():
            self._tell_of_end()
        else:
            threading.Thread(target=self._swap, args=(service,), name="start", daemon=True).start()

    def _wait(self) -> None:
        """Wait for the start: all of it, or until the queue must be joined."""
        if not self._is_queue:
            self._startup.done.wait()
            return
        until = self._startup.imported if self._settings.start == "lazy" else self._startup.done
        if not until.wait(self._settings.start_s - (time.perf_counter() - self._started)):
            self._log.tell("slow_start", seconds=self._settings.start_s, doing=self._startup.says())

    def _swap(self, service: Service) -> None:
        """Once the start is over, let the SDK call what is there then; it looks before each job."""
        self._startup.done.wait()
        self._leaving.config["handler"] = service.function(is_queue=self._is_queue)
        self._tell_of_end()

    def _tell_of_end(self) -> None:
        if self._startup.failure is not None:
            self._failed.begin(self._startup.failure)
        else:
            with self._log.phase("ready", since=self._started):
                pass
