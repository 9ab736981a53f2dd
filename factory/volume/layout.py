"""Where weights lie on a volume and how they are marked as ready: the worker's own layout (docs/weights.md).

The worker's side is worker_runtime/weights/store.py; neither imports the other, and tests/volume/test_prefill.py holds
them against each other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from factory.errors import StoreFailed
from factory.ports import VolumeStore
from factory.records import ModelFile, ModelFiles

MODELS = "models/"
READY = ".READY"
PARTIAL = ".partial"
LEASES = ".factory/lease/"
FAILURES = ".factory/failures/"
RECIPES = ".factory/recipes/"
MARKER_LIMIT_BYTES = 100_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """One model's folder. Every selection of one commit shares it."""

    repo: str
    commit: str

    @property
    def name(self) -> str:
        """The folder's name below `models/`."""
        return f"{self.repo.replace('/', '--')}@{self.commit}"

    @property
    def folder(self) -> str:
        """The prefix of its files."""
        return f"{MODELS}{self.name}/"

    @property
    def marker(self) -> str:
        """The READY marker's path."""
        return f"{MODELS}{self.name}{READY}"

    @property
    def uploads(self) -> str:
        """The prefix of the notes of uploads under way; a worker that fetches the model itself removes them."""
        return f"{MODELS}{self.name}{PARTIAL}/prefill/"


def ready(store: VolumeStore, place: Place) -> dict[str, ModelFile]:
    """Return the files that a model's READY marker lists, by path; none without a marker, or with one that is torn."""
    try:
        found = read_json(store, place.marker)
        rows = found["files"].items() if isinstance(found, dict) else ()
        return {path: ModelFile(path, int(row["size"]), str(row["digest"])) for path, row in rows}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def mark_ready(store: VolumeStore, place: Place, files: Iterable[ModelFile]) -> None:
    """Replace the READY marker."""
    rows = {file.path: {"size": file.size_bytes, "digest": file.digest} for file in sorted(files, key=_path)}
    write_json(store, place.marker, {"repo": place.repo, "commit": place.commit, "files": rows})


def record_recipe(store: VolumeStore, recipe: str, places: Iterable[Place]) -> None:
    """Write down which folders a recipe uses, so that no worker takes their space for another model's."""
    write_json(store, f"{RECIPES}{recipe}.json", {"recipe": recipe, "models": sorted(place.name for place in places)})


def wanted_files(models: Iterable[ModelFiles]) -> dict[Place, dict[str, ModelFile]]:
    """Return the files that lie on the volume, by folder and path: two selections of one commit are one folder."""
    found: dict[Place, dict[str, ModelFile]] = {}
    for model in models:
        if model.placement == "volume":
            files = found.setdefault(Place(model.repo, model.commit), {})
            files.update((file.path, file) for file in model.files)
    return found


def read_json(store: VolumeStore, path: str) -> object:
    """Return what a JSON file holds, None when there is none. Raises ValueError when it is no JSON."""
    found = store.head(path)
    if found is None:
        return None
    if found.size_bytes > MARKER_LIMIT_BYTES:
        raise StoreFailed(f"{path} has {found.size_bytes} bytes, which no marker has", fix="remove it from the volume")
    value: object = json.loads(b"".join(store.read(path, 0, found.size_bytes)))
    return value


def write_json(store: VolumeStore, path: str, value: Mapping[str, object]) -> None:
    """Write a JSON file."""
    store.put(path, json.dumps(value, indent=0).encode())


def _path(file: ModelFile) -> str:
    return file.path
