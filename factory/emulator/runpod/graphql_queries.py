"""The root of every GraphQL query, and `myself`, the account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from factory.emulator.runpod import graphql_catalogue as catalogue_shapes
from factory.emulator.runpod.graphql_pods import pod_shape
from factory.emulator.runpod.graphql_shapes import (
    endpoint_shape,
    login_shape,
    secret_shape,
    template_shape,
    volume_shape,
)

if TYPE_CHECKING:
    from factory.emulator.runpod.box import Box

Shape = dict[str, Any]
MIN_BALANCE_USD = 0.01
"""What an endpoint's creation asks for ("at least $0.01", recorded 2026); `minBalance` itself was never seen."""


def queries(box: Box) -> dict[str, Any]:
    """Return the fields of `Query`, by name."""
    shelf = box.catalogue
    return {
        "myself": lambda _: user_shape(box),
        "pod": lambda _, asked=None: _pod(box, asked),
        "gpuTypes": lambda _, asked=None: catalogue_shapes.gpu_types(shelf, asked),
        "dataCenters": lambda _: catalogue_shapes.data_centers(shelf),
        "serverlessGpuPools": lambda _: catalogue_shapes.pools(shelf),
        "cpuFlavors": lambda _, asked=None: catalogue_shapes.cpu_flavors(shelf, asked),
        "countryCodes": lambda _: catalogue_shapes.country_codes(shelf),
        "podTemplates": lambda _, asked=None: _pod_templates(box, asked or {}),
        "podTemplate": lambda _, wanted_id: _pod_template(box, wanted_id),
    }


def _pod(box: Box, asked: dict[str, Any] | None) -> Shape | None:
    found = next((pod for pod in box.world.pods.values() if asked and pod.id == asked["podId"]), None)
    return pod_shape(box, found) if found else None


def _pod_templates(box: Box, asked: dict[str, Any]) -> list[Shape]:
    """Return RunPod's own templates and the account's; `isRunpod` picks one of the two."""
    official = [template_shape(t, is_runpod=True) for t in box.catalogue.official_templates.values()]
    own = [template_shape(t) for t in box.world.templates.values()]
    wanted = asked.get("isRunpod")
    return official + own if wanted is None else official if wanted else own


def _pod_template(box: Box, template_id: str) -> Shape | None:
    if template_id in box.catalogue.official_templates:
        return template_shape(box.catalogue.official_templates[template_id], is_runpod=True)
    own = box.world.templates.get(template_id)
    return template_shape(own) if own else None


def user_shape(box: Box) -> Shape:
    """Return `myself`."""
    person, world = box.world.person, box.world
    return {
        "id": person.id,
        "authId": person.id,
        "email": person.email,
        "pubKey": person.public_key,
        "signedTermsOfService": True,
        "clientBalance": person.balance_usd,
        "currentSpendPerHr": lambda _: round(sum(_spend(box).values()), 6),
        "clientLifetimeSpend": person.lifetime_spend_usd,
        "spendLimit": int(person.spend_limit_usd_per_h),
        "spendDetails": lambda _: _spend(box),
        "underBalance": person.balance_usd < MIN_BALANCE_USD,
        "minBalance": MIN_BALANCE_USD,
        "maxServerlessConcurrency": person.worker_quota,
        "endpoints": lambda _: [endpoint_shape(box, endpoint) for endpoint in world.endpoints.values()],
        "endpoint": lambda _, wanted_id: _endpoint(box, wanted_id),
        "networkVolumes": lambda _: [volume_shape(box, volume) for volume in world.volumes.values()],
        "pods": lambda _: [pod_shape(box, pod) for pod in world.pods.values()],
        "podTemplates": lambda _: [template_shape(t) for t in world.templates.values()],
        "serverlessTemplates": lambda _: [template_shape(t) for t in world.templates.values() if t.is_serverless],
        "containerRegistryCreds": lambda _: [login_shape(login) for login in world.logins.values()],
        "secrets": lambda _: [secret_shape(secret) for secret in world.secrets.values()],
        "datacenters": lambda _: catalogue_shapes.data_centers(box.catalogue),
    }


def _spend(box: Box) -> dict[str, float]:
    """Return what is spent now, US dollars per hour."""
    storage = box.fleet.bill.storage_usd_per_h
    return {
        "localStoragePerHour": 0.0,
        "networkStoragePerHour": storage,
        "gpuComputePerHour": max(0.0, box.fleet.bill.spend_usd_per_h - storage),
    }


def _endpoint(box: Box, endpoint_id: str) -> Shape | None:
    endpoint = box.world.endpoints.get(endpoint_id)
    return endpoint_shape(box, endpoint) if endpoint else None
