"""/v2/pods: pods on paper. They are placed by the catalogue's stock and stay PROVISIONING: no pod of ours ever runs.

What can be seen without a running pod follows RunPod's OpenAPI: compute, templates, mounts, locks, and which action is
possible in which status. So `actions`, and the 409 for the others, are right; RUNNING is never reached.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from factory.emulator.runpod.catalogue import Catalogue, Gpu, best_first, fits_cuda
from factory.emulator.runpod.entities import Container
from factory.emulator.runpod.pods import Pod
from factory.emulator.runpod.refusals import Refused
from factory.emulator.runpod.rest_containers import container_view, merged, template_named
from factory.emulator.runpod.rest_pod_rules import changed_mounts, checked_mounts
from factory.emulator.runpod.rest_wire import Answer, Ask, Handler, listing
from factory.emulator.runpod.rest_workers import EVENT_HEADERS
from factory.emulator.runpod.times import time_text
from factory.emulator.runpod.world import World, new_id
from factory.emulator.runpod.world_rules import check_login

NO_STOCK = (
    "There are no longer any instances available with the requested specifications. Please refresh and try again."
)
LOW_BALANCE = "Your account balance is too low to rent a pod"
_ACTIONS = {
    "PROVISIONING": ["stop", "terminate"],
    "STARTING": ["stop", "terminate"],
    "RUNNING": ["stop", "restart", "terminate"],
    "EXITED": ["start", "terminate"],
    "ERROR": ["start", "terminate"],
    "TERMINATED": [],
}


class PodRoutes:
    """Handlers of pods."""

    def __init__(self, world: World, catalogue: Catalogue) -> None:
        self._world = world
        self._catalogue = catalogue
        self.pods = world.pods

    def handlers(self) -> dict[str, Handler]:
        """Return them by operationId."""
        return {
            "listPods": self.all,
            "createPod": self.create,
            "getPod": self.one,
            "updatePod": self.update,
            "deletePod": self.delete,
            "podAction": self.act,
            "getPodLogs": self.logs,
        }

    def all(self, ask: Ask) -> Answer:
        """GET /v2/pods: without a cluster's, unless they are asked for."""
        with_clusters = ask.query.get("includeClusterPods", False)
        shown = [pod for pod in self.pods.values() if with_clusters or pod.cluster_id is None]
        return listing(ask, "pods", [self.view(pod) for pod in shown])

    def create(self, ask: Ask) -> Answer:
        """POST /v2/pods: 400 with RunPod's own words where there is no stock, 402 without money."""
        body = ask.body
        if ("gpu" in body) == ("cpu" in body):
            raise Refused(400, "exactly one of gpu and cpu must be set")
        template = template_named(self._world, self._catalogue, body.get("templateId"), is_serverless=False)
        if template and template.mounts and "cpu" not in body:
            body = {"mounts": template.mounts, **body}
        pod = Pod(new_id(), body["name"], merged(Container(""), body, template), created_at=self._world.now())
        pod.cloud, pod.has_global_network = body.get("cloud", "SECURE"), body.get("globalNetworking", False)
        pod.mounts = checked_mounts(body.get("mounts", {}), self._world, is_cpu="cpu" in body)
        self._check_account(pod)
        if "cpu" in body:
            self._place_cpu(pod, body)
        else:
            self._place_gpu(pod, body, template.allowed_cuda if template else [])
        return Answer(201, self.view(self.pods.keep(pod)))

    def one(self, ask: Ask) -> Answer:
        """GET /v2/pods/{id}."""
        return Answer(body=self.view(self.pods.find(ask.path["id"])))

    def update(self, ask: Ask) -> Answer:
        """PATCH /v2/pods/{id}."""
        body, old = ask.body, self._own(ask.path["id"])
        template = template_named(self._world, self._catalogue, body.get("templateId"), is_serverless=False)
        pod = replace(
            old,
            name=body.get("name", old.name),
            container=merged(old.container, body, template),
            is_locked=body.get("locked", old.is_locked),
            has_global_network=body.get("globalNetworking", old.has_global_network),
            mounts=changed_mounts(old.mounts, body.get("mounts", {})),
        )
        check_login(pod.container, self._world.logins)
        return Answer(body=self.view(self.pods.keep(pod)))

    def delete(self, ask: Ask) -> Answer:
        """DELETE: at once and for good."""
        self.pods.drop(self._own(ask.path["id"]).id)
        return Answer(204)

    def act(self, ask: Ask) -> Answer:
        """POST /v2/pods/{id}/action: 409 for what isn't possible now."""
        pod, action = self._own(ask.path["id"]), ask.body["action"]
        if action not in _ACTIONS[pod.status]:
            raise Refused(409, f"action {action} is not valid for a pod that is {pod.status}")
        if action == "stop" and pod.is_locked:
            raise Refused(409, "the pod is locked: it cannot be stopped or reset")
        if action == "terminate":
            self.pods.drop(pod.id)
            return Answer(204)
        pod.status = "EXITED" if action == "stop" else "PROVISIONING"
        return Answer(body=self.view(self.pods.keep(pod)))

    def logs(self, ask: Ask) -> Answer:
        """GET /v2/pods/{id}/logs: a stream without a line, since nothing runs."""
        self.pods.find(ask.path["id"])
        return Answer(events=_stream(), headers=dict(EVENT_HEADERS))

    def place(self, gpu: Gpu, count: int, data_centers: list[str], cloud: str = "SECURE") -> str:
        """Return a data centre with stock. Raises Refused(400) in RunPod's words."""
        allowed = data_centers or list(self._catalogue.data_centers)
        places = best_first(gpu.stock, allowed) if count <= gpu.max_count_secure and cloud == "SECURE" else []
        if not places:
            raise Refused(400, NO_STOCK)
        return places[0]

    def gpu(self, gpu_type: str) -> Gpu:
        """Return a GPU type. Raises Refused(400) for an unknown one."""
        if gpu_type not in self._catalogue.gpus:
            raise Refused(400, f"gpu type {gpu_type!r} not found")
        return self._catalogue.gpus[gpu_type]

    # --- rules --------------------------------------------------------------------------------------------------
    def _own(self, pod_id: str) -> Pod:
        """Return a pod that is nobody's member. Raises Refused: 404, 409 for a cluster's."""
        pod = self.pods.find(pod_id)
        if pod.cluster_id is not None:
            raise Refused(409, f"pod belongs to cluster {pod.cluster_id}: manage it through /v2/clusters/{{id}}")
        return pod

    def _check_account(self, pod: Pod) -> None:
        if self._world.person.balance_usd <= 0:
            raise Refused(402, LOW_BALANCE)
        check_login(pod.container, self._world.logins)
        if not pod.container.image.strip():
            raise Refused(400, "image must not be empty")

    def _place_gpu(self, pod: Pod, body: Mapping[str, Any], template_cuda: list[str]) -> None:
        wanted = body["gpu"]
        allowed, floor = wanted.get("allowedCudaVersions"), wanted.get("minCudaVersion")
        if allowed and floor:
            raise Refused(400, "gpu.allowedCudaVersions and gpu.minCudaVersion are mutually exclusive")
        gpu = self.gpu(wanted["id"])
        if allowed is None and floor is None:
            allowed = template_cuda
        if not fits_cuda(gpu.cuda, allowed or [], floor):
            raise Refused(400, NO_STOCK)
        pod.gpu_type, pod.gpu_count = gpu.id, int(wanted.get("count", 1))
        pod.data_center = self.place(gpu, pod.gpu_count, self._homes(pod, body), pod.cloud)

    def _place_cpu(self, pod: Pod, body: Mapping[str, Any]) -> None:
        flavor, vcpus = self._catalogue.cpus.get(body["cpu"]["id"]), int(body["cpu"]["vcpuCount"])
        if flavor is None or not flavor.has_size(vcpus):
            raise Refused(400, f"cpu {body['cpu']['id']!r} with {vcpus} vCPUs is not offered")
        places = best_first(flavor.stock, self._homes(pod, body) or list(self._catalogue.data_centers))
        if not places:
            raise Refused(400, NO_STOCK)
        pod.cpu_id, pod.vcpus, pod.data_center = flavor.id, vcpus, places[0]

    def _homes(self, pod: Pod, body: Mapping[str, Any]) -> list[str]:
        """Return where the pod may be: its data centres, and that of its network volume."""
        asked = list(body.get("dataCenterIds", ()))
        homes = [self._world.find_volume(mount["volumeId"]).data_center for mount in pod.mounts.get("network", ())]
        if not homes or not asked:
            return homes or asked
        return [home for home in homes if home in asked] or ["nowhere"]

    # --- to a body ----------------------------------------------------------------------------------------------
    def view(self, pod: Pod) -> dict[str, Any]:
        """Return a pod as v2 shows it; what only a running pod has is null."""
        network: dict[str, Any] = {"enabled": pod.has_global_network}
        view = {
            "id": pod.id,
            "name": pod.name,
            **container_view(pod.container),
            "status": pod.status,
            "actions": list(_ACTIONS[pod.status]),
            "mounts": pod.mounts,
            "cloud": pod.cloud,
            "dataCenterId": pod.data_center,
            "cudaVersion": None,
            "ssh": {"proxy": None, "direct": None},
            "template": None,
            "cost": 0.0 if pod.status == "EXITED" else self._cost_usd_per_h(pod),
            "locked": pod.is_locked,
            "globalNetworking": network,
            "runtime": None,
            "createdAt": time_text(pod.created_at),
            "startedAt": None,
        }
        if pod.gpu_type:
            view["gpu"] = {"id": pod.gpu_type, "count": pod.gpu_count}
        if pod.cpu_id:
            memory_gb = int(pod.vcpus * self._catalogue.cpus[pod.cpu_id].ram_gb_per_vcpu)
            view["cpu"] = {"id": pod.cpu_id, "vcpuCount": pod.vcpus, "memory": memory_gb}
        if pod.cluster_id:
            view["cluster"] = {"id": pod.cluster_id, "rank": pod.rank} | ({"role": pod.role} if pod.role else {})
        return view

    def _cost_usd_per_h(self, pod: Pod) -> float:
        if pod.gpu_type:
            return round(self._catalogue.gpus[pod.gpu_type].secure_usd_per_h * pod.gpu_count, 4)
        return round(self._catalogue.cpus[pod.cpu_id or ""].secure_usd_per_h * pod.vcpus, 4)


async def _stream(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
