"""/v2/serverless: endpoints. Workers, releases and logs are in rest_workers.py.

From RunPod's OpenAPI, its prose included. Where the service was seen to differ from it (fact sheet of 2026-11-23), the
service wins: an omitted `timeout` is 0, not 300000. Pool ids are not checked, as at RunPod: an unknown one is taken
and never matches; `excludedTypes` are checked, as the OpenAPI says.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from factory.emulator.runpod.catalogue import Catalogue
from factory.emulator.runpod.entities import Container, Cpu, Endpoint
from factory.emulator.runpod.images import LocalRegistries
from factory.emulator.runpod.refusals import Refused
from factory.emulator.runpod.rest_containers import container_view, merged, template_named
from factory.emulator.runpod.rest_wire import Answer, Ask, Handler, invalid, listing
from factory.emulator.runpod.times import time_text
from factory.emulator.runpod.world import World

IDLE_TIMEOUT_S = 10
_JOB_URLS = {
    "run": "run",
    "runSync": "runsync",
    "status": "status/{job_id}",
    "stream": "stream/{job_id}",
    "cancel": "cancel/{job_id}",
    "retry": "retry/{job_id}",
    "purgeQueue": "purge-queue",
    "health": "health",
}


class Serverless:
    """Handlers of endpoints."""

    def __init__(self, world: World, catalogue: Catalogue, images: LocalRegistries) -> None:
        self._world = world
        self._catalogue = catalogue
        self._images = images

    def handlers(self) -> dict[str, Handler]:
        """Return them by operationId."""
        return {
            "listEndpoints": self.all,
            "createEndpoint": self.create,
            "getEndpoint": self.one,
            "updateEndpoint": self.update,
            "deleteEndpoint": self.delete,
        }

    def all(self, ask: Ask) -> Answer:
        """GET /v2/serverless."""
        return listing(ask, "endpoints", [self._view(e, ask.url) for e in self._world.endpoints.values()])

    def one(self, ask: Ask) -> Answer:
        """GET /v2/serverless/{id}."""
        return Answer(body=self._view(self._world.find_endpoint(ask.path["id"]), ask.url))

    async def create(self, ask: Ask) -> Answer:
        """POST /v2/serverless."""
        body = ask.body
        if ("gpu" in body) == ("cpu" in body):
            raise Refused(400, "exactly one of gpu and cpu must be set")
        template = template_named(self._world, self._catalogue, body.get("templateId"), is_serverless=True)
        draft = Endpoint("", body["name"], body["type"], merged(Container(""), body, template))
        gpu = body.get("gpu", {})
        if template and "gpu" in body and not {"allowedCudaVersions", "minCudaVersion"} & gpu.keys():
            draft.allowed_cuda = list(template.allowed_cuda)
        draft = self._changed(draft, body)
        await self._check_image(draft.container)
        return Answer(201, self._view(self._world.create_endpoint(draft), ask.url))

    async def update(self, ask: Ask) -> Answer:
        """PATCH /v2/serverless/{id}."""
        old = self._world.find_endpoint(ask.path["id"])
        if ("gpu" in ask.body and old.cpus) or ("cpu" in ask.body and old.pools):
            raise Refused(400, "the compute family of an endpoint (gpu or cpu) cannot be changed")
        template = template_named(self._world, self._catalogue, ask.body.get("templateId"), is_serverless=True)
        changed = self._changed(replace(old, container=merged(old.container, ask.body, template)), ask.body)
        if changed.container.image != old.container.image:
            await self._check_image(changed.container)
        return Answer(body=self._view(self._world.update_endpoint(old.id, changed), ask.url))

    def delete(self, ask: Ask) -> Answer:
        """DELETE: its bound template and its jobs go too."""
        self._world.delete_endpoint(ask.path["id"])
        return Answer(204)

    async def _check_image(self, container: Container) -> None:
        login = self._world.logins.get(container.login_id) if container.login_id else None
        await self._images.check(container.image, login)

    # --- from a body --------------------------------------------------------------------------------------------
    def _changed(self, endpoint: Endpoint, body: dict[str, Any]) -> Endpoint:
        """Return the endpoint with what a body says beside its container. Raises Refused for what can't be."""
        workers, timeout_ms = body.get("workers", {}), int(body.get("timeout", endpoint.execution_timeout_ms))
        if timeout_ms < 0:
            raise Refused(400, f"timeout must not be negative (got {timeout_ms})")
        changed = replace(
            endpoint,
            name=body.get("name", endpoint.name),
            workers_min=int(workers.get("min", endpoint.workers_min)),
            workers_max=int(workers.get("max", endpoint.workers_max)),
            data_centers=list(body.get("dataCenterIds", endpoint.data_centers)),
            volume_ids=list(body.get("networkVolumes", endpoint.volume_ids)),
            execution_timeout_ms=timeout_ms,
            flashboot=body.get("flashboot", endpoint.flashboot),
            cpus=[self._cpu(cpu) for cpu in body["cpu"]] if "cpu" in body else endpoint.cpus,
        )
        return self._with_gpu(_with_scaling(changed, body), body.get("gpu", {}))

    def _with_gpu(self, endpoint: Endpoint, gpu: dict[str, Any]) -> Endpoint:
        changed = replace(
            endpoint,
            gpu_count=int(gpu.get("count", endpoint.gpu_count)),
            allowed_cuda=list(gpu.get("allowedCudaVersions", endpoint.allowed_cuda)),
            min_cuda=gpu.get("minCudaVersion", endpoint.min_cuda) or None,
        )
        if "pools" in gpu:  # pools and exclusions are one selection: the new one replaces both
            changed.pools = list(gpu["pools"])
            changed.excluded_gpus = [name.strip() for name in gpu.get("excludedTypes", ())]
            self._check_exclusions(changed)
        if changed.allowed_cuda and changed.min_cuda:
            raise Refused(400, "gpu.allowedCudaVersions and gpu.minCudaVersion are mutually exclusive")
        return changed

    def _check_exclusions(self, endpoint: Endpoint) -> None:
        types = {gpu.id for pool in endpoint.pools for gpu in self._catalogue.pools.get(pool, ())}
        strange = [name for name in endpoint.excluded_gpus if name not in types]
        if strange:
            raise Refused(400, f"excludedTypes: {strange[0]!r} is not a GPU type in any of the selected pools")
        if endpoint.excluded_gpus and types <= set(endpoint.excluded_gpus):
            raise Refused(400, "excludedTypes leaves no GPU type in the selected pools")

    def _cpu(self, wanted: dict[str, Any]) -> Cpu:
        flavor, vcpus = self._catalogue.cpus.get(wanted["id"]), int(wanted["vcpuCount"])
        if flavor is None:
            raise Refused(400, f"cpu: {wanted['id']!r} is not a CPU flavor")
        if not flavor.has_size(vcpus):
            bounds = f"{flavor.min_vcpus} to {flavor.max_vcpus}"
            raise Refused(400, f"cpu: vcpuCount {vcpus} of {flavor.id} must be a power of two from {bounds}")
        return Cpu(flavor.id, vcpus)

    # --- to a body ----------------------------------------------------------------------------------------------
    def _view(self, endpoint: Endpoint, url: str) -> dict[str, Any]:
        workers: dict[str, Any] = {"min": endpoint.workers_min, "max": endpoint.workers_max}
        if has_idle_timeout(endpoint):
            workers["idleTimeout"] = endpoint.idle_timeout_s or IDLE_TIMEOUT_S
        return {
            "id": endpoint.id,
            "name": endpoint.name,
            "type": endpoint.kind,
            "requestUrls": _urls(endpoint, url),
            **container_view(endpoint.container),
            **(
                {"cpu": [self._cpu_view(cpu) for cpu in endpoint.cpus]}
                if endpoint.cpus
                else {"gpu": _gpu_view(endpoint)}
            ),
            "workers": workers,
            "scaling": _scaling_view(endpoint),
            "dataCenterIds": list(endpoint.data_centers),
            "networkVolumes": list(endpoint.volume_ids),
            "timeout": endpoint.execution_timeout_ms,
            "flashboot": endpoint.flashboot,
            "createdAt": time_text(endpoint.created_at),
        }

    def _cpu_view(self, cpu: Cpu) -> dict[str, Any]:
        flavor = self._catalogue.cpus.get(cpu.id)
        memory_gb = cpu.vcpus * (flavor.ram_gb_per_vcpu if flavor else 2)
        return {"id": cpu.id, "vcpuCount": cpu.vcpus, "memory": max(1, int(memory_gb))}


def has_idle_timeout(endpoint: Endpoint) -> bool:
    """Does an idle time-out mean anything? Not on a queue that scales on the request count."""
    return endpoint.kind == "LOAD_BALANCER" or endpoint.scaler == "QUEUE_DELAY"


def _with_scaling(endpoint: Endpoint, body: dict[str, Any]) -> Endpoint:
    """Return the endpoint with another scaler and idle time-out, the two that depend on each other."""
    scaling, idle = body.get("scaling"), body.get("workers", {}).get("idleTimeout")
    changed = replace(endpoint)
    if scaling:
        changed.scaler = scaling["type"]
        changed.scaler_value = scaling["queueDelay"] if "queueDelay" in scaling else int(scaling["requestCount"])
    if changed.kind == "LOAD_BALANCER" and changed.scaler != "REQUEST_COUNT":
        raise invalid("$.scaling.type: value must be 'REQUEST_COUNT'")
    if not has_idle_timeout(changed):
        if idle is not None:
            raise invalid("$.workers.idleTimeout: not applicable to a queue that scales on requestCount")
        changed.idle_timeout_s = None
    else:
        changed.idle_timeout_s = int(idle) if idle is not None else changed.idle_timeout_s or IDLE_TIMEOUT_S
    return changed


def _gpu_view(endpoint: Endpoint) -> dict[str, Any]:
    view: dict[str, Any] = {"pools": list(endpoint.pools), "count": endpoint.gpu_count}
    if endpoint.excluded_gpus:
        view["excludedTypes"] = list(endpoint.excluded_gpus)
    return view | {"allowedCudaVersions": list(endpoint.allowed_cuda), "minCudaVersion": endpoint.min_cuda}


def _scaling_view(endpoint: Endpoint) -> dict[str, Any]:
    if endpoint.scaler == "QUEUE_DELAY":
        return {"type": "QUEUE_DELAY", "queueDelay": endpoint.scaler_value}
    return {"type": "REQUEST_COUNT", "requestCount": int(endpoint.scaler_value)}


def _urls(endpoint: Endpoint, url: str) -> dict[str, str]:
    base = f"{url}/v2/{endpoint.id}"
    if endpoint.kind == "QUEUE":
        return {name: f"{base}/{path}" for name, path in _JOB_URLS.items()}
    health = endpoint.container.env.get("HEALTH_CHECK_PATH") or "/ping"
    return {"base": base, "health": base + "/" + health.removeprefix("/")}
