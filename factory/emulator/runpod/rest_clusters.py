"""/v2/clusters: clusters on paper, with their member pods."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from factory.emulator.runpod.catalogue import Catalogue
from factory.emulator.runpod.entities import Container
from factory.emulator.runpod.pods import Cluster, Pod
from factory.emulator.runpod.records import Records
from factory.emulator.runpod.refusals import Refused
from factory.emulator.runpod.rest_containers import merged
from factory.emulator.runpod.rest_pod_rules import checked_mounts
from factory.emulator.runpod.rest_pods import LOW_BALANCE, PodRoutes
from factory.emulator.runpod.rest_wire import Answer, Ask, Handler, listing
from factory.emulator.runpod.times import time_text
from factory.emulator.runpod.world import World, new_id

# The role of rank 0, and of the others.
_ROLES = {"SLURM": ("SLURM_CONTROLLER", "SLURM_COMPUTE"), "RAY": ("RAY_HEAD", "RAY_WORKER")}


class Clusters:
    """Handlers of clusters; the members are pods that /v2/pods shows on request and doesn't change."""

    def __init__(self, world: World, catalogue: Catalogue, pods: PodRoutes) -> None:
        self._world = world
        self._catalogue = catalogue
        self._pods = pods
        self._clusters: Records[Cluster] = Records(world.store, "cluster")

    def handlers(self) -> dict[str, Handler]:
        """Return them by operationId."""
        return {
            "listClusters": self.all,
            "createCluster": self.create,
            "getCluster": self.one,
            "updateCluster": self.rename,
            "deleteCluster": self.delete,
            "listClusterPods": self.members,
        }

    def all(self, ask: Ask) -> Answer:
        """GET /v2/clusters."""
        return listing(ask, "clusters", [self._view(cluster) for cluster in self._clusters.values()])

    def create(self, ask: Ask) -> Answer:
        """POST /v2/clusters: all pods in one data centre, or a 400."""
        body, compute = ask.body, ask.body["compute"]
        container = merged(Container(""), body)
        if not container.image.strip():
            raise Refused(400, "image must not be empty")
        if self._world.person.balance_usd <= 0:
            raise Refused(402, LOW_BALANCE)
        mounts = checked_mounts(body.get("mounts", {}), self._world, is_cpu=False)
        gpu, per_pod = self._pods.gpu(compute["gpuTypeId"]), int(compute["gpuCountPerPod"])
        home = self._pods.place(gpu, per_pod, body.get("dataCenterIds", []))
        now = self._world.now()
        cluster = Cluster(new_id(), body["name"], body["type"], gpu.id, per_pod, int(compute["podCount"]), home, now)
        for rank in range(cluster.pod_count):
            pod = Pod(new_id(), f"{cluster.name}-{rank}", replace(container), gpu_type=gpu.id, gpu_count=per_pod)
            pod.role = _ROLES.get(cluster.kind, (None, None))[min(rank, 1)]
            pod.data_center, pod.mounts, pod.cluster_id, pod.rank, pod.created_at = home, mounts, cluster.id, rank, now
            self._pods.pods.keep(pod)
        return Answer(201, self._view(self._clusters.keep(cluster)))

    def one(self, ask: Ask) -> Answer:
        """GET /v2/clusters/{id}."""
        return Answer(body=self._view(self._clusters.find(ask.path["id"])))

    def rename(self, ask: Ask) -> Answer:
        """PATCH: the name, nothing else."""
        cluster = replace(self._clusters.find(ask.path["id"]), name=ask.body["name"])
        return Answer(body=self._view(self._clusters.keep(cluster)))

    def delete(self, ask: Ask) -> Answer:
        """DELETE: its pods go with it."""
        cluster = self._clusters.find(ask.path["id"])
        for pod in self._members(cluster):
            self._pods.pods.drop(pod.id)
        self._clusters.drop(cluster.id)
        return Answer(204)

    def members(self, ask: Ask) -> Answer:
        """GET /v2/clusters/{id}/pods."""
        members = self._members(self._clusters.find(ask.path["id"]))
        return listing(ask, "pods", [self._pods.view(pod) for pod in members])

    def _members(self, cluster: Cluster) -> list[Pod]:
        return [pod for pod in self._pods.pods.values() if pod.cluster_id == cluster.id]

    def _view(self, cluster: Cluster) -> dict[str, Any]:
        members = self._members(cluster)
        return {
            "id": cluster.id,
            "name": cluster.name,
            "type": cluster.kind,
            "compute": {
                "gpuTypeId": cluster.gpu_type,
                "gpuCountPerPod": cluster.gpus_per_pod,
                "podCount": cluster.pod_count,
            },
            "dataCenterId": cluster.data_center,
            "pods": {"total": len(members), "byStatus": dict(Counter(pod.status for pod in members))},
            "createdAt": time_text(cluster.created_at),
        }
