"""RunPod's management in memory, typed against the port: its rules on names, quota, money and volumes included.

The catalogue is the emulator's, so that a plan made here chooses what a plan made over the emulator does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from factory.account import (
    Balance,
    CloudWorker,
    DataCenter,
    Endpoint,
    EndpointSpec,
    GpuOffer,
    Holdings,
    Login,
    LogLine,
    Pod,
    Release,
    Rollout,
    Stock,
    Template,
    TemplateSpec,
    Volume,
)
from factory.emulator.runpod.catalogue import Catalogue
from factory.errors import CloudRefused
from factory.ports import Cloud

STOCK: dict[str, Stock] = {"LOW": "low", "MEDIUM": "medium", "HIGH": "high"}


def catalogue_gpus(catalogue: Catalogue) -> tuple[GpuOffer, ...]:
    """Return the emulator's GPU types as the port shows them."""
    return tuple(
        GpuOffer(
            gpu.id,
            gpu.name,
            gpu.pool,
            gpu.memory_gb,
            gpu.serverless_usd_per_h,
            {place: STOCK[level] for place, level in gpu.stock.items() if level in STOCK},
            tuple(gpu.cuda),
        )
        for gpu in catalogue.gpus.values()
    )


@dataclass
class FakeCloud:
    """An account. `calls` names every method that was called, `rollouts` are played one per look (the last stays)."""

    name: str = "fake"
    money: Balance = field(default_factory=lambda: Balance(100.0, 0.0, worker_quota=10))
    catalogue: Catalogue = field(default_factory=Catalogue.snapshot)
    secret_names: tuple[str, ...] = ()
    held_volumes: dict[str, Volume] = field(default_factory=dict)
    held_logins: dict[str, Login] = field(default_factory=dict)
    held_templates: dict[str, Template] = field(default_factory=dict)
    held_endpoints: dict[str, Endpoint] = field(default_factory=dict)
    held_models: dict[str, tuple[str, ...]] = field(default_factory=dict)
    are_models_hidden: bool = False
    held_pods: dict[str, Pod] = field(default_factory=dict)
    bill: dict[str, float] = field(default_factory=dict)
    held_workers: dict[str, tuple[CloudWorker, ...]] = field(default_factory=dict)
    passwords: dict[str, tuple[str, str]] = field(default_factory=dict)
    rollouts: list[Rollout] = field(default_factory=lambda: [Rollout(1, 0, 0, False)])
    calls: list[str] = field(default_factory=list)
    _ids: Iterator[int] = field(default_factory=lambda: count(1))

    def changes(self) -> list[str]:
        """Return the calls that made, changed or removed something."""
        return [call for call in self.calls if call.split("_")[0] in ("create", "update", "grow", "delete", "set")]

    # --- lists -----------------------------------------------------------------------------------------------------
    def balance(self) -> Balance:
        """Return the money."""
        self.calls.append("balance")
        return self.money

    def gpus(self) -> tuple[GpuOffer, ...]:
        """Return the catalogue."""
        self.calls.append("gpus")
        return catalogue_gpus(self.catalogue)

    def data_centers(self) -> tuple[DataCenter, ...]:
        """Return the data centres."""
        self.calls.append("data_centers")
        return tuple(DataCenter(dc.id, dc.region, tuple(dc.tiers)) for dc in self.catalogue.data_centers.values())

    def secrets(self) -> tuple[str, ...]:
        """Return the secrets' names."""
        self.calls.append("secrets")
        return self.secret_names

    def pods(self) -> tuple[Pod, ...]:
        """Return the pods."""
        self.calls.append("pods")
        return tuple(self.held_pods.values())

    def spend(self, hours: int = 24) -> Mapping[str, float]:
        """Return the bill that was set."""
        self.calls.append("spend")
        return self.bill

    def holdings(self, *, volumes: bool, logins: bool) -> Holdings:
        """Return what is held."""
        self.calls.append("holdings")
        return Holdings(
            tuple(self.held_endpoints.values()),
            tuple(self.held_templates.values()),
            tuple(self.held_volumes.values()) if volumes else (),
            tuple(self.held_logins.values()) if logins else (),
        )

    def volumes(self) -> tuple[Volume, ...]:
        """Return the volumes."""
        self.calls.append("volumes")
        return tuple(self.held_volumes.values())

    def logins(self) -> tuple[Login, ...]:
        """Return the logins."""
        self.calls.append("logins")
        return tuple(self.held_logins.values())

    def templates(self) -> tuple[Template, ...]:
        """Return the templates."""
        self.calls.append("templates")
        return tuple(self.held_templates.values())

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return the endpoints."""
        self.calls.append("endpoints")
        return tuple(self._shown(endpoint) for endpoint in self.held_endpoints.values())

    def _shown(self, endpoint: Endpoint) -> Endpoint:
        """Show the cached models among what is extra, as GraphQL does; `are_models_hidden`: as REST v2 doesn't."""
        models = self.held_models.get(endpoint.id)
        if not models or self.are_models_hidden:
            return endpoint
        return replace(endpoint, extra={**endpoint.extra, "models": models})

    # --- volumes ---------------------------------------------------------------------------------------------------
    def create_volume(self, name: str, data_center: str, size_gb: int) -> Volume:
        """Make a volume where there is storage; names may repeat."""
        self.calls.append(f"create_volume {name}")
        tiers = self.catalogue.data_centers[data_center].tiers
        self._refuse_unless(bool(tiers) and 10 <= size_gb <= 4096, f"no volume of {size_gb} GB in {data_center}")
        volume = Volume(self._id("vol"), name, data_center, size_gb)
        self.held_volumes[volume.id] = volume
        return volume

    def grow_volume(self, volume: Volume, size_gb: int) -> Volume:
        """Make it larger, never smaller."""
        self.calls.append(f"grow_volume {volume.name}")
        self._refuse_unless(size_gb >= self.held_volumes[volume.id].size_gb, "a volume's size cannot be reduced")
        self.held_volumes[volume.id] = replace(volume, size_gb=size_gb)
        return self.held_volumes[volume.id]

    def delete_volume(self, volume: Volume) -> None:
        """Remove a volume that no endpoint has."""
        self.calls.append(f"delete_volume {volume.name}")
        users = [e for e in self.held_endpoints.values() if volume.id in e.spec.volume_ids]
        self._refuse_unless(not users, "the network volume is in use")
        self.held_volumes.pop(volume.id, None)

    # --- logins ----------------------------------------------------------------------------------------------------
    def create_login(self, name: str, username: str, password: str) -> Login:
        """Store a login; names are unique."""
        self.calls.append(f"create_login {name}")
        self._refuse_unless(all(held.name != name for held in self.held_logins.values()), f"{name} exists")
        login = Login(self._id("login"), name)
        self.held_logins[login.id] = login
        self.passwords[login.id] = (username, password)
        return login

    def delete_login(self, login: Login) -> None:
        """Remove a login."""
        self.calls.append(f"delete_login {login.name}")
        del self.held_logins[login.id]

    # --- templates -------------------------------------------------------------------------------------------------
    def create_template(self, spec: TemplateSpec) -> Template:
        """Make a serverless template; names are unique, the login must be there."""
        self.calls.append(f"create_template {spec.name}")
        names = {held.spec.name for held in self.held_templates.values()}
        self._refuse_unless(spec.name not in names, f"Template name must be unique: {spec.name} exists")
        self._refuse_unless(spec.login_id is None or spec.login_id in self.held_logins, "no such login")
        template = Template(self._id("tpl"), spec, is_serverless=True)
        self.held_templates[template.id] = template
        return template

    def update_template(self, template: Template, spec: TemplateSpec) -> Template:
        """Change a template; no endpoint changes by it."""
        self.calls.append(f"update_template {spec.name}")
        self.held_templates[template.id] = replace(self.held_templates[template.id], spec=spec, args="")
        return self.held_templates[template.id]

    def delete_template(self, template: Template) -> None:
        """Remove a template."""
        self.calls.append(f"delete_template {template.spec.name}")
        users = [e for e in self.held_endpoints.values() if e.template_id == template.id]
        self._refuse_unless(not users, "the template is in use")
        del self.held_templates[template.id]

    # --- endpoints -------------------------------------------------------------------------------------------------
    def create_endpoint(self, spec: EndpointSpec, template: Template) -> Endpoint:
        """Make an endpoint; names may repeat."""
        self.calls.append(f"create_endpoint {spec.name}")
        self._check(spec, template, None)
        endpoint = Endpoint(self._id("ep"), spec, is_queue=True, version=1, template_id=template.id)
        self.held_endpoints[endpoint.id] = endpoint
        return endpoint

    def update_endpoint(self, endpoint: Endpoint, spec: EndpointSpec, template: Template) -> Endpoint:
        """Change an endpoint; what is extra stays."""
        self.calls.append(f"update_endpoint {spec.name}")
        self._check(spec, template, endpoint.id)
        old = self.held_endpoints[endpoint.id]
        self._refuse_unless(bool(old.spec.cpus) == bool(spec.cpus), "the compute family can't change")
        changed = replace(old, spec=spec, version=(old.version or 0) + 1, template_id=template.id)
        self.held_endpoints[endpoint.id] = changed
        return changed

    def delete_endpoint(self, endpoint: Endpoint) -> None:
        """Remove an endpoint."""
        self.calls.append(f"delete_endpoint {endpoint.spec.name}")
        del self.held_endpoints[endpoint.id]
        self.held_models.pop(endpoint.id, None)

    def models(self, endpoint_id: str) -> tuple[str, ...]:
        """Return the cached models."""
        self.calls.append("models")
        return self.held_models.get(endpoint_id, ())

    def all_models(self) -> Mapping[str, tuple[str, ...]]:
        """Return the cached models by endpoint."""
        self.calls.append("all_models")
        return {endpoint_id: models for endpoint_id, models in self.held_models.items() if models}

    def set_models(self, endpoint_id: str, references: Sequence[str]) -> tuple[str, ...]:
        """Set the cached models of a GPU endpoint."""
        endpoint = self.held_endpoints[endpoint_id]
        self.calls.append(f"set_models {endpoint.spec.name}")
        self._refuse_unless(not (references and endpoint.spec.cpus), "Cached models need a GPU endpoint")
        self.held_models[endpoint_id] = tuple(references)
        return self.held_models[endpoint_id]

    def _check(self, spec: EndpointSpec, template: Template, own_id: str | None) -> None:
        held = self.held_templates[template.id]
        self._refuse_unless(held.is_serverless, "Serverless endpoints cannot use pod templates.")
        same = (held.spec.image, held.spec.container_disk_gb, dict(held.spec.env), held.spec.login_id)
        self._refuse_unless(
            same == (spec.image, spec.container_disk_gb, dict(spec.env), spec.login_id), "template and endpoint differ"
        )
        others = sum(e.spec.workers_max for e in self.held_endpoints.values() if e.id != own_id)
        quota = self.money.worker_quota or 1_000
        self._refuse_unless(others + spec.workers_max <= quota, f"Max workers must not exceed your quota ({quota})")
        self._refuse_unless(own_id is not None or self.money.balance_usd >= 0.01, "You must have at least $0.01")
        self._refuse_unless(bool(spec.pools) != bool(spec.cpus), "exactly one of gpu and cpu")
        homes = {self.held_volumes[held].data_center for held in spec.volume_ids}
        self._refuse_unless(not spec.data_centers or homes <= set(spec.data_centers), "the volume is elsewhere")

    # --- what runs -------------------------------------------------------------------------------------------------
    def workers(self, endpoint_id: str) -> tuple[CloudWorker, ...]:
        """Return those that were set."""
        return self.held_workers.get(endpoint_id, ())

    def rollout(self, endpoint_id: str) -> Rollout:
        """Return the next of the rollouts."""
        self.calls.append("rollout")
        return self.rollouts.pop(0) if len(self.rollouts) > 1 else self.rollouts[0]

    def releases(self, endpoint_id: str) -> tuple[Release, ...]:
        """Return none."""
        return ()

    def logs(self, endpoint_id: str, worker_id: str, *, tail: int = 100, follow: bool = False) -> Iterator[LogLine]:
        """Yield nothing."""
        return iter(())

    def _id(self, kind: str) -> str:
        return f"{kind}{next(self._ids)}"

    @staticmethod
    def _refuse_unless(holds: bool, text: str) -> None:
        if not holds:
            raise CloudRefused(text, where="fake")


def _typed() -> Cloud:
    return FakeCloud()
