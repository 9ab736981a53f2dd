"""RunPod's SDK as a worker of the emulator: `python sdk_worker.py KIND`, a process with nothing of ours in it.

Kinds: `sync`, `async`, `concurrent` (up to four at once), `generator`, `refresh` (a fresh worker for each job).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

import runpod


def sync_handler(job: dict[str, Any]) -> Any:
    """Do what the input says."""
    wish = job["input"]
    if wish.get("do") == "raise":
        raise ValueError("bad thing")
    if wish.get("do") == "progress":
        for percent in (10, 50):
            runpod.serverless.progress_update(job, {"percent": percent})
            wait_for_sign(wish["signs"], str(percent))
        return "done"
    if wish.get("do") == "long":
        return "x" * 10_000_001
    return {"job": job}


def wait_for_sign(folder: str, name: str) -> None:
    """Wait until the test has seen the progress."""
    import time
    from pathlib import Path

    end = time.monotonic() + 30
    while not Path(folder, name).exists() and time.monotonic() < end:
        time.sleep(0.01)


async def async_handler(job: dict[str, Any]) -> Any:
    """Sleep, and give the input back."""
    await asyncio.sleep(job["input"].get("sleep_s", 0))
    return job["input"]


def generator_handler(job: dict[str, Any]) -> Iterator[Any]:
    """Yield what the input lists, and fail in the end when it says so."""
    yield from job["input"]["chunks"]
    if job["input"].get("fail"):
        raise ValueError("third")


KINDS: dict[str, dict[str, Any]] = {
    "sync": {"handler": sync_handler},
    "async": {"handler": async_handler},
    "concurrent": {"handler": async_handler, "concurrency_modifier": lambda _: 4},
    "generator": {"handler": generator_handler, "return_aggregate_stream": True},
    "refresh": {"handler": sync_handler, "refresh_worker": True},
}

if __name__ == "__main__":
    runpod.serverless.start(KINDS[sys.argv[1]])
