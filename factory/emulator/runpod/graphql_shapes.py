"""What GraphQL shows of an account: entities as the fields of `schema.graphql`.

A field with an argument, or one that costs something to work out, is a function that graphql-core calls when it is
asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from factory.emulator.runpod.catalogue import Catalogue
from factory.emulator.runpod.entities import Endpoint, Login, Secret, Template, Volume, Worker
from factory.emulator.runpod.graphql_catalogue import data_center_shape
from factory.emulator.runpod.times import time_text

if TYPE_CHECKING:
    from factory.emulator.runpod.box import Box

Shape = dict[str, Any]
IDLE_TIMEOUT_S = 5
"""What GraphQL calls the idle time-out of an endpoint that REST v2 gave none."""


def volume_shape(box: Box, volume: Volume) -> Shape:
    """Return a NetworkVolume."""
    home = box.catalogue.data_centers.get(volume.data_center)
    return {
        "id": volume.id,
        "name": volume.name,
        "size": volume.size_gb,
        "dataCenterId": volume.data_center,
        "dataCenter": data_center_shape(box.catalogue, home) if home else None,
    }


def login_shape(login: Login) -> Shape:
    """Return a ContainerRegistryAuth: never the user or the password."""
    return {"id": login.id, "name": login.name}


def secret_shape(secret: Secret) -> Shape:
    """Return a Secret: never its value. Nobody has ever retrieved it: workers don't count."""
    created_at = time_text(secret.created_at)
    return {
        "id": secret.id,
        "name": secret.name,
        "description": secret.description,
        "createdAt": created_at,
        "updatedAt": created_at,
        "lastRetrievedAt": None,
    }


def env_shape(env: Mapping[str, str]) -> list[Shape]:
    """Return EnvironmentVariables."""
    return [{"key": key, "value": value} for key, value in env.items()]


def template_shape(template: Template, *, is_runpod: bool = False) -> Shape:
    """Return a PodTemplate. `is_runpod`: it is one of RunPod's own."""
    container = template.container
    return {
        "id": template.id,
        "name": template.name,
        "imageName": container.image,
        "dockerArgs": container.args,
        "containerDiskInGb": container.disk_gb,
        "volumeInGb": template.volume_gb,
        "volumeMountPath": template.mount_path,
        "ports": ",".join(container.ports),
        "env": env_shape(container.env),
        "isServerless": template.is_serverless,
        "isPublic": template.is_public,
        "isRunpod": is_runpod,
        "readme": template.readme,
        "startSsh": template.start_ssh,
        "startJupyter": template.start_jupyter,
        "containerRegistryAuthId": container.login_id,
        "boundEndpointId": template.bound_endpoint_id,
        "category": template.category,
        "allowedCudaVersions": list(template.allowed_cuda),
    }


# --- endpoints -------------------------------------------------------------------------------------------------------
def endpoint_shape(box: Box, endpoint: Endpoint) -> Shape:
    """Return an Endpoint. `template` is the linked one as it is now, which workers needn't have yet."""
    template = box.world.template_of(endpoint)
    return {
        "id": endpoint.id,
        "name": endpoint.name,
        "userId": box.world.person.id,
        "aiKey": "",
        "type": "LB" if endpoint.kind == "LOAD_BALANCER" else "QB",
        **_compute(box.catalogue, endpoint),
        "templateId": template.id,
        "template": template_shape(template),
        "env": env_shape(own_env(endpoint)),
        **_scaling(endpoint),
        "locations": ",".join(endpoint.data_centers),
        "dataCenterIds": list(endpoint.data_centers),
        **_volumes(box, endpoint),
        "executionTimeoutMs": endpoint.execution_timeout_ms,
        "flashBootType": endpoint.flashboot,
        "modelReferences": list(endpoint.model_references),
        "version": endpoint.version,
        "createdAt": time_text(endpoint.created_at),
        "pods": lambda _: [worker_shape(box, endpoint, w) for w in box.fleet.workers(endpoint.id)],
        "workerState": lambda _: [_worker_state(box, endpoint)],
    }


def own_env(endpoint: Endpoint) -> dict[str, str]:
    """Return what GraphQL's `env` laid over the template's, as far as it still holds."""
    env = endpoint.container.env
    return {key: value for key, value in endpoint.own_env.items() if env.get(key) == value}


def _compute(catalogue: Catalogue, endpoint: Endpoint) -> Shape:
    return {
        "computeType": "CPU" if endpoint.cpus else "GPU",
        "gpuIds": ",".join([*endpoint.pools, *(f"-{gpu}" for gpu in endpoint.excluded_gpus)]),
        "gpuCount": endpoint.gpu_count,
        "instanceIds": [instance_id(catalogue, cpu.id, cpu.vcpus) for cpu in endpoint.cpus],
        "allowedCudaVersions": ",".join(endpoint.allowed_cuda),
        "minCudaVersion": endpoint.min_cuda or "",
    }


def instance_id(catalogue: Catalogue, flavor_id: str, vcpus: int) -> str:
    """Return a CPU size as GraphQL names it: flavour, vCPUs, GB of memory: `cpu3c-2-4`."""
    flavor = catalogue.cpus.get(flavor_id)
    return f"{flavor_id}-{vcpus}-{int(vcpus * flavor.ram_gb_per_vcpu)}" if flavor else f"{flavor_id}-{vcpus}"


def _scaling(endpoint: Endpoint) -> Shape:
    return {
        "workersMin": endpoint.workers_min,
        "workersMax": endpoint.workers_max,
        # 1 even where workersMin is 0 (recorded 2026).
        "workersStandby": endpoint.workers_min + 1,
        "idleTimeout": IDLE_TIMEOUT_S if endpoint.idle_timeout_s is None else endpoint.idle_timeout_s,
        "scalerType": endpoint.scaler,
        # REST v2 takes half seconds, GraphQL's field is an Int.
        "scalerValue": max(1, round(endpoint.scaler_value)),
    }


def _volumes(box: Box, endpoint: Endpoint) -> Shape:
    volumes = [box.world.volumes[key] for key in endpoint.volume_ids if key in box.world.volumes]
    first = volumes[0] if volumes else None
    return {
        "networkVolumeId": first.id if first else None,
        "networkVolume": volume_shape(box, first) if first else None,
        "networkVolumeIds": [{"networkVolumeId": v.id, "dataCenterId": v.data_center} for v in volumes],
    }


def _worker_state(box: Box, endpoint: Endpoint) -> Shape:
    counts = box.fleet.counts(endpoint.id)
    shown = {"initialized": "initializing", "ready": "ready", "running": "running", "throttled": "throttled"}
    return {"time": time_text(box.world.now()), **{name: counts.get(key, 0) for name, key in shown.items()}}


def worker_shape(box: Box, endpoint: Endpoint, worker: Worker) -> Shape:
    """Return a worker as a Pod; what it is doing, GraphQL doesn't say."""
    gpu = box.catalogue.gpus.get(worker.gpu_type or "")
    started_at = worker.started_at
    return {
        "id": worker.id,
        "name": f"{endpoint.name} - {worker.id}",
        "imageName": worker.image,
        "desiredStatus": "EXITED" if worker.is_leaving else "RUNNING",
        "createdAt": time_text(worker.created_at),
        "lastStatusChange": time_text(started_at or worker.created_at),
        "podType": "RESERVED",
        "endpointId": endpoint.id,
        "version": worker.version,
        "containerDiskInGb": endpoint.container.disk_gb,
        "gpuCount": worker.gpu_count,
        "uptimeSeconds": 0 if started_at is None else int(box.world.now() - started_at),
        "machine": {
            "gpuTypeId": worker.gpu_type,
            "gpuDisplayName": gpu.name if gpu else None,
            "dataCenterId": worker.data_center,
        },
    }
