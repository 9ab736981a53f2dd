"""What the account must hold for a recipe: names, sizes, places, environment. Deterministic: names are the recipe's.

endpoint, template   the recipe's name
volume               the recipe's `volume`, else its name
registry login       factory-REGISTRY, where the image is private
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from factory.account import EndpointSpec, TemplateSpec
from factory.provisioning import choices
from factory.provisioning.observed import NEW, ImageState, Observed
from factory.recipe.model import Recipe
from factory.records import GB, DiskPlan, ModelFiles
from factory.references import parse
from factory.wording import seconds_text, size_text

INIT_TIMEOUT = "RUNPOD_INIT_TIMEOUT"
# RunPod takes a worker for unhealthy that hasn't started after 7 minutes (docs.runpod.io, read 2026-11-23).
INIT_TIMEOUT_S = 420
# A volume writes 200 to 400 MB/s (docs.runpod.io, read 2026-11-23), which bounds what the network may bring.
FETCH_BYTES_PER_S = 200_000_000


@dataclass(frozen=True, slots=True)
class VolumeWish:
    """A network volume as it must be. `data_center` is None where no data centre of the recipe has storage."""

    name: str
    data_center: str | None
    size_gb: int


@dataclass(frozen=True, slots=True)
class Desired:
    """All that a recipe needs. `login` is a registry login's name, None for a public image; `notes` explain choices.

    `models` are the references of the endpoint's cached models, which RunPod keeps beside its specification.
    """

    volume: VolumeWish | None
    login: str | None
    template: TemplateSpec
    endpoint: EndpointSpec
    notes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    def with_ids(self, *, volume_id: str | None, login_id: str | None, data_center: str | None) -> Desired:
        """Return the same with the ids of what has been made meanwhile."""
        places = (data_center,) if data_center else self.endpoint.data_centers
        endpoint = replace(
            self.endpoint, volume_ids=(volume_id,) if volume_id else (), login_id=login_id, data_centers=places
        )
        return replace(self, template=replace(self.template, login_id=login_id), endpoint=endpoint)


def desire(
    recipe: Recipe, disks: DiskPlan, models: Sequence[ModelFiles], image: ImageState, observed: Observed
) -> Desired:
    """Say what the account must hold; what the recipe leaves open is chosen from the live catalogue."""
    offers, wanted = choices.catalogue(observed), recipe.endpoint.data_centers
    volume = next((v for v in observed.volumes if v.name == recipe.volume_name), None) if disks.volume else None
    old = next((e.spec for e in observed.endpoints if e.spec.name == recipe.name), None)
    kept = old.pools if old else ()
    if recipe.gpu is None:
        pools: tuple[str, ...] = ()
        allowed = choices.cpu_data_centers(wanted)
    else:
        places = (volume.data_center,) if volume else wanted
        pools = choices.pools(recipe.gpu, offers, disks.fits, places, kept)
        allowed = wanted
    wish = None
    if disks.volume:
        usable = choices.usable(pools, offers, recipe.gpu.min_cuda or image.cuda) if recipe.gpu else ()
        place = volume.data_center if volume else choices.volume_data_center(allowed, usable, offers, observed)
        if recipe.gpu and place:
            pools = choices.pools(recipe.gpu, offers, disks.fits, (place,), kept)
        wish = VolumeWish(recipe.volume_name, place, disks.volume.size_gb)
    env, notes = environment(recipe, models)
    login = login_name(image.reference) if image.is_public is False else None
    login_id = next((found.id for found in observed.logins if found.name == login), NEW) if login else None
    template = TemplateSpec(recipe.name, image.reference, disks.container.size_gb, env, login_id)
    # An image that isn't there yet says nothing of CUDA: what its predecessor needed stays until it does.
    cuda = image.cuda if image.is_pushed or old is None else old.min_cuda
    endpoint = replace(
        _endpoint(recipe, template, pools, cuda, models),
        data_centers=(wish.data_center,) if wish and wish.data_center else allowed,
        volume_ids=(volume.id if volume else NEW,) if wish else (),
    )
    return Desired(wish, login, template, endpoint, notes, model_references(models))


def wants_cached(recipe: Recipe) -> bool:
    """Does RunPod bring a model of the recipe? Only then is an endpoint's list of them asked for (it is GraphQL's)."""
    return any(model.placement == "cached" for model in recipe.models)


def model_references(models: Sequence[ModelFiles]) -> tuple[str, ...]:
    """Return what RunPod calls the cached models: `https://huggingface.co/org/name:commit`, each once.

    With a commit a reference comes back as it is sent; a branch would come back as what it was just then.
    """
    cached = (model for model in models if model.placement == "cached")
    return tuple(dict.fromkeys(f"https://huggingface.co/{model.repo}:{model.commit}" for model in cached))


def _endpoint(
    recipe: Recipe, template: TemplateSpec, pools: tuple[str, ...], cuda: str | None, models: Sequence[ModelFiles]
) -> EndpointSpec:
    said = recipe.endpoint
    is_counting = said.scaler.type == "request_count"
    return EndpointSpec(
        name=recipe.name,
        image=template.image,
        container_disk_gb=template.container_disk_gb,
        env=template.env,
        login_id=template.login_id,
        pools=pools,
        gpu_count=recipe.gpu.count if recipe.gpu else 1,
        min_cuda=(recipe.gpu.min_cuda or cuda) if recipe.gpu else None,
        cpus=() if recipe.gpu else choices.cpus(template.container_disk_gb, models),
        workers_min=said.workers.min,
        workers_max=said.workers.max,
        # RunPod refuses one together with request_count on a queue (REST v2 answers 422, read 2026-11-23).
        idle_timeout_s=None if is_counting else said.idle_timeout_s,
        scaler=said.scaler.type,
        scaler_value=said.scaler.value,
        execution_timeout_ms=said.execution_timeout_s * 1000,
        flashboot=said.flashboot,
    )


def login_name(image: str) -> str:
    """Return the name of the registry login for an image: `factory-ghcr.io`."""
    return f"factory-{parse(image).registry}"


def secret_reference(name: str) -> str:
    """Return what RunPod replaces by the secret's value when a worker starts (docs.runpod.io, read 2026-11-23)."""
    return f"{{{{ RUNPOD_SECRET_{name} }}}}"


def environment(recipe: Recipe, models: Sequence[ModelFiles]) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Return the workers' environment, and the arithmetic of what was added to the recipe's own."""
    env = dict(recipe.env) | {name: secret_reference(name) for name in recipe.secrets}
    fetched = sum(model.unique_bytes for model in models if model.placement in ("volume", "disk"))
    takes_s = fetched / FETCH_BYTES_PER_S
    if takes_s <= INIT_TIMEOUT_S or INIT_TIMEOUT in env:
        return env, ()
    limit_s = init_timeout_s(fetched)
    note = (
        f"{INIT_TIMEOUT}={limit_s}: the first start brings {size_text(fetched)} ÷ {FETCH_BYTES_PER_S / GB * 1000:.0f} "
        f"MB/s = {seconds_text(takes_s)}, x 1.5, in whole minutes; RunPod gives up after {INIT_TIMEOUT_S // 60} min"
    )
    return env | {INIT_TIMEOUT: str(limit_s)}, (note,)


def init_timeout_s(fetched_bytes: int) -> int:
    """Return how long RunPod must wait for a start that brings so many bytes, in whole minutes."""
    return -(-int(fetched_bytes / FETCH_BYTES_PER_S * 1.5) // 60) * 60
