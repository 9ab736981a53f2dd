"""What lies on a volume: models and how far they are, failures, recipes, and all that isn't the worker's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from factory.account import Volume
from factory.ports import VolumeStore
from factory.records import StoredObject
from factory.volume import layout
from factory.volume.failures import LeftFailure, failures
from factory.volume.layout import Place


@dataclass(frozen=True, slots=True)
class ModelThere:
    """One model's folder. `ready_files` are those that its READY marker names; `partial_bytes` are on their way.

    `uploads` are files that `prefill` began and didn't end: their parts can't be seen, and a further run goes on.
    """

    repo: str
    commit: str
    files: int
    size_bytes: int
    ready_files: int
    partial_bytes: int = 0
    uploads: int = 0

    @property
    def is_ready(self) -> bool:
        """Does the marker name every file that lies there?"""
        return 0 < self.files <= self.ready_files


@dataclass(frozen=True, slots=True)
class Other:
    """A file or folder at the top of the volume that isn't factory's."""

    name: str
    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Inventory:
    """All of a volume. `size_bytes` is what the files have together, `volume_bytes` what fits."""

    volume: str
    volume_bytes: int
    size_bytes: int
    models: tuple[ModelThere, ...]
    recipes: tuple[str, ...]
    failures: tuple[LeftFailure, ...]
    others: tuple[Other, ...]


def take_stock(volume: Volume, store: VolumeStore) -> Inventory:
    """List the whole volume, and read its markers and failures. Raises what the port raises."""
    store.demand()
    found = [o for o in store.list() if not o.path.endswith("/")]
    recipes = [o.path.removeprefix(layout.RECIPES) for o in found if o.path.startswith(layout.RECIPES)]
    has_failures = any(o.path.startswith(layout.FAILURES) for o in found)
    return Inventory(
        volume=volume.id,
        volume_bytes=volume.size_gb * 1_000_000_000,
        size_bytes=sum(o.size_bytes for o in found),
        models=tuple(_models(found, store)),
        recipes=tuple(sorted(name.removesuffix(".json") for name in recipes if not name.startswith("."))),
        failures=failures(store) if has_failures else (),
        others=tuple(_others(found)),
    )


def _models(found: Iterable[StoredObject], store: VolumeStore) -> Iterable[ModelThere]:
    """Yield each folder below `models/`, also one of which only parts are there."""
    rows: dict[str, list[StoredObject]] = {}
    for o in found:
        name, slash, _ = o.path.removeprefix(layout.MODELS).partition("/")
        if o.path.startswith(layout.MODELS) and slash and not name.startswith("."):
            rows.setdefault(name, []).append(o)
    for name in sorted({name.removesuffix(layout.PARTIAL) for name in rows}):
        repo, _, commit = name.replace("--", "/", 1).rpartition("@")
        files, partial = rows.get(name, []), rows.get(name + layout.PARTIAL, [])
        place = Place(repo, commit)
        notes = sum(o.path.startswith(place.uploads) for o in partial)
        yield ModelThere(
            repo=repo,
            commit=commit,
            files=len(files),
            size_bytes=sum(o.size_bytes for o in files),
            ready_files=len(layout.ready(store, place)),
            partial_bytes=sum(o.size_bytes for o in partial if not o.path.startswith(place.uploads)),
            uploads=notes,
        )


def _others(found: Iterable[StoredObject]) -> Iterable[Other]:
    rows: dict[str, list[int]] = {}
    for o in found:
        if not o.path.startswith((layout.MODELS, ".factory/")):
            top, slash, _ = o.path.partition("/")
            rows.setdefault(top + slash, []).append(o.size_bytes)
    return (Other(name, len(sizes), sum(sizes)) for name, sizes in sorted(rows.items()))
