"""What an account holds, as far as it could be had, and who uses what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from factory.account import Balance, Endpoint, GpuOffer, Health, Pod, Template, Volume

DriftState = Literal["same", "changed", "blocked", "unknown"]


@dataclass(frozen=True, slots=True)
class Drift:
    """How an endpoint differs from its recipe: `text` names what would change, or why it can't be told.

    `mend` is the command that brings it back: an image that isn't in its registry yet needs a `release`.
    """

    path: str
    state: DriftState
    text: str = ""
    mend: Literal["plan", "provision", "release"] = "plan"


@dataclass(frozen=True, slots=True)
class Holdings:
    """One look at an account. None: it could not be had.

    `health` is by endpoint id; `billed` endpoint id → US dollars of the last 7 days; `drifts` are by endpoint name;
    `kept_volumes` are volume names of recipes, deployed or not.
    """

    balance: Balance | None = None
    gpus: tuple[GpuOffer, ...] | None = None
    pods: tuple[Pod, ...] | None = None
    volumes: tuple[Volume, ...] | None = None
    templates: tuple[Template, ...] | None = None
    endpoints: tuple[Endpoint, ...] | None = None
    billed: Mapping[str, float] | None = None
    health: Mapping[str, Health] = field(default_factory=dict)
    drifts: Mapping[str, Drift] = field(default_factory=dict)
    kept_volumes: Mapping[str, str] = field(default_factory=dict)

    def endpoints_of(self, volume: Volume) -> tuple[str, ...]:
        """Return the names of the endpoints that mount a volume."""
        return tuple(sorted(e.spec.name for e in self.endpoints or () if volume.id in e.spec.volume_ids))

    def pods_of(self, volume: Volume) -> tuple[str, ...]:
        """Return the names of the pods that mount a volume."""
        return tuple(sorted(pod.name for pod in self.pods or () if volume.id in pod.volume_ids))

    def is_orphan(self, volume: Volume) -> bool | None:
        """Does nobody mount a volume? None where that can't be told."""
        if self.endpoints_of(volume) or self.pods_of(volume):
            return False
        return None if self.endpoints is None or self.pods is None else True

    def users_of(self, template: Template) -> tuple[str, ...]:
        """Return the names of the endpoints that were made from a template, as far as it shows.

        GraphQL has the link. REST v2 keeps none: there, an endpoint of the template's name, or with the same image,
        disk and environment, counts.
        """
        return tuple(sorted(e.spec.name for e in self.endpoints or () if _is_made_from(e, template)))


def _is_made_from(endpoint: Endpoint, template: Template) -> bool:
    if endpoint.template_id is not None:
        return endpoint.template_id == template.id
    spec, own = endpoint.spec, template.spec
    is_same = (spec.image, spec.container_disk_gb, dict(spec.env)) == (own.image, own.container_disk_gb, dict(own.env))
    return spec.name == own.name or is_same
