"""What RunPod kept of what it was told: it drops fields that it doesn't know, and sets those that weren't sent anew."""

from __future__ import annotations

from collections.abc import Iterator

from factory.account import Endpoint, EndpointSpec, Template, TemplateSpec
from factory.errors import CloudRefused


def checked_template(found: Template, asked: TemplateSpec) -> Template:
    """Return a template that is what was asked; raise CloudRefused that names what differs."""
    differences = list(_container(asked, found.spec))
    if not found.is_serverless:
        differences.append("serverless: asked for True, found False")
    if found.args:
        differences.append(f"args: asked for none, found {found.args!r}")
    _refuse(differences, f'template "{asked.name}"', found.id)
    return found


def checked_endpoint(found: Endpoint, asked: EndpointSpec) -> Endpoint:
    """Return an endpoint that is what was asked; raise CloudRefused that names what differs."""
    differences = [*_container(asked, found.spec), *_settings(asked, found.spec)]
    if not found.is_queue:
        differences.append("type: asked for QUEUE, found another")
    _refuse(differences, f'endpoint "{asked.name}"', found.id)
    return found


def _container(asked: TemplateSpec | EndpointSpec, found: TemplateSpec | EndpointSpec) -> Iterator[str]:
    for name in ("name", "image", "container_disk_gb", "login_id"):
        if getattr(asked, name) != getattr(found, name):
            yield f"{name}: asked for {getattr(asked, name)!r}, found {getattr(found, name)!r}"
    # Values are left out: one may have been filled in by hand with what is nobody's business.
    lost = sorted(key for key, value in asked.env.items() if found.env.get(key) != value)
    if lost:
        yield f"env: {', '.join(lost)} not as asked"


def _settings(asked: EndpointSpec, found: EndpointSpec) -> Iterator[str]:
    idle = ("idle_timeout_s",) if asked.scaler == "queue_delay" and asked.idle_timeout_s is not None else ()
    floor = ("gpu_count", "min_cuda") if asked.pools else ()
    for name in ("pools", "cpus", *floor, "workers_min", "workers_max", *idle, "scaler", "scaler_value",
                 "execution_timeout_ms", "flashboot"):  # fmt: skip
        if getattr(asked, name) != getattr(found, name):
            yield f"{name}: asked for {getattr(asked, name)!r}, found {getattr(found, name)!r}"
    # Without data centres of ours RunPod may name the volume's; the order of either list means nothing.
    if asked.data_centers and set(asked.data_centers) != set(found.data_centers):
        yield f"data_centers: asked for {asked.data_centers!r}, found {found.data_centers!r}"
    if set(asked.volume_ids) != set(found.volume_ids):
        yield f"volume_ids: asked for {asked.volume_ids!r}, found {found.volume_ids!r}"


def _refuse(differences: list[str], where: str, found_id: str) -> None:
    if differences:
        raise CloudRefused(
            f"RunPod kept something else than it was told ({'; '.join(differences)})",
            where=where,
            fix="update factory if RunPod's API has changed; run `factory plan` to see what is there now",
            details={"status": None, "code": "not_kept", "message": "; ".join(differences), "id": found_id},
        )
