"""/v2/templates and /v2/catalog/templates."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from factory.emulator.runpod.catalogue import Catalogue
from factory.emulator.runpod.entities import Container, Template
from factory.emulator.runpod.rest_containers import container_view, merged
from factory.emulator.runpod.rest_wire import Answer, Ask, Handler, listing
from factory.emulator.runpod.world import World

MIN_DISK_GB = 10
"""The least that v2 can show as a mount."""


class Templates:
    """Handlers of templates. What is bound to an endpoint is not listed; the public ones can be read, not changed."""

    def __init__(self, world: World, catalogue: Catalogue) -> None:
        self._world = world
        self._catalogue = catalogue

    def handlers(self) -> dict[str, Handler]:
        """Return them by operationId."""
        return {
            "listTemplates": self.all,
            "createTemplate": self.create,
            "getTemplate": self.one,
            "updateTemplate": self.update,
            "deleteTemplate": self.delete,
            "listPublicTemplates": self.public,
        }

    def all(self, ask: Ask) -> Answer:
        """GET /v2/templates: the account's own."""
        own = [template for template in self._world.templates.values() if template.bound_endpoint_id is None]
        return listing(ask, "templates", [_view(template) for template in own])

    def create(self, ask: Ask) -> Answer:
        """POST /v2/templates: a taken name is a 400."""
        draft = Template("", ask.body["name"], merged(Container(""), ask.body))
        return Answer(201, _view(self._world.create_template(_changed(draft, ask.body))))

    def one(self, ask: Ask) -> Answer:
        """GET /v2/templates/{id}: an own or a public one."""
        public = self._catalogue.official_templates.get(ask.path["id"])
        return Answer(body=_view(public or self._world.find_template(ask.path["id"])))

    def update(self, ask: Ask) -> Answer:
        """PATCH: endpoints made from it keep what they have."""
        old = self._world.find_template(ask.path["id"])
        changed = _changed(replace(old, container=merged(old.container, ask.body)), ask.body)
        return Answer(body=_view(self._world.update_template(old.id, changed)))

    def delete(self, ask: Ask) -> Answer:
        """DELETE: 400 while an endpoint uses it."""
        self._world.delete_template(ask.path["id"])
        return Answer(204)

    def public(self, ask: Ask) -> Answer:
        """GET /v2/catalog/templates: one official template; there is no community here."""
        is_official = ask.query.get("source", "official") == "official"
        shown = self._catalogue.official_templates.values() if is_official else ()
        return Answer(body={"templates": [_view(template) for template in shown]})


def _changed(template: Template, body: dict[str, Any]) -> Template:
    """Return the template with what the body says beside its container."""
    mounts = body.get("mounts") or template.mounts
    disk = mounts.get("persistent")
    return replace(
        template,
        name=body.get("name", template.name),
        is_serverless=body.get("serverless", template.is_serverless),
        is_public=body.get("public", template.is_public),
        category=body.get("category", template.category),
        start_ssh=body.get("startSsh", template.start_ssh),
        start_jupyter=body.get("startJupyter", template.start_jupyter),
        allowed_cuda=list(body.get("allowedCudaVersions", template.allowed_cuda)),
        mounts=dict(mounts),
        volume_gb=int(disk["size"]) if disk else template.volume_gb,
        mount_path=disk["path"] if disk else template.mount_path,
    )


def _view(template: Template) -> dict[str, Any]:
    return {
        "id": template.id,
        "name": template.name,
        **container_view(template.container),
        "mounts": template.mounts or _disk(template),
        "serverless": template.is_serverless,
        "public": template.is_public,
        "category": template.category,
        "startSsh": template.start_ssh,
        "startJupyter": template.start_jupyter,
        "allowedCudaVersions": list(template.allowed_cuda),
    }


def _disk(template: Template) -> dict[str, Any]:
    """Return the mount of a template that GraphQL made: there a size and a path."""
    if template.volume_gb < MIN_DISK_GB or not template.mount_path:
        return {}
    return {"persistent": {"size": template.volume_gb, "path": template.mount_path}}
