"""Handlers, test jobs and where the weights are placed."""

from __future__ import annotations

from collections.abc import Iterator

from factory.checks.finding import Found
from factory.recipe import RecipeFile

_NEED_NO_MODEL = frozenset({"echo", "command"})


def no_model(file: RecipeFile) -> Iterator[Found]:
    """Find a built-in handler without the model that it loads."""
    name = file.recipe.handler.name
    if name and name not in _NEED_NO_MODEL and not file.recipe.models:
        yield Found("handler.name", f"{name} loads a model, and the recipe names none", "write 'model: owner/name'")


def no_tests(file: RecipeFile) -> Iterator[Found]:
    """Find a recipe that nothing would prove to work."""
    if not file.recipe.tests:
        yield Found(
            "tests", "no test job, so nothing proves that the image answers", "add one with 'input' and 'expect'"
        )


def test_without_expect(file: RecipeFile) -> Iterator[Found]:
    """Find test jobs that pass whatever the answer is."""
    for index, test in enumerate(file.recipe.tests):
        if not test.expect:
            yield Found(
                f"tests.{index}",
                "the test passes with any answer that is no error",
                "add 'expect', e.g. {$: {type: object}}",
            )


def cached_placement(file: RecipeFile) -> Iterator[Found]:
    """Find what RunPod's cached models can't do (its documentation, read 2026-11-23)."""
    recipe = file.recipe
    cached = [(index, model) for index, model in enumerate(recipe.models) if model.placement == "cached"]
    for position, (index, model) in enumerate(cached):
        key = f"models.{index}.placement"
        if recipe.gpu is None:
            yield Found(
                key, "cached models exist on GPU endpoints only", "write placement: volume, or give the recipe a 'gpu'"
            )
        if position > 0:
            yield Found(key, "RunPod documents one cached model per endpoint", "write placement: volume", "warning")
        if model.include or model.exclude:
            yield Found(
                key,
                "RunPod caches every file of the repository, whatever include and exclude say",
                "write placement: volume to fetch the selection only",
                "warning",
            )


def unused_volume(file: RecipeFile) -> Iterator[Found]:
    """Find a network volume that no model is placed on: it is billed while it exists."""
    recipe = file.recipe
    if any(model.placement in ("volume", "auto") for model in recipe.models):
        return
    for key, is_given in (("volume", recipe.volume is not None), ("disk.volume", recipe.disk.volume != "auto")):
        if is_given:
            yield Found(key, "no model is placed on a volume", "remove it, or write placement: volume")
