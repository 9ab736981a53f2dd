"""saveEndpoint: from an `EndpointInput` to an endpoint. It is a full replace: what is left out has its default again.

Defaults (runpodctl, runpod-flash and published answers, read 2026-11-23): idleTimeout 5, scalerType QUEUE_DELAY,
scalerValue 4, minCudaVersion 12.0, flashBootType OFF, no volume, no data centre. The emulator's own, because nobody
tells: workersMin 0, workersMax 3, gpuCount 1, executionTimeoutMs 0; an update without `templateId` and `template` keeps
the template, one without `type` the type; minCudaVersion has no default beside allowedCudaVersions.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import anyio.to_thread

from factory.emulator.runpod import world_rules as rules
from factory.emulator.runpod.entities import Container, Endpoint, Template
from factory.emulator.runpod.graphql_values import (
    ModelReference,
    cuda_versions,
    env_of,
    listed,
    parsed_instance,
    parsed_model,
    selection,
)
from factory.emulator.runpod.images import LocalRegistries
from factory.emulator.runpod.refusals import Refused

if TYPE_CHECKING:
    from factory.emulator.runpod.box import Box

Input = Mapping[str, Any]
V = TypeVar("V")
_COMMIT = re.compile(r"[0-9a-f]{40}")
Kind = Literal["QUEUE", "LOAD_BALANCER"]

KINDS: dict[str, Kind] = {"QB": "QUEUE", "LB": "LOAD_BALANCER"}
MIN_CUDA = "12.0"
NOT_EMULATED = ("hubReleaseId", "flashEnvironmentId", "workersPFBTarget")


class EndpointSaver:
    """Makes and changes endpoints of a box."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._world = box.world
        self._images = LocalRegistries()

    async def save(self, asked: Input) -> Endpoint:
        """Make an endpoint, or with an `id` replace one. Raises Refused."""
        if strange := [name for name in NOT_EMULATED if asked.get(name)]:
            raise Refused(400, f"{strange[0]} is not emulated")
        if len(asked["name"]) < 3:
            raise Refused(400, "Endpoint name must be at least 3 characters long")
        old = self._world.find_endpoint(asked["id"]) if asked.get("id") else None
        draft = _configured(asked, old, self._container(asked, old))
        await self._check_image(draft, old)
        draft.model_references = [await self.pinned(reference) for reference in asked.get("modelReferences") or ()]
        if draft.cpus and draft.model_references:
            raise Refused(400, "Cached models need a GPU endpoint")
        return self._kept(draft, asked.get("template"))

    def relink(self, endpoint_id: str, template_id: str) -> Endpoint:
        """Give an endpoint another template (`updateEndpointTemplate`); its own env stays. Raises Refused."""
        endpoint = self._world.find_endpoint(endpoint_id)
        container = _overlaid(self.template(template_id), endpoint.own_env)
        return self._world.update_endpoint(endpoint.id, replace(endpoint, template_id=template_id, container=container))

    def template(self, template_id: str) -> Template:
        """Return a template that an endpoint can have. Raises Refused, in RunPod's words (recorded 2026)."""
        template = self._box.catalogue.official_templates.get(template_id) or self._world.templates.get(template_id)
        if template is None:
            raise Refused(404, "Unable to find template")
        if not template.is_serverless:
            raise Refused(422, "Serverless endpoints cannot use pod templates. Please use a serverless template.")
        return template

    async def pinned(self, reference: str) -> str:
        """Return a model reference with its commit: `https://huggingface.co/org/name:<40 hex digits>`.

        The hub that the box serves says which. Without one, a digest of the reference stands for the commit, and every
        repository is taken to exist. Raises Refused for one that the hub doesn't have.
        """
        model = parsed_model(reference)
        if self._box.models is None:
            commit = model.revision if _COMMIT.fullmatch(model.revision) else _stand_in(model)
        else:
            repo = await anyio.to_thread.run_sync(self._box.models.get, model.repo)
            held = repo.at(model.revision) if repo else None
            if held is None:
                raise Refused(400, f"Model {model.repo}:{model.revision} not found on Hugging Face")
            commit = held.sha
        return f"https://huggingface.co/{model.repo}:{commit}"

    # --- the parts -------------------------------------------------------------------------------------------------
    def _container(self, asked: Input, old: Endpoint | None) -> tuple[str | None, Container]:
        """Return the id of the linked template (None: the platform binds one) and what workers start from."""
        template_id, inline, own_env = asked.get("templateId") or None, asked.get("template"), env_of(asked.get("env"))
        if template_id and inline:
            raise Refused(400, "Only one of templateId and template may be given")
        if inline:
            return None, _inline(inline, own_env)
        if template_id:
            return template_id, _overlaid(self.template(template_id), own_env)
        if old is None:
            raise Refused(404, "Unable to find template")
        return old.template_id, _overlaid(self._world.template_of(old), own_env)

    async def _check_image(self, draft: Endpoint, old: Endpoint | None) -> None:
        if old is None or draft.container.image != old.container.image:
            login = self._world.logins.get(draft.container.login_id or "")
            await self._images.check(draft.container.image, login)

    def _kept(self, draft: Endpoint, inline: Input | None) -> Endpoint:
        """Store the endpoint; a template that came along gives the bound one its name."""
        name = (inline or {}).get("name")
        bound = next((t for t in self._world.templates.values() if draft.id and t.bound_endpoint_id == draft.id), None)
        if name:
            held = self._world.templates.values()
            rules.check_name_is_free("template", name, held, but=bound.id if bound else None)
        world = self._world
        endpoint = world.update_endpoint(draft.id, draft) if draft.id else world.create_endpoint(draft)
        if name:
            bound = world.template_of(endpoint)
            world.update_template(bound.id, replace(bound, name=name))
        return endpoint


def _stand_in(model: ModelReference) -> str:
    """Return 40 hex digits that are the same for the same repository and revision."""
    return hashlib.sha256(f"{model.repo}:{model.revision}".encode()).hexdigest()[:40]


def _inline(asked: Input, own_env: dict[str, str]) -> Container:
    """Return the container of an endpoint's own template."""
    return Container(
        image=asked["imageName"],
        args=asked.get("dockerArgs") or "",
        disk_gb=_or(asked, "containerDiskInGb", 10),
        env=env_of(asked.get("env")) | own_env,
    )


def _overlaid(template: Template, own_env: dict[str, str]) -> Container:
    """Return a template's container as it is now, with the endpoint's own env over its."""
    container = copy.deepcopy(template.container)
    return replace(container, env=container.env | own_env)


def _configured(asked: Input, old: Endpoint | None, resolved: tuple[str | None, Container]) -> Endpoint:
    """Return the endpoint that an input describes, defaults filled in."""
    template_id, container = resolved
    gpus, cpus = selection(asked.get("gpuIds")), [parsed_instance(text) for text in asked.get("instanceIds") or ()]
    allowed, minimum = _cuda(asked, is_gpu=not cpus)
    draft = Endpoint(
        id=old.id if old else "",
        name=asked["name"],
        kind=_kind(asked.get("type"), old),
        container=container,
        template_id=template_id,
        pools=gpus.pools,
        excluded_gpus=gpus.excluded,
        gpu_count=_at_least(asked, "gpuCount", 1, default=1),
        allowed_cuda=allowed,
        min_cuda=minimum,
        cpus=cpus,
        data_centers=list(asked.get("dataCenterIds") or ()) or listed(asked.get("locations")),
        volume_ids=_volume_ids(asked),
        execution_timeout_ms=_at_least(asked, "executionTimeoutMs", 0, default=0),
        flashboot=asked.get("flashBootType") or "OFF",
        own_env=env_of(asked.get("env")),
    )
    return _scaled(draft, asked)


def _kind(wanted: str | None, old: Endpoint | None) -> Kind:
    if wanted is None:
        return old.kind if old else "QUEUE"
    if wanted not in KINDS:
        raise Refused(400, f"type must be QB or LB, not {wanted}")
    return KINDS[wanted]


def _cuda(asked: Input, *, is_gpu: bool) -> tuple[list[str], str | None]:
    """Return the allowed CUDA versions and the floor; an empty text is no floor."""
    allowed, minimum = cuda_versions(listed(asked.get("allowedCudaVersions"))), asked.get("minCudaVersion")
    if minimum is None:
        minimum = MIN_CUDA if is_gpu and not allowed else ""
    found = cuda_versions([minimum])
    return allowed, found[0] if found else None


def _volume_ids(asked: Input) -> list[str]:
    """Return the volumes that the two fields name, each once."""
    several = [entry["networkVolumeId"] for entry in asked.get("networkVolumeIds") or ()]
    single = asked.get("networkVolumeId")
    return list(dict.fromkeys([*([single] if single else []), *several]))


def _scaled(draft: Endpoint, asked: Input) -> Endpoint:
    """Return the draft with its scaling. Raises Refused for what is out of bounds (docs.runpod.io, read 2026-11-23)."""
    default = "REQUEST_COUNT" if draft.kind == "LOAD_BALANCER" else "QUEUE_DELAY"
    scaler = _or(asked, "scalerType", default)
    if scaler not in ("QUEUE_DELAY", "REQUEST_COUNT"):
        raise Refused(400, f"scalerType must be QUEUE_DELAY or REQUEST_COUNT, not {scaler}")
    if draft.kind == "LOAD_BALANCER" and scaler != "REQUEST_COUNT":
        raise Refused(400, "Load balancing endpoints scale on REQUEST_COUNT")
    idle_timeout_s = _at_least(asked, "idleTimeout", 1, default=5)
    if idle_timeout_s > 3600:
        raise Refused(400, f"idleTimeout must be at most 3600, not {idle_timeout_s}")
    return replace(
        draft,
        workers_min=_at_least(asked, "workersMin", 0, default=0),
        workers_max=_at_least(asked, "workersMax", 0, default=3),
        idle_timeout_s=idle_timeout_s,
        scaler=cast(Literal["QUEUE_DELAY", "REQUEST_COUNT"], scaler),
        scaler_value=float(_at_least(asked, "scalerValue", 1, default=4)),
    )


def _or(asked: Input, name: str, default: V) -> V:
    """Return a field, or the default where it is left out or null."""
    return default if asked.get(name) is None else cast(V, asked[name])


def _at_least(asked: Input, name: str, least: int, *, default: int) -> int:
    number = _or(asked, name, default)
    if number < least:
        raise Refused(400, f"{name} must be at least {least}, not {number}")
    return number
