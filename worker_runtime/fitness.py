"""The fitness checks of RunPod's SDK, made before it makes them.

There, a check that fails kills the worker before it joins the queue: RunPod starts it again and again, and no job ever
learns why (runpod 1.12.0, read 2026-11-24). Here it is an error of the start like any other, with the number and the
fix, and the SDK leaves its own out.

The network is the one check that differs. The SDK connects to 8.8.8.8:53; a worker needs its queue, so that is asked.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import shutil
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from worker_runtime.errors import Unfit
from worker_runtime.memory import host_memory_bytes
from worker_runtime.settings import FitnessRules

GIB = 1 << 30  # the SDK's GB
ROOT = Path("/")


def check_system(rules: FitnessRules, queue_url: str | None) -> None:
    """Check memory, the container disk and the way to the queue. Raises Unfit."""
    if rules.has_system_checks:
        check_memory(rules.min_memory_gb)
        check_disk(rules.min_disk_percent)
        if queue_url:
            check_network(queue_url, rules.network_s)


def check_memory(min_gb: float) -> None:
    """Raise Unfit when less memory is available than the SDK wants."""
    found = host_memory_bytes()
    if found is not None and found[0] < min_gb * GIB:
        raise Unfit(
            f"{found[0] / GIB:.2f} GiB of {found[1] / GIB:.2f} GiB memory are available, and RunPod's SDK wants"
            f" {min_gb:g}",
            fix="choose a GPU or CPU with more memory, or set RUNPOD_MIN_MEMORY_GB",
        )


def check_disk(min_percent: float, root: Path = ROOT) -> None:
    """Raise Unfit when less of the container disk is free than the SDK wants."""
    disk = shutil.disk_usage(root)
    percent = 100 * disk.free / disk.total if disk.total else 0.0
    if percent < min_percent:
        needed_gb = math.ceil((disk.total - disk.free) / (1 - min_percent / 100) / 1e9) if min_percent < 100 else 0
        raise Unfit(
            f"{disk.free / 1e9:.1f} GB of the container disk's {disk.total / 1e9:.1f} GB are free ({percent:.1f} %),"
            f" and RunPod's SDK wants {min_percent:g} %",
            fix=f"grow the container disk to {needed_gb} GB, or set RUNPOD_MIN_DISK_PERCENT",
        )


def check_network(queue_url: str, timeout_s: float) -> None:
    """Raise Unfit when nothing listens where the jobs come from."""
    parts = urlsplit(queue_url)
    host, port = parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)
    try:
        socket.create_connection((host, port), timeout_s).close()
    except OSError as error:
        raise Unfit(
            f"no connection to the queue at {host}:{port} within {timeout_s:g} s ({error.strerror or error})",
            fix="check the machine's network and DNS",
        ) from error


def run_checks(checks: Iterable[tuple[str, Callable[[], Any]]]) -> None:
    """Run named checks, sync or async, and raise Unfit for the first that raises."""
    for name, check in checks:
        try:
            answer = check()
            if inspect.isawaitable(answer):
                asyncio.run(_awaited(answer))
        except Exception as error:
            raise Unfit(
                f"the check {name!r} failed: {error}",
                fix="let the worker be replaced; if every one fails, choose another GPU or set minCudaVersion",
            ) from error


async def _awaited(answer: Any) -> None:
    await answer
