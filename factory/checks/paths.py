"""Where weights and caches lie: the volume is /runpod-volume on serverless workers, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator

from factory.checks.finding import Found
from factory.checks.texts import environment, texts
from factory.recipe import RecipeFile
from factory.recipe.volume_paths import VOLUME, is_off_volume, names_workspace


def weights_path(file: RecipeFile) -> Iterator[Found]:
    """Find paths below /workspace: an error where the worker reads them, a warning in build steps."""
    recipe = file.recipe
    read_at_run_time = [(key, value) for key, _, value in environment(file)]
    read_at_run_time += texts(recipe.handler.options, "handler.options")
    for key, text in read_at_run_time:
        if names_workspace(text):
            yield Found(
                key,
                "/workspace is where pods have their volume; a serverless worker has it at /runpod-volume",
                f"write {VOLUME} instead",
            )
    for index, step in enumerate(recipe.image.steps):
        if names_workspace(step):
            yield Found(
                f"image.steps.{index}",
                "the step writes below /workspace, which is in the image and not on the volume",
                "use /opt or /app for what belongs into the image",
                "warning",
            )


def cache_path(file: RecipeFile) -> Iterator[Found]:
    """Find a Hugging Face cache that is not on the volume although models are, or may be."""
    models = file.recipe.models
    if models and all(model.placement in ("image", "disk", "cached") for model in models):
        return
    for key, name, value in environment(file):
        if is_off_volume(name, value):
            yield Found(
                key,
                f"{name} is not on the volume, so what libraries keep there is lost with each worker",
                f"remove it (factory sets HF_HOME to {VOLUME}/huggingface), or put it below {VOLUME}",
            )


def hf_transfer(file: RecipeFile) -> Iterator[Found]:
    """Find the switch of a downloader that huggingface_hub dropped in 1.0."""
    for key, name, _ in environment(file):
        if name == "HF_HUB_ENABLE_HF_TRANSFER":
            yield Found(key, "huggingface_hub ignores hf_transfer since 1.0", "remove it")
