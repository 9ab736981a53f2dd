"""The yardstick: a worker that is nothing but RunPod's SDK."""

from __future__ import annotations

from typing import Any

import runpod


async def handler(job: dict[str, Any]) -> Any:
    """Give the input back."""
    return job["input"]


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler})
