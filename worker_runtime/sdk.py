"""RunPod's SDK, unmodified: the only place that knows it. Pinned in requirements.txt, because some of this is internal.

It takes jobs, posts what they give, and pings. What it does with a failure is worked around by those who call it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from worker_runtime.errors import HandlerImportFailed


def load() -> Sdk:
    """Import it (1.7 to 4.5 s, measured 2026-11-23), or raise HandlerImportFailed."""
    try:
        import runpod
        from runpod.serverless.modules import worker_state
    except Exception as error:
        raise HandlerImportFailed(
            f"importing the runpod SDK raised {type(error).__name__}: {error}",
            fix="install worker_runtime/requirements.txt, and no package in image.pip that contradicts it",
        ) from error
    return Sdk(runpod, worker_state.JobsProgress())


class Sdk:
    """The SDK once it is imported."""

    def __init__(self, module: Any, in_progress: Any) -> None:
        self._module = module
        self._in_progress = in_progress

    @property
    def version(self) -> str:
        """Its version."""
        return str(self._module.__version__)

    def set_log_level(self, level: str) -> None:
        """Set how much it tells."""
        self._module.serverless.log.set_level(level)

    def serve(self, config: dict[str, Any], arguments: Sequence[str]) -> None:
        """Serve jobs until the worker is stopped. It reads `config` anew for each job, so that may be changed."""
        sys.argv = [sys.argv[0], *arguments]  # it reads its own arguments there
        self._module.serverless.start(config)

    def jobs_in_progress(self) -> int:
        """Return how many jobs were taken and not yet answered; a job whose answer is being posted counts."""
        return int(self._in_progress.get_job_count())

    async def post_progress(self, job: Mapping[str, Any], value: Any) -> None:
        """Post a job's progress and wait until it has arrived, as `progress_update` does it in a thread of its own."""
        from runpod.http_client import AsyncClientSession
        from runpod.serverless.modules.rp_http import send_result

        async with AsyncClientSession() as session:
            await send_result(session, {"status": "IN_PROGRESS", "output": value}, job)

    def take_checks(self) -> list[Callable[[], Any]]:
        """Return the fitness checks that the handler's file registered, and take them away from the SDK."""
        from runpod.serverless.modules import rp_fitness

        checks = list(rp_fitness._fitness_checks)
        rp_fitness.clear_fitness_checks()
        return checks

    def gpu_checks(self) -> list[tuple[str, Callable[[], Any]]]:
        """Return the SDK's own checks of the GPU with their names, none where there is no GPU.

        They are its own, to the letter: its native memory test, the CUDA version, a first allocation on each GPU, and
        a matrix product within RUNPOD_GPU_BENCHMARK_TIMEOUT seconds. Each raises RuntimeError with what it found.
        """
        from runpod.serverless.modules import rp_gpu_fitness, rp_system_fitness
        from runpod.serverless.utils.rp_cuda import is_available

        if not is_available():
            return []
        return [
            ("GPU memory", lambda: asyncio.run(rp_gpu_fitness._check_gpu_health())),
            ("CUDA version", lambda: asyncio.run(rp_system_fitness._check_cuda_versions())),
            ("CUDA", lambda: asyncio.run(rp_system_fitness._check_cuda_initialization())),
            ("GPU speed", lambda: asyncio.run(_twice(rp_system_fitness._check_gpu_compute_benchmark))),
        ]


async def _twice(check: Callable[[], Any]) -> None:
    """Run a check of speed again when it fails: the first run also loads libraries, which a cold disk makes slow."""
    try:
        await check()
    except RuntimeError:
        await check()
