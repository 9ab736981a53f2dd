"""The container settings that templates, endpoints and pods have in common, in and out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from factory.emulator.runpod.catalogue import Catalogue
from factory.emulator.runpod.entities import Container, Template
from factory.emulator.runpod.refusals import Refused
from factory.emulator.runpod.world import World


def container_view(container: Container) -> dict[str, Any]:
    """Return the settings as v2 shows them."""
    return {
        "image": container.image,
        "args": container.args,
        "disk": container.disk_gb,
        "ports": list(container.ports),
        "env": dict(container.env),
        "registry": container.login_id,
    }


def merged(old: Container, body: Mapping[str, Any], template: Template | None = None) -> Container:
    """Return a container: what the body says, else the template, else what it was.

    `env` is one value: a body's replaces the old one whole; only a template's and a body's are merged, key by key.
    """
    source = template.container if template else old
    env = dict(source.env) | body.get("env", {}) if template else dict(body.get("env", old.env))
    return replace(
        source,
        image=body.get("image", source.image),
        args=body.get("args", source.args),
        disk_gb=int(body.get("disk", source.disk_gb)),
        ports=list(body.get("ports", source.ports)),
        env=env,
        login_id=body.get("registry", source.login_id),
    )


def template_named(
    world: World, catalogue: Catalogue, template_id: str | None, *, is_serverless: bool
) -> Template | None:
    """Return the template that a body names, own or public. Raises Refused: 404 unknown, 422 the wrong sort."""
    if template_id is None:
        return None
    template = catalogue.official_templates.get(template_id) or world.find_template(template_id)
    if is_serverless and not template.is_serverless:
        raise Refused(422, "Serverless endpoints cannot use pod templates. Please use a serverless template.")
    if template.is_serverless and not is_serverless:
        raise Refused(422, "Pods cannot use serverless templates. Please use a pod template.")
    return template
