"""The road from the environment to a handler that can answer: fitness, recipe, import, weights, load.

It is taken in the handler's thread, so that the queue can be joined meanwhile.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from worker_runtime import bootstrap, contract, failures, fitness, recipe
from worker_runtime.errors import StartError, WorkerError
from worker_runtime.events import EventLog, Phase
from worker_runtime.handler_thread import HandlerThread
from worker_runtime.progress import Progress
from worker_runtime.recipe import WorkerRecipe
from worker_runtime.sdk import Sdk
from worker_runtime.settings import Settings
from worker_runtime.timing import TimedMedia

STOP_S = 3.0  # what a start that is told to stop may take to leave its lease and its files in order
SAYS: dict[Phase, str] = {
    "import": "importing the handler",
    "weights": "looking for the weights",
    "load": "loading the model",
    "ready": "ready",
}


def construct(
    handler: type[Any],
    found: WorkerRecipe,
    settings: Settings,
    folders: Mapping[str, Path],
    log: EventLog,
    progress: Progress,
) -> Any:
    """Construct the handler with what the recipe says. Raises OptionsInvalid and HandlerLoadFailed."""
    return contract.make(
        handler,
        options=dict(found.handler.options),
        models=dict(folders),
        dtypes={model.key: model.load_dtype for model in found.models},
        media=TimedMedia(settings.inputs),
        tell=log.tell,
        progress=progress,
    )


def construct_unloaded(found: WorkerRecipe, settings: Settings, log: EventLog) -> Any:
    """Import and construct the handler without weights: the models' folders are those that they will have."""
    handler = contract.find(found.handler, settings.recipe.parent)
    folders = {model.key: bootstrap.folder(model, settings) for model in found.models}
    return construct(handler, found, settings, folders, log, Progress(log))


class StartUp:
    """The start of one worker. `sdk` is given when it is to serve RunPod's queue: then the machine must be fit.

    `imported` is set when the handler's class is known, or will never be; `done` when it can answer, or never will.
    """

    def __init__(
        self, settings: Settings, log: EventLog, progress: Progress, started: float, *, sdk: Sdk | None = None
    ) -> None:
        self._settings = settings
        self._log = log
        self._progress = progress
        self._started = started
        self._sdk = sdk
        self._phase: Phase = "import"
        self._arriving = ""
        self._future: Future[Any] | None = None
        self._thread: HandlerThread | None = None
        self.imported = threading.Event()
        self.done = threading.Event()
        self.handler_class: type[Any] | None = None
        self.handler: Any = None
        self.failure: WorkerError | None = None

    def begin(self, thread: HandlerThread) -> None:
        """Start in that thread."""
        self._thread = thread
        self._future = thread.submit(self._run)

    def fail(self, error: WorkerError) -> None:
        """Be over before it began: the settings are wrong already."""
        self.failure = error
        self.imported.set()
        self.done.set()

    def stop(self) -> None:
        """End a start that is under way, and give it a moment to leave all in order."""
        if self._thread is not None and self._future is not None and not self.done.is_set():
            self._thread.interrupt(self._future)
            self.done.wait(STOP_S)

    def says(self) -> str:
        """Return what it does now: `downloading 34.2 of 69.0 GB, 9 min left`, `loading the model`."""
        return self._arriving if self._phase == "weights" and self._arriving else SAYS[self._phase]

    def on_progress(self, done_bytes: int, total_bytes: int, left_s: float | None) -> None:
        """Take how far the weights are. Any thread may tell it."""
        scale, unit = (1e9, "GB") if total_bytes >= 1e9 else (1e6, "MB")
        self._arriving = f"downloading {done_bytes / scale:.1f} of {total_bytes / scale:.1f} {unit}"
        if left_s is not None:
            self._arriving += f", {_duration(left_s)} left"

    def _run(self) -> None:
        try:
            self.handler = self._bring_up()
        except StartError as error:
            self._fail(error, error.__cause__)
        except (Exception, SystemExit) as error:  # a bug of ours, or an exit of the handler's, must be seen by the jobs
            fix = "report it with the worker's log"
            self._fail(StartError(f"the start raised {type(error).__name__}: {error}", fix=fix), error)
        finally:
            self.imported.set()
            self.done.set()

    def _bring_up(self) -> Any:
        """Return the loaded handler and tell each phase. Raises StartError."""
        settings, log = self._settings, self._log
        with log.phase("import", since=self._started):
            if self._sdk is not None:
                fitness.check_system(settings.fitness, settings.queue_url)
            found = recipe.load(settings.recipe)
            self.handler_class = contract.find(found.handler, settings.recipe.parent)
            self._check_gpu()
            self.imported.set()
        self._phase = "weights"
        with log.phase("weights"):
            folders = bootstrap.prepare(found.models, settings, log, recipe=found.name, on_progress=self.on_progress)
        self._phase = "load"
        with log.phase("load"):
            handler = construct(self.handler_class, found, settings, folders, log, self._progress)
            contract.load(handler, next(iter(folders.values()), None))
        self._phase = "ready"
        return handler

    def _check_gpu(self) -> None:
        if self._sdk is None:
            return
        if self._settings.fitness.has_gpu_checks:
            fitness.run_checks(self._sdk.gpu_checks())
        fitness.run_checks((check.__name__, check) for check in self._sdk.take_checks())

    def _fail(self, error: StartError, cause: BaseException | None) -> None:
        trace = "".join(traceback.format_exception(cause))[-4000:] if cause else ""
        more: dict[str, object] = {"phase": self._phase, **({"traceback": trace} if trace else {})}
        path = failures.record(error, self._settings, self._log, **more)
        self._log.failed(error, **more, **({"report": str(path)} if path else {}))
        self.failure = error


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
