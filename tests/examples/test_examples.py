"""The examples work: the jobs are the recipes' own, the handler answers in the worker as rendered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from factory.checks import check
from factory.recipe import expect
from factory.recipe.load import load
from factory.records import BaseImage
from factory.stages.render import render

ROOT = Path(__file__).parents[2]
RECIPES = {path.stem: path for path in (ROOT / "recipes").glob("*.yaml")}


@pytest.mark.parametrize("path", sorted((ROOT / "examples/jobs").iterdir()), ids=lambda path: path.stem)
def test_each_example_job_is_a_test_job_of_its_recipe(path: Path) -> None:
    """So it is one that the recipe's author expects to work."""
    tests = load(RECIPES[path.stem]).recipe.tests
    assert json.loads(path.read_text()) in [{"input": dict(test.input)} for test in tests]


def test_each_recipe_has_an_example_job() -> None:
    """No recipe is left out."""
    assert {path.stem for path in (ROOT / "examples/jobs").iterdir()} == RECIPES.keys()


def test_the_custom_handler_answers_its_test_job(tmp_path: Path) -> None:
    """Rendered as for an image, the worker runtime loads the file and the answer is what the recipe expects."""
    file = load(ROOT / "examples/words.yaml")
    assert [finding for finding in check(file) if finding.severity != "note"] == []
    context = render(file, (), BaseImage("python:3.11-slim-bookworm"), repository="factory/words")
    for rendered in context.files:
        target = tmp_path / rendered.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(rendered.content or b"")
    job = file.recipe.tests[0]
    (tmp_path / "job.json").write_text(json.dumps({"input": job.input}))
    done = subprocess.run(
        [sys.executable, "-m", "worker_runtime", "--test-input", "job.json"],
        cwd=tmp_path,
        env={**os.environ, "FACTORY_RECIPE": str(tmp_path / "recipe.json"), "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert expect.problems(job.expect, json.loads(done.stdout)["output"], None) == ()
