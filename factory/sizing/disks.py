"""Container disk and network volume, each as two sums: a rule of thumb, and the floor below which nothing works.

Container disk. Rule: compressed x 2.5 + 20 GB, and the models that lie on this disk. Floor: the larger of two moments.
*Running*: unpacked layers, models on this disk and scratch, with a tenth of the disk free, because the runpod SDK ends
a worker at start-up when `/` has less (runpod 1.12.0, fitness check `disk`, read 2026-11-23). *Pulling*: compressed
and unpacked layers at once (measured 2026-11-23, docker 20.10 and 26.1).

Network volume. Floor: what the recipes on it download, equal files of one repository once, as the Hugging Face cache
stores them. Rule: a tenth on top, at least 5 GB: the files in flight (a resumed download keeps each one's partial file
only until it is renamed), the cache's own metadata, and whatever the handler writes. RunPod sells volumes of 10 to
4096 GB, which grow and never shrink (REST API v2, read 2026-11-23).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from factory.errors import ContainerDiskTooSmall, VolumeTooLarge, VolumeTooSmall
from factory.recipe.model import Recipe
from factory.records import GB, DiskSize, ImageSize, ModelFiles, Term
from factory.sizing.image import estimate
from factory.wording import size_text

COMPRESSED_FACTOR = 2.5
MARGIN_BYTES = 20 * GB
HEADROOM_SHARE = 10  # a tenth
HEADROOM_LEAST_BYTES = 5 * GB
VOLUME_LEAST_GB, VOLUME_MOST_GB = 10, 4096

Neighbours = Sequence[tuple[str, Sequence[ModelFiles]]]


def container(recipe: Recipe, models: Sequence[ModelFiles], image: ImageSize | None) -> DiskSize:
    """Size the container disk. Raises ContainerDiskTooSmall when the recipe's own figure lies below the floor."""
    if image is None:
        image, note = estimate(recipe)
        # Not built yet, so the weights that go into the image are not in its estimate: weights hardly compress
        # (gzip leaves 0.8 to 0.9 of bf16, measured 2026-11-23), so they count in full on both sides.
        baked = _baked(models)
    else:
        note = "as pushed" if image.is_exact else "estimate"
        baked = ()
    held = _held(models)
    rule = (
        Term(f"compressed x {COMPRESSED_FACTOR}", round(image.compressed_bytes * COMPRESSED_FACTOR), _of(image, note)),
        Term("margin", MARGIN_BYTES),
        *baked,
        *held,
    )
    floor = max(
        _while_running(recipe, image, note, (*baked, *held)), _while_pulling(image, note, baked), key=_sum_bytes
    )
    needed_gb = max(1, _whole_gb(max(_sum_bytes(rule), _sum_bytes(floor))))
    if recipe.disk.container == "auto":
        return DiskSize(needed_gb, rule, floor, is_explicit=False, is_exact=image.is_exact)
    size_gb, least_gb = recipe.disk.container, max(1, _whole_gb(_sum_bytes(floor)))
    if size_gb < least_gb:
        raise ContainerDiskTooSmall(
            f"the container disk of {size_gb} GB is below the {least_gb} GB that {_list(floor)} take"
            + ("" if image.is_exact else " (an estimate: the image is not built yet)"),
            where="disk.container",
            fix=f"set it to {needed_gb}, or to auto",
            details={"size_gb": size_gb, "floor_gb": least_gb, "floor_bytes": _sum_bytes(floor)},
        )
    return DiskSize(size_gb, rule, floor, is_explicit=True, is_exact=image.is_exact)


def volume(recipe: Recipe, models: Sequence[ModelFiles], neighbours: Neighbours) -> DiskSize | None:
    """Size the network volume; None when nothing of the recipe needs one.

    Raises VolumeTooSmall when the recipe's own figure lies below what the models take, VolumeTooLarge over 4096 GB.
    """
    explicit = None if recipe.disk.volume == "auto" else recipe.disk.volume
    on_it = [model for model in models if model.placement == "volume"]
    if not on_it and explicit is None and recipe.volume is None:
        return None
    floor = tuple(_volume_terms(recipe.name, on_it, neighbours))
    needed_bytes = _sum_bytes(floor)
    headroom = Term("headroom", max(-(-needed_bytes // HEADROOM_SHARE), HEADROOM_LEAST_BYTES), "10 %, at least 5 GB")
    rule = (*floor, headroom)
    if needed_bytes > VOLUME_MOST_GB * GB:
        raise VolumeTooLarge(
            f"volume {recipe.volume_name} would hold {_gb_up(needed_bytes)} GB, and RunPod's largest has "
            f"{VOLUME_MOST_GB} GB",
            where="volume",
            fix="give a recipe a volume of its own, or select fewer files",
            details={"needed_bytes": needed_bytes, "limit_gb": VOLUME_MOST_GB},
        )
    advised_gb = min(VOLUME_MOST_GB, max(VOLUME_LEAST_GB, _whole_gb(_sum_bytes(rule))))
    if explicit is not None and explicit * GB < needed_bytes:
        raise VolumeTooSmall(
            f"volume {recipe.volume_name} needs {_gb_up(needed_bytes)} GB for {_list(floor)}, and the recipe gives it "
            f"{explicit} GB",
            where="disk.volume",
            fix=f"grow disk.volume to {advised_gb}, or set it to auto",
            details={"size_gb": explicit, "needed_bytes": needed_bytes, "advised_gb": advised_gb},
        )
    return DiskSize(explicit or advised_gb, rule, floor, is_explicit=explicit is not None, is_exact=True)


def warnings(container_disk: DiskSize, volume_disk: DiskSize | None) -> tuple[str, ...]:
    """Say where a figure of the recipe is possible, and smaller than the rule asks for."""
    found = []
    if container_disk.is_explicit and container_disk.size_gb * GB < container_disk.rule_bytes:
        found.append(
            f"disk.container is {container_disk.size_gb} GB, above the floor and below the rule of thumb "
            f"({_whole_gb(container_disk.rule_bytes)} GB)"
        )
    if volume_disk and volume_disk.size_gb * GB < volume_disk.rule_bytes:
        free = volume_disk.size_gb * GB - volume_disk.floor_bytes
        found.append(f"the volume of {volume_disk.size_gb} GB has only {size_text(free)} left beside the models")
    return tuple(found)


def _while_running(recipe: Recipe, image: ImageSize, note: str, models: tuple[Term, ...]) -> tuple[Term, ...]:
    used = (
        Term("unpacked layers", image.unpacked_bytes, note),
        *models,
        Term("scratch", round(recipe.disk.scratch_gb * GB), "disk.scratch_gb"),
    )
    free = -(-_sum_bytes(used) // 9)  # a ninth of what is used is a tenth of the disk
    return (*used, Term("kept free", free, "10 % of the disk: the SDK ends a worker that has less"))


def _while_pulling(image: ImageSize, note: str, baked: tuple[Term, ...]) -> tuple[Term, ...]:
    return (
        Term("unpacked layers", image.unpacked_bytes, note),
        Term("compressed layers", image.compressed_bytes, "on the disk too while the image is pulled"),
        *baked,
        *(Term(term.label, term.size_bytes, "once more, compressed, while the image is pulled") for term in baked),
    )


def _baked(models: Sequence[ModelFiles]) -> tuple[Term, ...]:
    """Return a term for each model that goes into the image, with every path: a layer holds plain files."""
    return tuple(Term(m.repo, m.size_bytes, "goes into the image") for m in models if m.placement == "image")


def _held(models: Sequence[ModelFiles]) -> tuple[Term, ...]:
    """Return a term for each model the worker downloads to its own disk, into a Hugging Face cache."""
    return tuple(Term(m.repo, m.unique_bytes, "downloaded at start") for m in models if m.placement == "disk")


def _volume_terms(own: str, models: Sequence[ModelFiles], neighbours: Neighbours) -> Iterator[Term]:
    """Yield what each model adds to the volume: files that a model before it brings are counted once."""
    seen: set[tuple[str, str]] = set()
    for recipe, its_models in ((own, models), *neighbours):
        for model in its_models:
            if model.placement != "volume":
                continue
            fresh = {(model.repo, f.digest): f.size_bytes for f in model.files if (model.repo, f.digest) not in seen}
            shared = model.unique_bytes - sum(fresh.values())
            seen.update(fresh)
            note = "" if recipe == own else f"of recipe {recipe}"
            if shared:
                note = ", ".join(filter(None, (note, f"{size_text(shared)} more is there already")))
            yield Term(model.repo, sum(fresh.values()), note)


def _sum_bytes(terms: Sequence[Term]) -> int:
    return sum(term.size_bytes for term in terms)


def _whole_gb(size_bytes: int) -> int:
    return -(-size_bytes // GB)


def _gb_up(size_bytes: int) -> str:
    """Return decimal GB, rounded up: a need must never read smaller than it is."""
    return f"{-(-size_bytes // (GB // 10)) / 10:.1f}"


def _list(terms: Sequence[Term]) -> str:
    """Return `a (1.0 GB), b (2.0 GB) and c (3.0 GB)`."""
    parts = [f"{term.label} ({size_text(term.size_bytes)})" for term in terms if term.size_bytes]
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1]))) if parts else "nothing"


def _of(image: ImageSize, note: str) -> str:
    return f"of {size_text(image.compressed_bytes)}, {note}"
