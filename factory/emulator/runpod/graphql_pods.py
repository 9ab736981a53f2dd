"""Pods over GraphQL: the SDK's calls put into REST v2's words, so that both faces have the same pods and rules.

Nothing of the emulator runs pods. `desiredStatus` is what was asked for: RUNNING from the creation on, as at RunPod.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from factory.emulator.runpod.graphql_shapes import volume_shape
from factory.emulator.runpod.graphql_values import cuda_versions, env_of, listed, parsed_instance, pod_disk
from factory.emulator.runpod.pods import Pod
from factory.emulator.runpod.refusals import Refused
from factory.emulator.runpod.rest_pods import NO_STOCK, PodRoutes
from factory.emulator.runpod.rest_wire import Ask
from factory.emulator.runpod.times import time_text

if TYPE_CHECKING:
    from factory.emulator.runpod.box import Box

Input = Mapping[str, Any]
Shape = dict[str, Any]
_DESIRED = {"PROVISIONING": "RUNNING", "STARTING": "RUNNING", "ERROR": "DEAD"}


class PodActions:
    """The mutations of pods."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._routes = PodRoutes(box.world, box.catalogue)

    def mutations(self) -> dict[str, Any]:
        """Return the fields of `Mutation`, by name."""
        return {
            "podFindAndDeployOnDemand": lambda _, asked=None: self.deploy_gpu(asked or {}),
            "deployCpuPod": lambda _, asked: self.deploy_cpu(asked),
            "podStop": lambda _, asked: self._act(asked["podId"], "stop"),
            "podResume": lambda _, asked: self._act(asked["podId"], "start"),
            "podTerminate": lambda _, asked: self._terminate(asked["podId"]),
        }

    def deploy_gpu(self, asked: Input) -> Shape:
        """Rent a GPU pod: the first of the wanted types that has stock. Raises Refused."""
        wanted = [*([asked["gpuTypeId"]] if asked.get("gpuTypeId") else []), *(asked.get("gpuTypeIdList") or ())]
        if not wanted:
            raise Refused(400, "gpuTypeId or gpuTypeIdList must be given")
        body = self._body(asked)
        cuda = {
            "allowedCudaVersions": cuda_versions(asked.get("allowedCudaVersions") or ()),
            "minCudaVersion": next(iter(cuda_versions([asked.get("minCudaVersion") or ""])), None),
        }
        for gpu_type in dict.fromkeys(wanted):
            gpu = {"id": gpu_type, "count": asked.get("gpuCount") or 1, **{k: v for k, v in cuda.items() if v}}
            try:
                return self._made({**body, "gpu": gpu})
            except Refused as refused:
                if refused.message != NO_STOCK:
                    raise
        raise Refused(400, NO_STOCK)

    def deploy_cpu(self, asked: Input) -> Shape:
        """Rent a CPU pod; `cpu3c-2-4` unless another size is named. Raises Refused."""
        cpu = parsed_instance(asked.get("instanceId") or "cpu3c-2-4")
        return self._made({**self._body(asked), "cpu": {"id": cpu.id, "vcpuCount": cpu.vcpus}})

    def _made(self, body: dict[str, Any]) -> Shape:
        answer = self._routes.create(Ask(path={}, query={}, body=body, url=self._box.url))
        return pod_shape(self._box, self._box.world.pods.find((answer.body or {})["id"]))

    def _body(self, asked: Input) -> dict[str, Any]:
        """Return REST v2's body for what both sorts of pod have in common; empty texts are left to the template."""
        body = {
            "name": asked.get("name") or "pod",
            "image": asked.get("imageName"),
            "args": asked.get("dockerArgs"),
            "disk": asked.get("containerDiskInGb"),
            "ports": listed(asked.get("ports")),
            "env": env_of(asked.get("env")),
            "templateId": asked.get("templateId"),
            "mounts": _mounts(asked),
            "dataCenterIds": self._data_centers(asked),
            "cloud": "COMMUNITY" if asked.get("cloudType") == "COMMUNITY" else "SECURE",
        }
        return {name: value for name, value in body.items() if value}

    def _data_centers(self, asked: Input) -> list[str]:
        known = self._box.catalogue.data_centers
        if asked.get("dataCenterId"):
            return [asked["dataCenterId"]]
        country = asked.get("countryCode")
        if not country:
            return []
        return [dc.id for dc in known.values() if dc.country == country] or [country]

    def _act(self, pod_id: str, action: str) -> Shape:
        self._routes.act(Ask(path={"id": pod_id}, query={}, body={"action": action}, url=self._box.url))
        return pod_shape(self._box, self._box.world.pods.find(pod_id))

    def _terminate(self, pod_id: str) -> None:
        self._routes.delete(Ask(path={"id": pod_id}, query={}, body=None, url=self._box.url))


def _mounts(asked: Input) -> dict[str, Any]:
    path = asked.get("volumeMountPath")
    if asked.get("networkVolumeId"):
        return {"network": [{"volumeId": asked["networkVolumeId"], "path": path or "/workspace"}]}
    return pod_disk(asked.get("volumeInGb") or 0, path)


def pod_shape(box: Box, pod: Pod) -> Shape:
    """Return a Pod; it has no runtime, since it never runs."""
    gpu = box.catalogue.gpus.get(pod.gpu_type or "")
    cpu = box.catalogue.cpus.get(pod.cpu_id or "")
    network = next(iter(pod.mounts.get("network", ())), None)
    disk = pod.mounts.get("persistent") or {}
    volume = box.world.volumes.get(network["volumeId"]) if network else None
    usd_per_h = gpu.secure_usd_per_h * pod.gpu_count if gpu else cpu.secure_usd_per_h * pod.vcpus if cpu else 0.0
    return {
        "id": pod.id,
        "name": pod.name,
        "imageName": pod.container.image,
        "dockerArgs": pod.container.args,
        "env": [f"{key}={value}" for key, value in pod.container.env.items()],
        "ports": ",".join(pod.container.ports),
        "desiredStatus": _DESIRED.get(pod.status, pod.status),
        "lastStatusChange": time_text(pod.created_at),
        "createdAt": time_text(pod.created_at),
        "podType": "RESERVED",
        "containerDiskInGb": pod.container.disk_gb,
        "volumeInGb": disk.get("size", 0),
        "volumeMountPath": network["path"] if network else disk.get("path"),
        "networkVolumeId": volume.id if volume else None,
        "networkVolume": volume_shape(box, volume) if volume else None,
        "gpuCount": pod.gpu_count,
        "vcpuCount": pod.vcpus,
        "memoryInGb": pod.vcpus * cpu.ram_gb_per_vcpu if cpu else None,
        "costPerHr": 0.0 if pod.status == "EXITED" else round(usd_per_h, 4),
        "uptimeSeconds": 0,
        "machineId": pod.data_center,
        "machine": {
            "podHostId": f"{pod.id}-emulated",
            "gpuDisplayName": gpu.name if gpu else None,
            "gpuTypeId": pod.gpu_type,
            "dataCenterId": pod.data_center,
        },
    }
