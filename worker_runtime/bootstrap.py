"""Brings every model of the recipe to one folder that is complete, or says why it can't.

image   FACTORY_IMAGE_MODELS/<key>, put there by the build
volume  a Hugging Face cache on the network volume, filled by the first worker that needs it
disk    the same on the worker's own disk
cached  the snapshot that RunPod laid on the host (its "cached models"), offline
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from worker_runtime import digests
from worker_runtime.errors import NoSpace, StorageUnwritable, VolumeMissing, WeightsCorrupt, WeightsMissing
from worker_runtime.events import EventLog
from worker_runtime.recipe import Model, WeightFile
from worker_runtime.settings import Settings

GB = 1_000_000_000
MARGIN_BYTES = 64_000_000  # metadata of the cache and of the file system


def prepare(models: Sequence[Model], settings: Settings, log: EventLog) -> dict[str, Path]:
    """Return each model's folder by its key, with every listed file in it.

    Nothing is fetched before all placements are checked and the whole of what is missing fits. What is there is used
    without the network. Raises a StartError: VolumeMissing, StorageUnwritable, NoSpace, WeightsMissing, WeightsCorrupt
    or one of the Hub's.
    """
    if any(model.placement == "volume" for model in models):
        _check_volume(settings)
    caches = [_Cached(model, _cache(model, settings)) for model in models if model.placement in ("volume", "disk")]
    for cache in dict.fromkeys(cached.cache for cached in caches):
        _check_space(cache, [cached for cached in caches if cached.cache == cache])
    folders = {cached.model.key: cached.complete(settings, log) for cached in caches}
    for model in models:
        if model.placement in ("image", "cached"):
            folders[model.key] = _present(model, settings)
    return {model.key: folders[model.key] for model in models}


def folder(model: Model, settings: Settings) -> Path:
    """Return the folder that a model's files have, or will have."""
    match model.placement:
        case "image":
            return settings.image_models / model.key
        case "cached":
            hub = settings.volume / "huggingface-cache" / "hub"
        case "volume" | "disk":
            hub = _cache(model, settings)
    return hub / model.folder / "snapshots" / model.commit


def _cache(model: Model, settings: Settings) -> Path:
    return (settings.volume / "huggingface" if model.placement == "volume" else settings.disk_cache) / "hub"


def _absent(folder: Path, files: Sequence[WeightFile]) -> list[WeightFile]:
    """Return the files that aren't under `folder` with their size."""

    def size(file: WeightFile) -> int | None:
        try:
            return (folder / file.path).stat().st_size
        except OSError:
            return None

    return [file for file in files if size(file) != file.size_bytes]


def _is_mount(path: Path) -> bool:
    """Whether something is mounted at `path`; a bind mount from the same file system counts too."""
    if os.path.ismount(path):
        return True
    try:
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return False
    return str(path) in (line.split()[4] for line in mounts)


def _check_volume(settings: Settings) -> None:
    volume = settings.volume
    fix = "attach a network volume to the endpoint, or run the container with -v FOLDER:/runpod-volume"
    if not volume.is_dir():
        raise VolumeMissing(f"the weights belong on {volume}, and there is no such folder", fix=fix)
    if not settings.may_volume_be_folder and not _is_mount(volume):
        raise VolumeMissing(f"the weights belong on {volume}, and nothing is mounted there", fix=fix)


def _check_space(cache: Path, cached: Sequence[_Cached]) -> None:
    """Refuse before the first byte when the missing files of all models in one cache don't fit."""
    missing = {file.digest: file.size_bytes for entry in cached for file in entry.absent()}  # equal content once
    if not missing:
        return
    try:
        cache.mkdir(parents=True, exist_ok=True)
        probe = cache / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        fix = "mount it writable for the worker's user"
        raise StorageUnwritable(f"{cache} can't be written ({error.strerror})", fix=fix) from error
    disk = shutil.disk_usage(cache)
    needed = sum(missing.values()) + MARGIN_BYTES
    if needed > disk.free:
        place = "volume" if cached[0].model.placement == "volume" else "container disk"
        grown_gb = math.ceil((disk.total - disk.free + needed) * 1.05 / GB)
        raise NoSpace(
            f"the weights still need {needed / GB:.1f} GB, and {cache} has {disk.free / GB:.1f} GB free of "
            f"{disk.total / GB:.1f} GB",
            fix=f"grow the {place} to {grown_gb} GB",
        )


def _present(model: Model, settings: Settings) -> Path:
    """Return the folder of weights that someone else put there; they must be complete."""
    place = folder(model, settings)
    fix = "build the image again with `factory build`"
    if model.placement == "cached":
        fix = f"set the endpoint's cached model to {model.repo} at this commit"
    absent = _absent(place, model.files)
    if absent:
        raise WeightsMissing(
            f"{len(absent)} of {len(model.files)} files of {model.repo} are not in {place} with their size, first "
            f"{absent[0].path}",
            fix=fix,
        )
    return place


@dataclass(frozen=True, slots=True)
class _Cached:
    """One model in a Hugging Face cache, and the record of those of its files whose digest was seen to be right."""

    model: Model
    cache: Path

    @property
    def folder(self) -> Path:
        return self.cache / self.model.folder / "snapshots" / self.model.commit

    @property
    def record(self) -> Path:
        return self.cache / self.model.folder / f"factory-verified-{self.model.commit}.json"

    def absent(self) -> list[WeightFile]:
        return _absent(self.folder, self.model.files)

    def complete(self, settings: Settings, log: EventLog) -> Path:
        """Fetch what is absent and verify what was never verified; a wrong file is fetched once more."""
        from worker_runtime.fetch import fetch  # the Hub's client isn't needed when all is there

        absent = self.absent()
        if absent:
            self._forget(absent)  # what arrives now was never verified
            fetch(self.model, absent, self.cache, settings, log)
        wrong = self._unverified_and_wrong()
        if wrong:
            log.tell("refetch", model=self.model.key, paths=[file.path for file in wrong])
            for file in wrong:
                self._remove(file)
            fetch(self.model, wrong, self.cache, settings, log)
            wrong = self._unverified_and_wrong()
        if wrong:
            for file in wrong:
                self._remove(file)
            raise WeightsCorrupt(
                f"{wrong[0].path} of {self.model.repo} arrived twice with another content than {wrong[0].digest}",
                fix="check what stands between the worker and the Hub (HF_ENDPOINT, a proxy), then start again",
            )
        return self.folder

    def _unverified_and_wrong(self) -> list[WeightFile]:
        """Check the digests of the files that the record lacks, then record the right ones."""
        known = self._read_record()
        unverified = [file for file in self.model.files if known.get(file.path) != file.digest]
        wrong = digests.wrong(self.folder, unverified)
        right = {file.path: file.digest for file in unverified if file not in wrong}
        if right:
            self._write_record({**known, **right})
        return wrong

    def _read_record(self) -> dict[str, str]:
        try:
            found = json.loads(self.record.read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write_record(self, verified: dict[str, str]) -> None:
        partial = self.record.with_suffix(f".{os.getpid()}.partial")  # renamed: a killed worker leaves no half record
        partial.write_text(json.dumps(verified, indent=0, sort_keys=True))
        partial.replace(self.record)

    def _forget(self, files: Sequence[WeightFile]) -> None:
        known, paths = self._read_record(), {file.path for file in files}
        if known.keys() & paths:
            self._write_record({path: digest for path, digest in known.items() if path not in paths})

    def _remove(self, file: WeightFile) -> None:
        """Remove a file's content and its name, so that the client fetches it again."""
        path = self.folder / file.path
        path.resolve().unlink(missing_ok=True)  # the blob that the cache's symlink leads to
        path.unlink(missing_ok=True)
