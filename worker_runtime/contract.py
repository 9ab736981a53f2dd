"""The handler contract, and how a recipe's handler is found.

A handler is a class `Handler`. It is constructed with those of these keywords that its `__init__` takes: `options` (the
recipe's), `models` (key → folder), `dtypes` (key → the recipe's dtype or None), `media` (a reader of media inputs),
`progress` (shows the caller how far the job is), `tell` (writes an event to the log). `load(model_dir)`, if it has one,
runs once with the first model's folder (None when the recipe has no model); calling it with a job's input gives the
output. The call may be sync, async, a generator or an async generator. `load` and a sync call run in one thread that
isn't the main one. `Input`, if it has one, is the pydantic model that checks the job's input first.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ValidationError

from worker_runtime.errors import HandlerImportFailed, HandlerLoadFailed, HandlerMissing, OptionsInvalid, WorkerError
from worker_runtime.recipe import HandlerBlock, problems

FILE_MODULE = "worker_handler"  # the name under which a handler file is imported
BUILT_IN = (
    "command",
    "echo",
    "embeddings",
    "image_generation",
    "text_generation",
    "transcription",
    "video_generation",
)


def _import_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(FILE_MODULE, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise HandlerMissing(f"no handler file {path}", fix="name a Python file that lies beside the recipe")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # pydantic and dataclasses look their module up there
    sys.path.insert(0, str(path.parent))
    spec.loader.exec_module(module)
    return module


def _import(block: HandlerBlock, folder: Path) -> ModuleType:
    if block.file is not None:
        return _import_file(folder / block.file)
    if block.name not in BUILT_IN:
        near = get_close_matches(block.name or "", BUILT_IN, n=1)
        fix = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(BUILT_IN)}"
        raise HandlerMissing(f"no built-in handler {block.name!r}", fix=fix)
    module = importlib.import_module(f"worker_runtime.handlers.{block.name}")
    for library in getattr(module, "REQUIRES", ()):  # so that a missing one is seen by --check, not by the first load
        importlib.import_module(library)
    return module


def find(block: HandlerBlock, folder: Path) -> type[Any]:
    """Import the handler and return its class. `folder` is where recipe.json, and so the handler's file, lies.

    Raises HandlerMissing and HandlerImportFailed.
    """
    try:
        module = _import(block, folder)
    except WorkerError:
        raise
    except ModuleNotFoundError as error:
        raise HandlerImportFailed(
            f"the handler imports {error.name}, which the image does not have", fix="add it to the recipe's image.pip"
        ) from error
    except Exception as error:
        raise HandlerImportFailed(
            f"importing the handler raised {type(error).__name__}: {error}", fix="mend the handler's file"
        ) from error
    handler = getattr(module, "Handler", None)
    if not inspect.isclass(handler) or not any("__call__" in vars(kind) for kind in handler.__mro__):
        raise HandlerMissing(
            f"{block.file or block.name} has no class Handler that can be called",
            fix="write `class Handler:` with `def __call__(self, inputs)`",
        )
    return handler


def make(handler: type[Any], **offered: Any) -> Any:
    """Construct the handler with those keywords that it takes. Raises OptionsInvalid and HandlerLoadFailed."""
    takes = {} if handler.__init__ is object.__init__ else inspect.signature(handler).parameters
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in takes.values())
    try:
        return handler(**{name: value for name, value in offered.items() if takes_any or name in takes})
    except ValidationError as error:
        raise OptionsInvalid(f"handler.options: {problems(error)}", fix="mend them in the recipe") from error
    except WorkerError:
        raise
    except Exception as error:
        raise HandlerLoadFailed(
            f"constructing the handler raised {type(error).__name__}: {error}", fix="mend the handler's __init__"
        ) from error


def load(handler: Any, model_dir: Path | None) -> None:
    """Call the handler's `load`, if it has one. Raises HandlerLoadFailed with the exception's type and text."""
    if not hasattr(handler, "load"):
        return
    try:
        handler.load(model_dir)
    except WorkerError:
        raise
    except Exception as error:
        raise HandlerLoadFailed(
            f"the handler's load raised {type(error).__name__}: {error}", fix="see the traceback in the worker's log"
        ) from error


def input_model(handler: Any) -> type[BaseModel] | None:
    """Return the handler's `Input`, a pydantic model, or None when it takes any input."""
    found = getattr(handler, "Input", None)
    return found if inspect.isclass(found) and issubclass(found, BaseModel) else None
