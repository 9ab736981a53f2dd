"""What an image will weigh before it is built: a sum over base, runtime, packages and sources, to about a third."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from factory.recipe.model import Recipe
from factory.records import ImageSize
from factory.sizing import packages
from factory.sizing.packages import Weight
from factory.wording import count_text

UNCERTAINTY_PERCENT = 35  # built images against the table's sums, measured 2026-11-23


class Estimate(NamedTuple):
    """An estimated image, and the sentence that says what it rests on."""

    image: ImageSize
    note: str


def estimate(recipe: Recipe) -> Estimate:
    """Estimate the image of a recipe, without the weights of placement `image`."""
    image = recipe.image
    base, knows_base = packages.base_weight(image.base_reference)
    python, unknown_python = _look_up(_python_requirements(image.pip), packages.python_weight)
    debian, unknown_debian = _look_up(image.apt, packages.debian_weight)
    weights = [base, packages.RUNTIME, *python, *debian, *[packages.GIT_DEFAULT] * len(image.git)]
    unknown = unknown_python + unknown_debian + (0 if knows_base else 1) + len(image.git)
    size = ImageSize(sum(w.compressed_bytes for w in weights), sum(w.unpacked_bytes for w in weights), is_exact=False)
    return Estimate(size, _note(len(weights), unknown))


def _python_requirements(pip: Sequence[str]) -> tuple[str, ...]:
    """Return the requirements, with torch where one of them brings it along unnamed. Options (`--…`) weigh nothing."""
    requirements = tuple(line for line in pip if not line.lstrip().startswith("-"))
    names = {packages.python_name(line) for line in requirements}
    return (*requirements, "torch") if names & packages.TORCH_USERS and "torch" not in names else requirements


def _look_up(names: Sequence[str], weigh: Callable[[str], tuple[Weight, bool]]) -> tuple[list[Weight], int]:
    found = [weigh(name) for name in names]
    return [weight for weight, _ in found], sum(not is_known for _, is_known in found)


def _note(parts: int, unknown: int) -> str:
    """Say how good the estimate is."""
    guessed = f", {unknown} of them guessed" if unknown else ""
    return f"estimate ±{UNCERTAINTY_PERCENT} % from {count_text(parts, 'part')}{guessed}"
