"""Where weights lie in a store, a network volume or a folder of the container disk, and how they are marked as ready.

models/ORG--NAME@COMMIT/          files whose digests were right
models/ORG--NAME@COMMIT.READY     written last: repo, commit, every ready file's path, size and digest
models/ORG--NAME@COMMIT.partial/  files on their way, and their journal
models/.trash-…/                  being removed
.factory/lease/N                  who fetches (lease.py)
.factory/workers/*.json           who reads what (usage.py)
.factory/recipes/NAME.json        the models that a recipe started with
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker_runtime.recipe import Model, WeightFile

PARTIAL = ".partial"
READY = ".READY"
TRASH = ".trash-"


def directory(model: Model) -> str:
    """Return the name of a model's folder. Every selection of one commit shares it."""
    return f"{model.repo.replace('/', '--')}@{model.commit}"


@dataclass(frozen=True, slots=True)
class Store:
    """A place for weights. `root` is the volume, or the folder of placement `disk`; `kind` is its name for people."""

    root: Path
    kind: str = "volume"

    @property
    def models(self) -> Path:
        """The folder of all models."""
        return self.root / "models"

    @property
    def control(self) -> Path:
        """The folder of what isn't weights."""
        return self.root / ".factory"

    def folder(self, model: Model) -> Path:
        """Return the folder that the handler gets."""
        return self.models / directory(model)

    def partial(self, model: Model) -> Path:
        """Return the folder of what is on its way."""
        return self.models / (directory(model) + PARTIAL)

    # --- ready -------------------------------------------------------------------------------------------------
    def ready(self, name: str) -> dict[str, WeightFile]:
        """Return the files that the READY marker of a model's folder lists, by path; none when there is no marker."""
        try:
            found = json.loads((self.models / (name + READY)).read_bytes())
            rows = found["files"].items()
            # The marker is ours and was renamed whole, so its rows need no second validation: 1,000 cost 10 ms.
            return {p: WeightFile.model_construct(path=p, size_bytes=r["size"], digest=r["digest"]) for p, r in rows}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def missing(self, model: Model) -> list[WeightFile]:
        """Return the files of a model that aren't ready: not in the marker, or not in the folder with their size."""
        listed, folder = self.ready(directory(model)), str(self.folder(model)) + "/"
        return [
            file
            for file in model.files
            if (known := listed.get(file.path)) is None
            or known.digest != file.digest
            or size_of(folder + file.path) != file.size_bytes
        ]

    def mark_ready(self, model: Model, files: Mapping[str, WeightFile]) -> None:
        """Replace the READY marker; it is on the disk when this returns. Raises OSError."""
        rows = {path: {"size": file.size_bytes, "digest": file.digest} for path, file in sorted(files.items())}
        marker = {"repo": model.repo, "commit": model.commit, "files": rows}
        write_whole(self.models / (directory(model) + READY), marker)

    def folders(self) -> Iterator[str]:
        """Yield the names of all models' folders, ready or not."""
        for name in _names(self.models):
            if not name.startswith(".") and not name.endswith((PARTIAL, READY)):
                yield name

    def partials(self) -> Iterator[str]:
        """Yield the names (without `.partial`) of all folders of what is on its way."""
        yield from (name.removesuffix(PARTIAL) for name in _names(self.models) if name.endswith(PARTIAL))

    def trash(self) -> Iterator[Path]:
        """Yield what is being removed, or should have been."""
        yield from (self.models / name for name in _names(self.models) if name.startswith(TRASH))

    # --- recipes -----------------------------------------------------------------------------------------------
    def record_recipe(self, recipe: str, models: Sequence[Model]) -> None:
        """Write down which folders a recipe uses, so that nobody takes their space. Raises OSError."""
        path = self.control / "recipes" / f"{recipe}.json"
        record = {"recipe": recipe, "models": sorted(directory(model) for model in models)}
        if read_json(path) != record:
            write_whole(path, record)

    def folders_of_recipes(self) -> set[str]:
        """Return the folders that any recipe's record names."""
        found: set[str] = set()
        for name in _names(self.control / "recipes"):
            if name.startswith(TRASH):
                continue
            record = read_json(self.control / "recipes" / name)
            if isinstance(record, dict):
                found.update(str(folder) for folder in record.get("models", ()))
        return found


def size_of(path: str | Path) -> int | None:
    """Return a file's size in bytes, None when there is none."""
    try:
        return os.stat(path).st_size  # noqa: PTH116  a thousand of them in a warm start: pathlib takes twice as long
    except OSError:
        return None


def read_json(path: Path) -> object:
    """Return what a JSON file holds, None when it can't be read."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def write_whole(path: Path, value: object) -> None:
    """Write a JSON file that readers see either as it was or whole, and that outlives a crash. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{TRASH}{os.urandom(8).hex()}")  # what a killed worker leaves of it is trash
    try:
        with draft.open("w", encoding="utf-8") as stream:
            json.dump(value, stream, indent=0)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk. Some network file systems can't; then the server does it. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (22, 95):  # EINVAL, EOPNOTSUPP
            raise
    finally:
        os.close(descriptor)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208  names, and no Path of each
    except OSError:
        return []
