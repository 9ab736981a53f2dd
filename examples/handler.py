"""A handler of your own: put it beside the recipe and write `handler: handler.py` (docs/worker.md has the contract).

It counts words, without a model, so that it runs anywhere; `load` is where weights would go onto the GPU.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field


class Job(BaseModel):
    """What a job's `input` may be: anything else is answered with a sentence, before your code sees it."""

    text: str = Field(max_length=100_000)
    top: int = Field(3, ge=1, le=100, description="How many words to give back.")


class Handler:
    """One instance lives as long as the worker."""

    Input = Job

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._ignored = frozenset(options.get("ignore", []))

    def load(self, model_dir: Path | None) -> None:
        """Run once, before the first job. `model_dir` is the first model's folder, None without a model."""

    def __call__(self, inputs: Job) -> dict[str, Any]:
        """Answer one job; what is returned becomes the job's `output`."""
        words = (word.strip(".,;:!?").lower() for word in inputs.text.split())
        counts = Counter(word for word in words if word and word not in self._ignored)
        return {"words": counts.total(), "top": [list(pair) for pair in counts.most_common(inputs.top)]}
