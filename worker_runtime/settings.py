"""The worker's environment: the only place that reads it.

docs/worker.md has the table of all variables. What begins with FACTORY_ is ours, the others are RunPod's, the Hub's and
the bucket's.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from worker_runtime.errors import SettingsError
from worker_runtime.input_rules import AllowList, InputRules
from worker_runtime.storage_settings import StorageSettings
from worker_runtime.storage_settings import from_environment as storage_from_environment

MB = 1_000_000
RECIPE = Path("/app/recipe.json")
VOLUME = Path("/runpod-volume")
IMAGE_MODELS = Path("/models")
DISK_CACHE = Path("/var/cache/factory")
START_S = 360.0
"""RunPod calls a worker unhealthy that hasn't joined the queue after 7 minutes (its documentation, 2026-08-20)."""
SECRETS = ("HF_TOKEN", "RUNPOD_AI_API_KEY", "RUNPOD_API_KEY", "BUCKET_ACCESS_KEY_ID", "BUCKET_SECRET_ACCESS_KEY")

StartMode = Literal["eager", "lazy"]


@dataclass(frozen=True, slots=True)
class FitnessRules:
    """What the machine must have. The names and defaults are those of RunPod's SDK (1.12.0, read 2026-11-24)."""

    has_system_checks: bool = True
    has_gpu_checks: bool = True
    min_memory_gb: float = 4
    min_disk_percent: float = 10
    network_s: float = 5


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says. Times in seconds; `job_s` None: only a job's own policy limits it."""

    recipe: Path = RECIPE
    volume: Path = VOLUME
    may_volume_be_folder: bool = False
    image_models: Path = IMAGE_MODELS
    disk_cache: Path = DISK_CACHE
    jobs_folder: Path = Path("/tmp/factory-jobs")  # noqa: S108
    inputs: InputRules = field(default_factory=InputRules)
    storage: StorageSettings | None = None
    max_result_bytes: int | None = None
    start: StartMode = "eager"
    start_s: float = START_S
    job_s: float | None = None
    stop_s: float = 8
    failed_jobs: int = 20
    failed_s: float = 600
    fitness: FitnessRules = field(default_factory=FitnessRules)
    hub_endpoint: str | None = None
    hub_token: str | None = field(default=None, repr=False)
    https_proxy: str | None = field(default=None, repr=False)
    no_proxy: str = ""
    fetch_s: float = 3600
    lease_s: float = 30
    queue_url: str | None = None
    worker_id: str = ""
    sdk_log_level: str = "INFO"
    secrets: tuple[str, ...] = field(default=(), repr=False)


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
        jobs_folder=Path(tempfile.gettempdir()) / "factory-jobs",
        inputs=InputRules(
            max_file_bytes=int(_number(environ, "FACTORY_MAX_INPUT_MB", 200) * MB),
            max_job_bytes=int(_number(environ, "FACTORY_MAX_INPUTS_MB", 1000) * MB),
            total_s=_number(environ, "FACTORY_INPUT_S", 120),
            allow=AllowList.parse(environ.get("FACTORY_INPUT_ALLOW", "").split(",")),
        ),
        storage=storage_from_environment(environ),
        max_result_bytes=int(_number(environ, "FACTORY_MAX_RESULT_MB", 10) * MB)
        if environ.get("FACTORY_MAX_RESULT_MB")
        else None,
        start=_start_mode(environ.get("FACTORY_START") or "eager"),
        start_s=_start_s(environ),
        job_s=_number(environ, "FACTORY_JOB_S", 1) if environ.get("FACTORY_JOB_S") else None,
        stop_s=_number(environ, "FACTORY_STOP_S", 8),
        failed_jobs=int(_number(environ, "FACTORY_FAILED_JOBS", 20)),
        failed_s=_number(environ, "FACTORY_FAILED_S", 600),
        fitness=_fitness(environ),
        hub_endpoint=(environ.get("HF_ENDPOINT") or "").rstrip("/") or None,
        hub_token=environ.get("HF_TOKEN") or None,
        https_proxy=environ.get("HTTPS_PROXY") or environ.get("https_proxy") or None,
        no_proxy=environ.get("NO_PROXY") or environ.get("no_proxy") or "",
        fetch_s=_number(environ, "FACTORY_FETCH_S", 3600),
        lease_s=_number(environ, "FACTORY_LEASE_S", 30),
        queue_url=environ.get("RUNPOD_WEBHOOK_GET_JOB") or None,
        worker_id=environ.get("RUNPOD_POD_ID", ""),
        sdk_log_level=environ.get("RUNPOD_LOG_LEVEL") or environ.get("RUNPOD_DEBUG_LEVEL") or "INFO",
        secrets=secrets(environ),
    )


def _start_mode(text: str) -> StartMode:
    if text == "eager" or text == "lazy":
        return text  # type: ignore[return-value]  # mypy 1.18 narrows no str to a Literal
    raise SettingsError(f"FACTORY_START is {text!r}", fix="set it to eager or lazy, or unset it")


def _start_s(environ: Mapping[str, str]) -> float:
    """Return the start-up limit: our own variable, else somewhat less than what RunPod was told to wait."""
    platform_s = _number(environ, "RUNPOD_INIT_TIMEOUT", START_S + 60)
    return _number(environ, "FACTORY_START_S", max(platform_s - 60, platform_s / 2))


def _fitness(environ: Mapping[str, str]) -> FitnessRules:
    return FitnessRules(
        has_system_checks=environ.get("RUNPOD_SKIP_AUTO_SYSTEM_CHECKS", "").lower() != "true",
        has_gpu_checks=environ.get("RUNPOD_SKIP_GPU_CHECK", "").lower() != "true",
        min_memory_gb=_number(environ, "RUNPOD_MIN_MEMORY_GB", 4),
        min_disk_percent=_number(environ, "RUNPOD_MIN_DISK_PERCENT", 10),
        network_s=_number(environ, "RUNPOD_NETWORK_CHECK_TIMEOUT", 5),
    )


def secrets(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the values that no log may have."""
    return tuple(environ[name] for name in SECRETS if environ.get(name))


def has_queue(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether RunPod gave this worker a queue; without one the SDK runs locally."""
    return bool(environ.get("RUNPOD_WEBHOOK_GET_JOB"))


def skip_sdk_checks(environ: MutableMapping[str, str] = os.environ) -> None:
    """Let the SDK leave out its own fitness checks: one that fails there kills the worker before any job knows why."""
    environ["RUNPOD_SKIP_AUTO_SYSTEM_CHECKS"] = "true"
    environ["RUNPOD_SKIP_GPU_CHECK"] = "true"


def prepare_libraries() -> None:
    """Set what libraries read when they are imported; before the handler is."""
    limit_threads()
    keep_offline()


def keep_offline(environ: MutableMapping[str, str] = os.environ) -> None:
    """Let the libraries of a handler ask nothing of the Hub unless told otherwise: its weights are all in the recipe.

    huggingface_hub reads the variable when it is imported. Our own transfer does not use its requests.
    """
    environ.setdefault("HF_HUB_OFFLINE", "1")


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
