"""What the demo's recipe expects is what the real model answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from factory.recipe import expect
from factory.recipe.load import load
from worker_runtime.handlers.embeddings import EmbeddingsInput, Handler

ROOT = Path(__file__).parents[2]


@pytest.mark.minilm
def test_minilm_answers_its_own_test_job(minilm_folder: Path) -> None:
    """The expected numbers are those of the real weights, and another sentence has others."""
    job = load(ROOT / "recipes/minilm.yaml").recipe.tests[0]
    handler = Handler({}, {"minilm": minilm_folder})
    handler.load(minilm_folder)

    def answer(text: str) -> dict[str, object]:
        output = handler(EmbeddingsInput(texts=[text]))
        return output | {"embeddings": output["embeddings"].tolist()}

    assert expect.problems(job.expect, answer(job.input["texts"][0]), None) == ()
    assert expect.problems(job.expect, answer("Something else."), None) != ()
