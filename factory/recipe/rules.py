"""Rules that tie fields together. They read the plain data, so that they speak even when other fields are wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, TypeGuard

from factory.recipe.conditions import malformed
from factory.recipe.model import Block, Gpu, Handler
from factory.recipe.problems import nearest, quoted
from factory.recipe.shorthand import Path

Found = tuple[Path, str, str]  # where, what is wrong, the fix

HANDLERS = (
    "echo",
    "embeddings",
    "text_generation",
    "transcription",
    "image_generation",
    "video_generation",
    "command",
)

# What RunPod itself puts into a worker's environment (runpod 1.12.0 and RunPod's documentation, read 2026-11-23).
# Other RUNPOD_ names are settings that a recipe may well set, e.g. RUNPOD_INIT_TIMEOUT.
_SET_BY_RUNPOD = re.compile(
    r"RUNPOD_(WEBHOOK_\w+|AI_API_KEY|API_KEY|POD_ID|POD_HOSTNAME|ENDPOINT_ID|ENDPOINT_SECRET|PING_INTERVAL|DC_ID"
    r"|VOLUME_ID|GPU_TYPE_ID|REALTIME_\w+)"
)


def broken(data: Mapping[str, Any]) -> Iterator[Found]:
    """Yield every broken rule of a recipe's plain data, in no order."""
    for rule in _RULES:
        yield from rule(data)


def _block(data: Any, *path: str) -> Mapping[str, Any]:
    for step in path:
        data = data.get(step) if isinstance(data, Mapping) else None
    return data if isinstance(data, Mapping) else {}


def _blocks(data: Mapping[str, Any], *path: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    items = _block(data, *path[:-1]).get(path[-1])
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, Mapping):
            yield index, item


def _has_known_keys(data: Any, block: type[Block]) -> TypeGuard[Mapping[str, Any]]:
    """Is it a block without unknown keys? One of those may be the misspelt key that a rule would miss."""
    return isinstance(data, Mapping) and data.keys() <= block.model_fields.keys()


def _gpu(data: Mapping[str, Any]) -> Iterator[Found]:
    if "gpu" in data and data["gpu"] is None:
        yield ("gpu",), "is empty", "give it pools or min_vram_gb, or remove the key for a worker without a GPU"
    gpu = data.get("gpu")
    if _has_known_keys(gpu, Gpu) and not gpu.get("pools") and gpu.get("min_vram_gb") is None:
        yield ("gpu",), "needs at least one of pools, min_vram_gb", "write e.g. 'gpu: AMPERE_48'"


def _handler(data: Mapping[str, Any]) -> Iterator[Found]:
    handler = _block(data, "handler")
    name, file = handler.get("name"), handler.get("file")
    if name is None and file is None and _has_known_keys(data.get("handler"), Handler):
        yield ("handler",), "needs one of name, file", "write e.g. 'handler: echo' or 'handler: my_handler.py'"
    elif name is not None and file is not None:
        yield ("handler", "file"), "stands beside name", "keep one of name and file"
    if isinstance(name, str) and name.endswith(".py"):
        yield ("handler", "name"), f"expected a built-in handler, found {quoted(name)}", "write it as 'file'"
    elif isinstance(name, str) and name not in HANDLERS:
        near = nearest(name, HANDLERS)
        fix = f"did you mean '{near}'?" if near else f"one of {', '.join(HANDLERS)}, or a file like 'my_handler.py'"
        yield ("handler", "name"), f"no built-in handler {quoted(name)}", fix


def _files(data: Mapping[str, Any]) -> Iterator[Found]:
    for path in (("handler", "file"), ("image", "template")):
        value = _block(data, path[0]).get(path[1])
        if not isinstance(value, str):
            continue
        parts = PurePosixPath(value).parts
        if not parts or value.startswith(("/", "~")) or ".." in parts or "\\" in value or ":" in parts[0]:
            yield path, f"expected a path inside the recipe's folder, found {quoted(value)}", "put the file beside it"
        elif path[1] == "file" and not value.endswith(".py"):
            yield path, f"expected a Python file, found {quoted(value)}", "write e.g. 'my_handler.py'"


def _workers(data: Mapping[str, Any]) -> Iterator[Found]:
    workers = _block(data, "endpoint", "workers")
    low, high = workers.get("min", 0), workers.get("max", 3)
    if _is_number(low) and _is_number(high) and low > high:
        where: Path = ("endpoint", "workers", "min" if "min" in workers else "max")
        yield where, f"min ({low}) is above max ({high})", "raise max, or lower min"


def _scaler(data: Mapping[str, Any]) -> Iterator[Found]:
    scaler = _block(data, "endpoint", "scaler")
    kind, value = scaler.get("type", "queue_delay"), scaler.get("value", 4)
    where: Path = ("endpoint", "scaler", "value" if "value" in scaler else "type")
    if not _is_number(value) or value <= 0:
        return
    if kind == "request_count" and (value < 1 or value != int(value)):
        yield where, f"request_count needs a whole number of jobs per worker, found {value}", "write e.g. 1"
    # RunPod's REST v2, read 2026-11-23: queueDelay is at least 0.5.
    elif kind == "queue_delay" and value < 0.5:
        yield where, f"{value} is below 0.5 (seconds)", "write at least 0.5"


def _models(data: Mapping[str, Any]) -> Iterator[Found]:
    seen: dict[str, str] = {}
    for index, model in _blocks(data, "models"):
        repo, name = model.get("repo"), model.get("name")
        if not isinstance(repo, str):
            continue
        key = name if isinstance(name, str) else repo.rpartition("/")[2].lower()
        if key in seen:
            where: Path = ("models", index, "name" if isinstance(name, str) else "repo")
            yield where, f"a second model named {quoted(key)} (the first is {seen[key]})", "give it another 'name'"
        seen.setdefault(key, repo)


def _sources(data: Mapping[str, Any]) -> Iterator[Found]:
    seen: set[str] = set()
    for index, source in _blocks(data, "image", "git"):
        url, name = source.get("url"), source.get("name")
        if not isinstance(url, str):
            continue
        folder = name if isinstance(name, str) else url.rstrip("/").rpartition("/")[2].removesuffix(".git")
        if folder in seen:
            where: Path = ("image", "git", index, "name" if isinstance(name, str) else "url")
            yield where, f"a second repository in /opt/src/{folder}", "give it another 'name'"
        seen.add(folder)


def _environment(data: Mapping[str, Any]) -> Iterator[Found]:
    for path in (("env",), ("image", "env")):
        for name in _block(data, *path):
            if _SET_BY_RUNPOD.fullmatch(name):
                yield (*path, name), "RunPod sets this variable itself", "remove it"
    secrets = data.get("secrets")
    seen: set[str] = set()
    for index, secret in enumerate(secrets if isinstance(secrets, list) else ()):
        if not isinstance(secret, str):
            continue
        if secret in seen:
            yield ("secrets", index), f"{secret} is there twice", "keep one"
        elif secret in _block(data, "env") or secret in _block(data, "image", "env"):
            yield ("secrets", index), f"{secret} is in env too", "keep it in secrets only"
        elif _SET_BY_RUNPOD.fullmatch(secret):
            yield ("secrets", index), "RunPod sets this variable itself", "remove it"
        seen.add(secret)


def _tests(data: Mapping[str, Any]) -> Iterator[Found]:
    seen: set[str] = set()
    for index, test in _blocks(data, "tests"):
        name, expect = test.get("name"), test.get("expect")
        if isinstance(name, str) and name in seen:
            yield ("tests", index, "name"), f"a second test named {quoted(name)}", "give it another name"
        if isinstance(name, str):
            seen.add(name)
        if isinstance(expect, Mapping):
            for path, what, fix in malformed(expect):
                yield ("tests", index, "expect", *path), what, fix


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_RULES: tuple[Callable[[Mapping[str, Any]], Iterator[Found]], ...] = (
    _gpu,
    _handler,
    _files,
    _workers,
    _scaler,
    _models,
    _sources,
    _environment,
    _tests,
)
