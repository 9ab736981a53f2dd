"""One recipe's image looked at: in the registry, else in the engine, else as an estimate from the recipe alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from factory.errors import BuildError, FactoryError
from factory.layering.contents import ImageContents, StepKind
from factory.layering.diet import Finding, base_change, findings
from factory.layering.reading import Known, read_pushed, read_saved
from factory.pipeline import Line
from factory.recipe.model import Recipe
from factory.records import Progress, Tell
from factory.sizing import packages
from factory.sizing.image import UNCERTAINTY_PERCENT
from factory.telling import stage
from factory.wording import count_text


@dataclass(frozen=True, slots=True)
class Part:
    """What one line of a recipe brings along, by the table of sizes; `is_known` is False for a guess."""

    step: StepKind
    name: str
    compressed_bytes: int
    unpacked_bytes: int
    is_known: bool = True


@dataclass(frozen=True, slots=True)
class Look:
    """What was found: `image` is None when it is built nowhere, and then `parts` are all that is known.

    `notes` say what could not be asked.
    """

    recipe: Recipe
    path: str
    reference: str
    image: ImageContents | None
    parts: tuple[Part, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()


def look_at(lines: Sequence[Line]) -> list[Look]:
    """Look at the images of recipes as they are now; a layer that several have is read once.

    Raises what resolving and rendering a recipe does.
    """
    known: Known = {}
    looks = []
    for line in lines:
        _ = line.context
        with stage("layers", line.tell("verify")) as told:
            looks.append(_look(line, told.tell, known))
            image = looks[-1].image
            told.summary = f"{count_text(len(image.layers), 'layer')} read" if image else "an estimate"
    return looks


def _look(line: Line, tell: Tell, known: Known) -> Look:
    recipe, reference = line.file.recipe, line.context.reference
    notes: list[str] = []
    image = _pushed(line, reference, tell, notes, known) or _built(line, reference, tell, notes)
    parts = tuple(_parts(line))
    if image is not None:
        found = findings(image, recipe)
    else:
        notes.append(f"not built yet: an estimate from the recipe, ±{UNCERTAINTY_PERCENT} %")
        if recipe.image.steps:
            notes.append(f"{count_text(len(recipe.image.steps), 'step')} of unknown size not counted")
        found = tuple(_foreseen(recipe))
    return Look(recipe, str(line.file.path), reference, image, parts, found, tuple(notes))


def _pushed(line: Line, reference: str, tell: Tell, notes: list[str], known: Known) -> ImageContents | None:
    try:
        digest = line.doors.registry.digest(reference)
        return read_pushed(line.doors.registry, f"{line.repository}@{digest}", tell, known) if digest else None
    except FactoryError as error:
        notes.append(f"the registry wasn't read: {error.where}: {error.what}")
        return None


def _built(line: Line, reference: str, tell: Tell, notes: list[str]) -> ImageContents | None:
    try:
        if line.doors.engine.find(reference) is None:
            return None
        tell(Progress("step", "engine", f"reading {reference} from the engine", "started"))
        return read_saved(line.doors.engine.save(reference), reference, tell)
    except BuildError as error:
        notes.append(f"the engine wasn't asked: {error.what}")
        return None


# --- before anything is built ----------------------------------------------------------------------------------------
def _parts(line: Line) -> list[Part]:
    """Return what a recipe's lines bring along, in the order of the image's layers."""
    recipe = line.file.recipe
    image = recipe.image
    base, is_known = packages.base_weight(image.base_reference)
    parts = [Part("base", image.base_reference, *base, is_known)]
    parts += [
        Part("apt", name, *weight, known) for name in image.apt for weight, known in [packages.debian_weight(name)]
    ]
    parts.append(Part("runtime", "the worker's packages", *packages.RUNTIME))
    parts += [Part("pip", name, *weight, known) for name, (weight, known) in python_weights(image.pip).items()]
    parts += [Part("sources", source.folder, *packages.GIT_DEFAULT, False) for source in image.git]
    parts += [
        Part("weights", model.key, model.size_bytes, model.size_bytes)
        for model in line.models
        if model.placement == "image"
    ]
    return parts


def python_weights(pip: tuple[str, ...]) -> dict[str, tuple[packages.Weight, bool]]:
    """Return each requirement's weight, with torch where one brings it along unnamed. Options weigh nothing."""
    found = {line: packages.python_weight(line) for line in pip if not line.lstrip().startswith("-")}
    names = {packages.python_name(line) for line in found}
    if names & packages.TORCH_USERS and "torch" not in names:
        found["torch (brought along)"] = packages.python_weight("torch")
    return found


def _foreseen(recipe: Recipe) -> list[Finding]:
    """Return what can be proposed without an image: another base."""
    change = base_change(recipe)
    if not change:
        return []
    now, _ = packages.base_weight(recipe.image.base_reference)
    base = recipe.image.base_reference
    other = base.replace("-devel", "-runtime") if "-devel" in base else f"python:{recipe.image.python}-slim-bookworm"
    then, _ = packages.base_weight(other)
    saved = max(0, now.unpacked_bytes - then.unpacked_bytes)
    return [Finding("base", "base", saved, f"{base} carries what {other} leaves out", change, is_certain=False)]
