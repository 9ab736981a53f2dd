"""docs/worker.md says what the code does: every error code, variable, command and option."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from worker_runtime import contract, errors, settings
from worker_runtime.errors import JobError, StartError, WorkerError

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "worker.md").read_text()
REQUIREMENTS = Path(contract.__file__).parent / "requirements.txt"


def codes() -> set[str]:
    """Return the code of every error that can be raised."""
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, WorkerError)]
    return {kind.code for kind in kinds} - {WorkerError.code, JobError.code}


def section(title: str) -> str:
    """Return the text under a heading, down to the next of its level or above."""
    head = re.search(rf"^(#+) {re.escape(title)}$", PAGE, re.MULTILINE)
    assert head is not None, f"no heading {title}"
    end = re.search(rf"^#{{1,{len(head[1])}}} ", PAGE[head.end() :], re.MULTILINE)
    return PAGE[head.end() : head.end() + end.start()] if end else PAGE[head.end() :]


def explained(text: str) -> list[str]:
    """Return the first column of every row of three."""
    return re.findall(r"^\| `(\w+)` \| .+? \| .+? \|$", text, re.MULTILINE)


def test_every_error_code_is_explained() -> None:
    """Each code has one row with cause and fix, here or on a page beside this one, and each row here has a code."""
    here = explained(section("Error codes"))
    beside = [code for page in DOCS.glob("worker-*.md") for code in explained(page.read_text())]
    assert set(here) <= codes()
    assert len(set(here)) == len(here)
    assert codes() <= {*here, *beside}
    assert StartError.code in codes()


def test_every_variable_is_explained() -> None:
    """Each variable that settings.py reads is in the table of the environment."""
    names = set(re.findall(r"\b(?:FACTORY|HF|RUNPOD|OPENBLAS)_[A-Z_]+", inspect.getsource(settings)))
    for name in names - {"RUNPOD_AI_API_KEY", "RUNPOD_API_KEY", "RUNPOD_DEBUG_LEVEL"}:
        assert f"`{name}`" in section("Environment"), name


@pytest.mark.parametrize("name", contract.BUILT_IN)
def test_every_handler_is_explained(name: str) -> None:
    """Each built-in handler has a section that names all of its options and inputs."""
    text = section(name)
    shared = section("image_generation") + section("text_generation")  # where a table says "as …"
    for kind in _models(importlib.import_module(f"worker_runtime.handlers.{name}")):
        for field in kind.model_fields:
            assert f"`{field}`" in text + shared, f"{name}: {field}"


def _models(module: Any) -> Iterator[type[BaseModel]]:
    for found in (getattr(module, "Options", None), getattr(module.Handler, "Input", None)):
        if found is not None:
            yield found


def test_every_argument_is_explained() -> None:
    """Each mode of `python -m worker_runtime` is in the table of commands."""
    main = (Path(contract.__file__).parent / "__main__.py").read_text()
    for argument in re.findall(r'add_argument\("(--[\w-]+)"', main):
        assert argument in section("Commands"), argument


def test_requirements_are_pinned() -> None:
    """What an image installs for the runtime is pinned exactly, and the SDK is the version that was measured."""
    lines = [line for line in REQUIREMENTS.read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z_]+==[\d.]+", line) for line in lines), lines
    assert "runpod==1.12.0" in lines
    names = {line.partition("==")[0] for line in lines}
    assert {"runpod", "huggingface_hub", "pydantic"} <= names
    assert "numpy" not in names


def test_the_handlers_pins_are_those_of_the_suite() -> None:
    """The versions that the docs tell recipes to install are those that tests/handlers_torch runs with."""
    suite = (Path(__file__).parents[1] / "handlers_torch" / "requirements.txt").read_text()
    told = set(re.findall(r"`([a-z-]+==[\d.]+)`", section("Built-in handlers")))
    assert told >= {"torch==2.13.0", "diffusers==0.42.1"}
    assert told <= set(suite.splitlines())
