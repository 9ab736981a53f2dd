"""The worker's environment: the only place that reads it.

Variables:
    FACTORY_RECIPE           the recipe in the image, default /app/recipe.json
    FACTORY_VOLUME           where the network volume is mounted, default /runpod-volume. Naming it also says that a
                             plain folder will do (a laptop); by default it must be a mount.
    FACTORY_IMAGE_MODELS     where placement `image` has its weights, default /models
    FACTORY_DISK_CACHE       where placement `disk` puts its weights, default /var/cache/huggingface
    FACTORY_MAX_RESULT_MB    largest result, default 10: RunPod refuses more from /run (20 from /runsync)
    FACTORY_MAX_INPUT_MB     largest media input, default 200
    FACTORY_INPUT_ALLOW      host:port pairs, comma-separated, whose private addresses inputs may come from
    FACTORY_FAILED_JOBS      a worker that could not start answers this many jobs, default 20,
    FACTORY_FAILED_S         or lives this many seconds, default 600, before it exits
    HF_ENDPOINT, HF_TOKEN    the Hub and a token for it
    RUNPOD_WEBHOOK_GET_JOB   set by RunPod; absent: the SDK runs locally
    OPENBLAS_NUM_THREADS     threads of numpy's matrix products, default 1
    RUNPOD_LOG_LEVEL         the SDK's log level, default INFO; at DEBUG, its own, it logs every output whole
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path

from worker_runtime.errors import SettingsError

MB = 1_000_000
RECIPE = Path("/app/recipe.json")
VOLUME = Path("/runpod-volume")
IMAGE_MODELS = Path("/models")
DISK_CACHE = Path("/var/cache/huggingface")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says."""

    recipe: Path = RECIPE
    volume: Path = VOLUME
    may_volume_be_folder: bool = False
    image_models: Path = IMAGE_MODELS
    disk_cache: Path = DISK_CACHE
    max_result_bytes: int = 10 * MB
    max_input_bytes: int = 200 * MB
    input_allow: tuple[str, ...] = ()
    failed_jobs: int = 20
    failed_s: float = 600
    hub_endpoint: str | None = None
    hub_token: str | None = field(default=None, repr=False)
    has_queue: bool = False
    sdk_log_level: str = "INFO"


def _number(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name, "")
    try:
        number = float(text) if text else default
    except ValueError:
        number = -1
    if not 0 < number < float("inf"):
        raise SettingsError(f"{name} is no positive number (found {text!r})", fix="give a number, or unset it")
    return number


def read(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings, or raise SettingsError with the variable's name and what was found."""
    return Settings(
        recipe=Path(environ.get("FACTORY_RECIPE") or RECIPE),
        volume=Path(environ.get("FACTORY_VOLUME") or VOLUME),
        may_volume_be_folder=bool(environ.get("FACTORY_VOLUME")),
        image_models=Path(environ.get("FACTORY_IMAGE_MODELS") or IMAGE_MODELS),
        disk_cache=Path(environ.get("FACTORY_DISK_CACHE") or DISK_CACHE),
        max_result_bytes=int(_number(environ, "FACTORY_MAX_RESULT_MB", 10) * MB),
        max_input_bytes=int(_number(environ, "FACTORY_MAX_INPUT_MB", 200) * MB),
        input_allow=tuple(h.strip() for h in environ.get("FACTORY_INPUT_ALLOW", "").split(",") if h.strip()),
        failed_jobs=int(_number(environ, "FACTORY_FAILED_JOBS", 20)),
        failed_s=_number(environ, "FACTORY_FAILED_S", 600),
        hub_endpoint=(environ.get("HF_ENDPOINT") or "").rstrip("/") or None,
        hub_token=environ.get("HF_TOKEN") or None,
        has_queue=bool(environ.get("RUNPOD_WEBHOOK_GET_JOB")),
        sdk_log_level=environ.get("RUNPOD_LOG_LEVEL") or environ.get("RUNPOD_DEBUG_LEVEL") or "INFO",
    )


def limit_threads(environ: MutableMapping[str, str] = os.environ) -> None:
    """Let numpy multiply on one thread unless told otherwise; it reads the variable when it is imported.

    OpenBLAS takes every core of the host, whatever share of them the container has, and its threads wait in a busy
    loop: on two cores that others used too, one thread took 2.4 s for what two took 25 s for (measured 2026-11-24,
    numpy 2.4.6).
    """
    environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def inherited_environment(extra: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment of a program that a job runs: the worker's own without the key to RunPod's queue."""
    own = {name: value for name, value in environ.items() if name != "RUNPOD_AI_API_KEY"}
    return {**own, **extra}
