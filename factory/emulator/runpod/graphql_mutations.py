"""The root of every GraphQL mutation. Endpoints are in graphql_endpoints.py, pods in graphql_pods.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

from factory.emulator.runpod.entities import Container, Template
from factory.emulator.runpod.graphql_endpoints import EndpointSaver
from factory.emulator.runpod.graphql_pods import PodActions
from factory.emulator.runpod.graphql_queries import user_shape
from factory.emulator.runpod.graphql_shapes import (
    endpoint_shape,
    login_shape,
    secret_shape,
    template_shape,
    volume_shape,
)
from factory.emulator.runpod.graphql_values import cuda_versions, env_of, listed, pod_disk
from factory.emulator.runpod.refusals import Refused

if TYPE_CHECKING:
    from factory.emulator.runpod.box import Box

Input = Mapping[str, Any]
Shape = dict[str, Any]
CATEGORIES = ("NVIDIA", "AMD", "CPU")


def mutations(box: Box) -> dict[str, Any]:
    """Return the fields of `Mutation`, by name."""
    return {
        **Templates(box).mutations(),
        **Endpoints(box).mutations(),
        **Account(box).mutations(),
        **PodActions(box).mutations(),
    }


class Templates:
    """saveTemplate and deleteTemplate."""

    def __init__(self, box: Box) -> None:
        self._world = box.world

    def mutations(self) -> dict[str, Any]:
        """Return the fields of `Mutation`, by name."""
        return {"saveTemplate": self.save, "deleteTemplate": self.delete}

    def save(self, _: object, asked: Input) -> Shape:
        """Make a template, or with an `id` replace one. No endpoint changes by it.

        Without `isServerless` it is a pod's; an update doesn't change which (RunPod ignores it without a word).
        """
        draft = _template(asked)
        if not asked.get("id"):
            return template_shape(self._world.create_template(draft))
        old = self._world.templates.get(asked["id"])
        if old is None:
            raise Refused(404, "Unable to find template")
        changed = replace(draft, is_serverless=old.is_serverless, bound_endpoint_id=old.bound_endpoint_id)
        return template_shape(self._world.update_template(old.id, _sound(changed)))

    def delete(self, _: object, name: str) -> None:
        """Remove a template, by name."""
        found = next((t for t in self._world.templates.values() if t.name == name), None)
        if found is None:
            raise Refused(404, "Unable to find template")
        self._world.delete_template(found.id)


def _template(asked: Input) -> Template:
    """Return what an input describes, defaults filled in; a bare `volumeInGb` is mounted at /workspace."""
    category = asked.get("category") or "NVIDIA"
    if category not in CATEGORIES:
        raise Refused(400, f"category must be one of {', '.join(CATEGORIES)}, not {category}")
    volume_gb, path = asked["volumeInGb"], asked.get("volumeMountPath") or ""
    mounts = pod_disk(volume_gb, path)
    return _sound(
        Template(
            id="",
            name=asked["name"],
            container=_container(asked),
            is_serverless=bool(asked.get("isServerless")),
            is_public=bool(asked.get("isPublic")),
            category=cast(Literal["NVIDIA", "AMD", "CPU"], category),
            readme=asked.get("readme") or "",
            start_ssh=asked.get("startSsh") is not False,
            start_jupyter=asked.get("startJupyter") is not False,
            allowed_cuda=cuda_versions(asked.get("allowedCudaVersions") or ()),
            volume_gb=volume_gb,
            mount_path=mounts["persistent"]["path"] if mounts else path,
            mounts=mounts,
        )
    )


def _container(asked: Input) -> Container:
    return Container(
        image=asked["imageName"],
        args=asked["dockerArgs"],
        disk_gb=asked["containerDiskInGb"],
        env=env_of(asked["env"]),
        ports=listed(asked.get("ports")),
        login_id=asked.get("containerRegistryAuthId") or None,
    )


def _sound(template: Template) -> Template:
    """Return the template. Raises Refused for what can't be."""
    if template.container.disk_gb < 1:
        raise Refused(400, f"containerDiskInGb must be at least 1, not {template.container.disk_gb}")
    if template.is_serverless and template.volume_gb:
        raise Refused(400, f"volumeInGb must be 0 for a serverless template (got {template.volume_gb})")
    return template


class Endpoints:
    """saveEndpoint, updateEndpointTemplate, deleteEndpoint."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._saver = EndpointSaver(box)

    def mutations(self) -> dict[str, Any]:
        """Return the fields of `Mutation`, by name."""
        return {
            "saveEndpoint": self.save,
            "updateEndpointTemplate": self.relink,
            "deleteEndpoint": self.delete,
        }

    async def save(self, _: object, asked: Input) -> Shape:
        """Make or replace an endpoint."""
        return endpoint_shape(self._box, await self._saver.save(asked))

    def relink(self, _: object, asked: Input) -> Shape:
        """Give an endpoint another template."""
        return endpoint_shape(self._box, self._saver.relink(asked["endpointId"], asked["templateId"]))

    def delete(self, _: object, wanted_id: str) -> None:
        """Remove an endpoint, whose workers must be taken away first (docs.runpod.io, read 2026-11-23)."""
        endpoint = self._box.world.find_endpoint(wanted_id)
        if endpoint.workers_max:
            raise Refused(400, "workersMin and workersMax must be set to 0 before an endpoint is deleted.")
        self._box.world.delete_endpoint(wanted_id)


class Account:
    """Volumes, registry logins, secrets, the person."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._world = box.world

    def mutations(self) -> dict[str, Any]:
        """Return the fields of `Mutation`, by name."""
        world = self._world
        return {
            "createNetworkVolume": self.create_volume,
            "updateNetworkVolume": self.update_volume,
            "deleteNetworkVolume": lambda _, asked: world.delete_volume(asked["id"]),
            "saveRegistryAuth": lambda _, asked: login_shape(world.create_login(**asked)),
            "updateRegistryAuth": self.update_login,
            "deleteRegistryAuth": lambda _, login_id: world.delete_login(login_id),
            "secretCreate": self.create_secret,
            "secretDelete": lambda _, wanted_id: world.delete_secret(wanted_id),
            "updateUserSettings": self.update_person,
        }

    def create_volume(self, _: object, asked: Input) -> Shape:
        """Make a network volume."""
        volume = self._world.create_volume(asked["name"], asked["size"], asked["dataCenterId"])
        return volume_shape(self._box, volume)

    def update_volume(self, _: object, asked: Input) -> Shape:
        """Rename or grow a network volume."""
        volume = self._world.update_volume(asked["id"], name=asked.get("name"), size_gb=asked.get("size"))
        return volume_shape(self._box, volume)

    def update_login(self, _: object, asked: Input) -> Shape:
        """Give a registry login another user and password."""
        return login_shape(self._world.update_login(asked["id"], asked["username"], asked["password"]))

    def create_secret(self, _: object, asked: Input) -> Shape:
        """Store a secret."""
        return secret_shape(self._world.create_secret(asked["name"], asked["value"], asked.get("description") or ""))

    def update_person(self, _: object, asked: Input) -> Shape:
        """Set the SSH keys; null leaves them."""
        self._world.set_person(public_key=asked.get("pubKey"))
        return user_shape(self._box)
