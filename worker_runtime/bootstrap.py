"""Brings every model of the recipe to one folder that is complete, or says why it can't.

image   FACTORY_IMAGE_MODELS/<key>, put there by the build
volume  <volume>/models/<org>--<name>@<commit>, brought by the first worker that needs it
disk    the same on the worker's own disk
cached  the snapshot that RunPod laid on the host (its "cached models"), offline
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from worker_runtime.errors import VolumeMissing, WeightsMissing
from worker_runtime.events import EventLog
from worker_runtime.recipe import Model
from worker_runtime.settings import Settings
from worker_runtime.volume import mounted
from worker_runtime.weights import fetch
from worker_runtime.weights.fetch import Brought, How, OnProgress
from worker_runtime.weights.hub import Hub
from worker_runtime.weights.patience import Limits
from worker_runtime.weights.store import Store, size_of
from worker_runtime.weights.wire import Proxy

QUIET_S = 120.0  # without a byte from the Hub


def _ignore_progress(_done_bytes: int, _total_bytes: int, _left_s: float | None) -> None:
    pass


def prepare(
    models: Sequence[Model],
    settings: Settings,
    log: EventLog,
    *,
    recipe: str = "worker",
    on_progress: OnProgress = _ignore_progress,
) -> dict[str, Path]:
    """Return each model's folder by its key, with every listed file in it.

    Nothing is fetched before all placements are checked and the whole of what is missing fits. What is there is used
    without the network. Raises a StartError: VolumeMissing, StorageUnwritable, NoSpace, WeightsMissing, WeightsCorrupt,
    WeightsTimeout or one of the Hub's.
    """
    bring(models, settings, log, recipe=recipe, on_progress=on_progress)
    return {model.key: folder(model, settings) for model in models}


def bring(
    models: Sequence[Model],
    settings: Settings,
    log: EventLog,
    *,
    recipe: str = "worker",
    on_progress: OnProgress = _ignore_progress,
) -> list[Brought]:
    """Do what `prepare` does, and return what was brought, by store: its READY markers may still be on the way."""
    if any(model.placement == "volume" for model in models):
        _demand_volume(settings)
    for model in models:
        if model.placement in ("image", "cached"):
            _demand_present(model, settings)
    how = How(
        hub=Hub(settings.hub_endpoint, settings.hub_token),
        proxy=Proxy(settings.https_proxy, settings.no_proxy),
        limits=Limits(quiet_s=min(QUIET_S, settings.fetch_s / 2), total_s=settings.fetch_s),
        stale_s=settings.lease_s,
    )
    stores: dict[Store, list[Model]] = {}
    for model in models:
        if (store := _store(model, settings)) is not None:
            stores.setdefault(store, []).append(model)
    return [fetch.bring(store, recipe, wanted, how, log, on_progress) for store, wanted in stores.items()]


def folder(model: Model, settings: Settings) -> Path:
    """Return the folder that a model's files have, or will have."""
    store = _store(model, settings)
    if store is not None:
        return store.folder(model)
    if model.placement == "image":
        return settings.image_models / model.key
    hub = settings.volume / "huggingface-cache" / "hub"
    return hub / f"models--{model.repo.replace('/', '--')}" / "snapshots" / model.commit


def _store(model: Model, settings: Settings) -> Store | None:
    """Return where the worker itself puts a model; None when somebody else put it there."""
    match model.placement:
        case "volume":
            return Store(settings.volume)
        case "disk":
            return Store(settings.disk_cache, "container disk")
        case "image" | "cached":
            return None


def _demand_volume(settings: Settings) -> None:
    """Never fall back to the container's disk in silence: without a mount there is no volume."""
    if mounted(settings) is None:
        what = "nothing is mounted there" if settings.volume.is_dir() else "there is no such folder"
        raise VolumeMissing(
            f"the weights belong on {settings.volume}, and {what}",
            fix="attach a network volume to the endpoint, or run the container with -v FOLDER:/runpod-volume",
        )


def _demand_present(model: Model, settings: Settings) -> None:
    """Look for every file of weights that someone else put there."""
    place = folder(model, settings)
    fix = "build the image again with `factory build`"
    if model.placement == "cached":
        fix = f"set the endpoint's cached model to {model.repo} at this commit"
    absent = [file for file in model.files if size_of(place / file.path) != file.size_bytes]
    if absent:
        raise WeightsMissing(
            f"{len(absent)} of {len(model.files)} files of {model.repo} are not in {place} with their size, first "
            f"{absent[0].path}",
            fix=fix,
        )
