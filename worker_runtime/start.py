"""The road from the environment to a handler that can answer: recipe, import, weights, load."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker_runtime import bootstrap, contract, recipe
from worker_runtime.errors import StartError, WorkerError
from worker_runtime.events import EventLog
from worker_runtime.input_rules import AllowList, InputRules
from worker_runtime.inputs import MediaReader
from worker_runtime.recipe import WorkerRecipe
from worker_runtime.settings import Settings


def construct(
    handler: type[Any], found: WorkerRecipe, settings: Settings, folders: Mapping[str, Path], log: EventLog
) -> Any:
    """Construct the handler with what the recipe says. Raises OptionsInvalid and HandlerLoadFailed."""
    return contract.make(
        handler,
        options=dict(found.handler.options),
        models=dict(folders),
        dtypes={model.key: model.load_dtype for model in found.models},
        media=MediaReader(
            InputRules(max_file_bytes=settings.max_input_bytes, allow=AllowList.parse(settings.input_allow))
        ),
        tell=log.tell,
    )


def construct_unloaded(found: WorkerRecipe, settings: Settings, log: EventLog) -> Any:
    """Import and construct the handler without weights: the models' folders are those that they will have."""
    handler = contract.find(found.handler, settings.recipe.parent)
    return construct(handler, found, settings, {m.key: bootstrap.folder(m, settings) for m in found.models}, log)


def bring_up(settings: Settings, log: EventLog, started: float) -> Any:
    """Return the loaded handler and tell each phase; the first began at `started`. Raises StartError."""
    with log.phase("import", since=started):
        found = recipe.load(settings.recipe)
        handler_class = contract.find(found.handler, settings.recipe.parent)
    with log.phase("weights"):
        folders = bootstrap.prepare(found.models, settings, log)
    with log.phase("load"):
        handler = construct(handler_class, found, settings, folders, log)
        contract.load(handler, next(iter(folders.values()), None))
    return handler


def try_bring_up(settings: Settings, log: EventLog, started: float) -> tuple[Any, WorkerError | None]:
    """Return the handler, or None and the error that every job will be answered with; tell of the error."""
    try:
        return bring_up(settings, log, started), None
    except StartError as error:
        failure = error
    except Exception as error:  # a bug of ours must be seen by the jobs as well
        failure = StartError(f"{type(error).__name__}: {error}", fix="report it with the worker's log")
        log.tell("traceback", text=traceback.format_exc()[-4000:])
    log.failed(failure)
    return None, failure
