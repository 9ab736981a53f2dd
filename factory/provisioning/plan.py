"""The plan of one recipe: what would happen, why, and what it costs. Fit to be printed: it shows no secret."""

from __future__ import annotations

from dataclasses import dataclass, fields

from factory.account import Endpoint, Login, Stock, Template, Volume
from factory.errors import AmbiguousName, CannotChange, PreflightFailed, ProvisionError
from factory.provisioning.actions import Action, Resource
from factory.provisioning.costs import Costs
from factory.provisioning.desired import Desired
from factory.provisioning.observed import ImageState
from factory.provisioning.preflight import Finding
from factory.records import DiskPlan, DiskSize


@dataclass(frozen=True, slots=True)
class PoolLine:
    """A pool in its place: how much memory, what is free where the endpoint runs, one worker's price and its source."""

    pool: str
    vram_gb: int | None
    stock: Stock | None
    usd_per_s: float | None
    source: str


@dataclass(frozen=True, slots=True)
class Existing:
    """What is there already, as it was seen."""

    volume: Volume | None = None
    login: Login | None = None
    template: Template | None = None
    endpoint: Endpoint | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What would happen for one recipe. `data_centers` are the recipe's own, for a second look before a create."""

    recipe: str
    image: ImageState
    actions: tuple[Action, ...]
    pools: tuple[PoolLine, ...]
    costs: Costs
    findings: tuple[Finding, ...]
    disks: DiskPlan
    notes: tuple[str, ...]
    desired: Desired
    existing: Existing
    data_centers: tuple[str, ...] = ()

    @property
    def has_changes(self) -> bool:
        """Would anything happen?"""
        return any(action.is_change for action in self.actions)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What is in the way."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    def action(self, resource: Resource) -> Action | None:
        """Return the action on a resource; None when the recipe needs none of its kind."""
        return next((action for action in self.actions if action.resource == resource), None)

    def blocker(self, *, is_replacing: bool = False, is_final: bool = False) -> ProvisionError | None:
        """Return why this plan can't be carried out, as the error to raise; None when it can.

        `is_final`: it is to be carried out now, so the image must be there.
        """
        where = f"recipe {self.recipe}"
        stuck = [a for a in self.actions if a.kind == "impossible" or (a.kind == "replace" and not is_replacing)]
        if stuck:
            kind = AmbiguousName if stuck[0].is_ambiguous else CannotChange
            what = "; ".join(action.reason for action in stuck)
            return kind(what, where=where, fix=stuck[0].fix, details={"resources": [a.resource for a in stuck]})
        if self.errors:
            what = "; ".join(finding.sentence for finding in self.errors)
            codes = [finding.code for finding in self.errors]
            return PreflightFailed(what, where=where, fix=self.errors[0].fix, details={"codes": codes})
        if is_final and not self.image.is_pushed:
            what = self.image.problem or "the image is not in its registry"
            fix = "run `factory build RECIPE --push`"
            return PreflightFailed(what, where=self.image.reference, fix=fix, details={"codes": ["not_pushed"]})
        return None

    def as_record(self) -> dict[str, object]:
        """Return what `--json` prints. The environment appears in the changes alone, with secrets hidden."""
        blocker = self.blocker()
        return {
            "recipe": self.recipe,
            "image": self.image.reference,
            "is_pushed": self.image.is_pushed,
            "has_changes": self.has_changes,
            "actions": [_plain(action) for action in self.actions],
            "pools": [_plain(line) for line in self.pools],
            "costs": _plain(self.costs) | {"idle_usd_per_month": self.costs.idle_usd_per_month},
            "disks": {
                "container": _disk(self.disks.container),
                "volume": _disk(self.disks.volume) if self.disks.volume else None,
            },
            "findings": [_plain(finding) for finding in self.findings],
            "notes": list(self.notes),
            "error": blocker.as_record() if blocker else None,
        }


def _disk(disk: DiskSize) -> dict[str, object]:
    return _plain(disk) | {"rule_bytes": disk.rule_bytes, "floor_bytes": disk.floor_bytes}


def _plain(record: object) -> dict[str, object]:
    """Return a record's fields as JSON values, records in tuples among them."""
    return {f.name: _value(getattr(record, f.name)) for f in fields(record)}  # type: ignore[arg-type]


def _value(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(item) if hasattr(item, "__dataclass_fields__") else _value(item) for item in value]
    return value
