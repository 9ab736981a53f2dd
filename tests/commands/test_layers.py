"""`factory layers` before anything is built: estimates from recipes, what they share, and what they could."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

RECIPES = Path(__file__).parents[2] / "recipes"

Factory = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def empty(hub: str) -> dict[str, str]:
    """The environment with a registry that has nothing: the hub's server answers 404 to what it doesn't know."""
    address = hub.removeprefix("http://")
    return {"FACTORY_REGISTRY": address, "FACTORY_BASE": f"{address}/base:1"}


def test_one_recipe_is_estimated_when_it_is_built_nowhere(factory: Factory) -> None:
    """No registry and no engine in reach: the parts by the table of sizes, and notes that say why."""
    done = factory("layers", RECIPES / "wan.yaml", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    [wan] = document["recipes"]
    assert (wan["source"], wan["layers"], document["sharing"]) == ("estimate", None, None)
    torch = next(part for part in wan["parts"] if part["name"].startswith("torch=="))
    assert (torch["step"], torch["is_known"]) == ("pip", True)
    assert any("registry" in note for note in wan["notes"]) and any("engine" in note for note in wan["notes"])


def test_several_recipes_say_what_to_write_alike(factory: Factory, empty: dict[str, str]) -> None:
    """flux and qwen have torch in common: one list of packages would be one layer, with what it saves."""
    done = factory("layers", RECIPES / "flux.yaml", RECIPES / "qwen.yaml", RECIPES / "echo.yaml", "--json", **empty)
    assert done.returncode == 0, done.stderr
    sharing = json.loads(done.stdout)["sharing"]
    [proposal] = sharing["proposals"]
    assert set(proposal["recipes"]) == {"flux", "qwen"} and not sharing["is_exact"]
    assert proposal["saved_bytes"] > 2_500_000_000 > proposal["cost_bytes"]
    assert proposal["change"].startswith("image.pip, the same in each: [torch==")
    [base] = sharing["bases"]
    assert set(base["recipes"]) == {"flux", "qwen", "echo"}


def test_people_read_the_same(factory: Factory, empty: dict[str, str]) -> None:
    """The tables name parts, sharing and proposals; stderr carries the progress."""
    done = factory("layers", RECIPES / "flux.yaml", RECIPES / "qwen.yaml", **empty)
    assert done.returncode == 0, done.stderr
    for words in (
        "an estimate from the recipe",
        "torch==2.13.0",
        "Shared (estimates: not all of them are built)",
        "less  ",
    ):
        assert words in done.stdout


@pytest.mark.parametrize("base", ["nvidia/cuda:12.4.1-cudnn-devel-ubuntu22.04", "python:3.11"])
def test_a_fat_base_is_told_before_the_build(
    factory: Factory, empty: dict[str, str], tmp_path: Path, base: str
) -> None:
    """A base with compilers has a sibling without: proposed with what it saves."""
    recipe = tmp_path / "fat.yaml"
    recipe.write_text(
        f"name: fat\nimage: {{repository: a/fat, base: '{base}'}}\nhandler: echo\ntests: [{{input: {{a: 1}}}}]\n"
    )
    [fat] = json.loads(factory("layers", recipe, "--json", **empty).stdout)["recipes"]
    [finding] = fat["findings"]
    assert finding["change"].startswith("image.base: ") and finding["size_bytes"] > 500_000_000
