"""The recipes that ship: each is clean, sized, tested, and renders to the Dockerfile in golden/.

`make golden` (UPDATE_GOLDEN=1 pytest tests/recipes) writes golden/ anew; then read the difference.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from factory.checks import check
from factory.errors import VolumeTooSmall
from factory.ports import ModelHub
from factory.recipe.load import RecipeFile, load, loads
from factory.records import GB, BaseImage, Context
from factory.stages.render import render
from factory.stages.resolve import resolve
from factory.stages.size import size

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"
NAMES = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))
BASE = BaseImage("python:3.11-slim-bookworm", "sha256:" + "0123456789abcdef" * 4)


def shipped(name: str) -> RecipeFile:
    """Return a shipped recipe."""
    return load(ROOT / "recipes" / f"{name}.yaml")


def rendered(name: str, hub: ModelHub) -> Context:
    """Render a shipped recipe on a fixed base."""
    file = shipped(name)
    return render(file, resolve(file.recipe, hub), BASE, repository=file.recipe.image.repository)


def test_the_eight_recipes_ship() -> None:
    """No recipe comes or goes unnoticed."""
    assert NAMES == ["echo", "flux", "minilm", "mocha", "qwen", "sdxl", "wan", "whisper"]


@pytest.mark.parametrize("name", NAMES)
def test_each_is_clean_and_has_a_test_job(name: str, hub: ModelHub) -> None:
    """No finding above a note, online too; the file names its schema; a job says what to expect."""
    file = shipped(name)
    findings = check(file, resolve(file.recipe, hub))
    assert [finding for finding in findings if finding.severity != "note"] == []
    assert file.path.read_text().startswith("# yaml-language-server: $schema=recipe.schema.json\n")
    assert file.recipe.name == name
    assert file.recipe.tests and all(test.expect for test in file.recipe.tests)


@pytest.mark.parametrize("name", NAMES)
def test_each_renders_to_its_golden_dockerfile(name: str, hub: ModelHub) -> None:
    """The Dockerfile is the one that was read and agreed to."""
    context = rendered(name, hub)
    dockerfile = next((file.content or b"").decode() for file in context.files if file.path == "Dockerfile")
    path = GOLDEN / f"{name}.Dockerfile"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(dockerfile)
    assert dockerfile == path.read_text(), "run `make golden` and read the difference"


def test_no_golden_file_is_left_over() -> None:
    """Each file in golden/ belongs to a recipe."""
    assert sorted(path.name.removesuffix(".Dockerfile") for path in GOLDEN.iterdir()) == NAMES


@pytest.mark.parametrize(
    ("name", "size_gb", "volume_gb", "verdicts"),
    [
        ("echo", 0.0, None, ""),
        ("minilm", 0.1, 10, ""),
        ("whisper", 3.1, 10, "fine fine"),
        ("sdxl", 6.9, 12, "fine fine"),
        ("qwen", 15.2, 21, "fine fine"),
        ("flux", 33.7, 39, "fine fine"),
        # MoCha's own checkpoint has an invented size in the fixture: nobody could ask the Hub.
        ("mocha", 40.5, 46, "fine fine"),
        ("wan", 69.0, 76, "fine fine"),
    ],
)
def test_each_is_sized(name: str, size_gb: float, volume_gb: int | None, verdicts: str, hub: ModelHub) -> None:
    """True bytes, volume with headroom, and a verdict for each GPU pool."""
    file = shipped(name)
    models = resolve(file.recipe, hub)
    plan = size(file.recipe, models)
    assert round(sum(model.size_bytes for model in models) / GB, 1) == size_gb
    assert (plan.volume.size_gb if plan.volume else None) == volume_gb
    assert " ".join(fit.verdict for fit in plan.fits) == verdicts
    assert plan.container.size_gb >= 20


def test_wan_on_50_gb_is_refused_with_what_it_needs(hub: ModelHub) -> None:
    """The model's own page says ~26 GB; the files say otherwise."""
    text = (ROOT / "recipes/wan.yaml").read_text() + "disk: {volume: 50}\n"
    recipe = loads(text, Path("wan.yaml")).recipe
    with pytest.raises(VolumeTooSmall, match=r"needs 69\.1 GB .* gives it 50 GB"):
        size(recipe, resolve(recipe, hub))


def test_pins_are_those_the_handlers_were_tested_with() -> None:
    """A package pinned in tests/handlers_torch has the same version in every recipe."""
    text = (ROOT / "tests/handlers_torch/requirements.txt").read_text()
    tested = dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))
    for name in NAMES:
        pins = dict(line.split("==") for line in shipped(name).recipe.image.pip)
        assert {p: v for p, v in pins.items() if p in tested} == {p: v for p, v in tested.items() if p in pins}, name


def test_minilm_is_the_readmes_eight_lines() -> None:
    """The demo's recipe without comments, tests apart, stays small enough to read at a glance."""
    lines = [
        line for line in (ROOT / "recipes/minilm.yaml").read_text().splitlines() if not line.strip().startswith("#")
    ]
    assert len(lines) <= 12
