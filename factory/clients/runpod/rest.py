"""RunPod's management over REST v2 (docs.runpod.io and its OpenAPI 2.0.0, read 2026-11-23): fills `ports.Cloud`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

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
    Template,
    TemplateSpec,
    Volume,
)
from factory.clients.runpod import wire
from factory.clients.runpod.create_once import PAUSES_S, create_once, only
from factory.clients.runpod.readback import checked_endpoint, checked_template
from factory.clients.runpod.rest_client import Json, RestClient
from factory.clients.runpod.transport import RunPodClient
from factory.clients.runpod.worker_logs import WorkerLogs
from factory.errors import CloudGone, CloudRefused

T = TypeVar("T", Volume, Login, Template, Endpoint)


class AccountQueries(Protocol):
    """What REST v2 has no route for."""

    def balance(self) -> Balance:
        """Return money, spend and worker quota."""
        ...

    def secrets(self) -> tuple[str, ...]:
        """Return the names of the account's secrets."""
        ...

    def models(self, endpoint_id: str) -> tuple[str, ...]:
        """Return an endpoint's cached models."""
        ...

    def all_models(self) -> Mapping[str, tuple[str, ...]]:
        """Return the cached models of every endpoint that has some, by its id."""
        ...

    def set_models(self, endpoint_id: str, references: Sequence[str]) -> tuple[str, ...]:
        """Give an endpoint these cached models and no others; return them as RunPod keeps them."""
        ...


class RestCloud:
    """Implements `ports.Cloud`. `client` is at RUNPOD_API_BASE_URL, without `/v2`. Thread-safe: it keeps nothing.

    A create in doubt is looked for by name, `pauses_s` seconds after it, before it is sent again (`create_once`).
    """

    name = "rest"

    def __init__(
        self,
        client: RunPodClient,
        account: AccountQueries,
        *,
        pauses_s: Sequence[float] = PAUSES_S,
        sleep: Callable[[float], None] = time.sleep,
        quiet_s: float = 3.0,
    ) -> None:
        self._rest = RestClient(client)
        self._account = account
        self._pauses_s = pauses_s
        self._sleep = sleep
        self._logs = WorkerLogs(client, quiet_s=quiet_s, sleep=sleep)

    # --- the account and its catalogue -----------------------------------------------------------------------------
    def balance(self) -> Balance:
        """Return money, spend and worker quota, over GraphQL."""
        with _beyond_rest():
            return self._account.balance()

    def secrets(self) -> tuple[str, ...]:
        """Return the names of the account's secrets, over GraphQL."""
        with _beyond_rest():
            return self._account.secrets()

    def gpus(self) -> tuple[GpuOffer, ...]:
        """Return the GPU types with serverless price and stock per data centre."""
        asked = {"include": "AVAILABILITY", "product": "SERVERLESS"}
        return self._list("/catalog/gpus", "gpus", wire.read_gpu, "GPU types", asked)

    def data_centers(self) -> tuple[DataCenter, ...]:
        """Return the data centres."""
        return self._list("/catalog/datacenters", "dataCenters", wire.read_data_center, "data centres")

    def pods(self) -> tuple[Pod, ...]:
        """Return the rented pods; RunPod leaves out those of clusters."""
        return self._list("/pods", "pods", wire.read_pod, "pods")

    def spend(self, hours: int = 24) -> Mapping[str, float]:
        """Return endpoint id → US dollars billed for its workers in the last hours."""
        return self._rest.spend(hours)

    def holdings(self, *, volumes: bool, logins: bool) -> Holdings:
        """Return endpoints and templates, and volumes and logins where asked for; each list in a thread of its own."""
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(4) as pool:
            asked = pool.submit(self.endpoints), pool.submit(self.templates)
            asked_volumes = pool.submit(self.volumes) if volumes else None
            asked_logins = pool.submit(self.logins) if logins else None
        return Holdings(
            asked[0].result(),
            asked[1].result(),
            asked_volumes.result() if asked_volumes else (),
            asked_logins.result() if asked_logins else (),
        )

    # --- volumes ---------------------------------------------------------------------------------------------------
    def volumes(self) -> tuple[Volume, ...]:
        """Return the network volumes."""
        return self._list("/network-volumes", "networkVolumes", wire.read_volume, "network volumes")

    def create_volume(self, name: str, data_center: str, size_gb: int) -> Volume:
        """Make a network volume of the data centre's default tier."""
        where = f'volume "{name}"'
        body = {"name": name, "dataCenter": data_center, "size": size_gb}
        made = self._create(
            "/network-volumes",
            body,
            wire.read_volume,
            lambda: only((v for v in self.volumes() if (v.name, v.data_center) == (name, data_center)), where),
            where,
        )
        return _checked_size(made, size_gb, where)

    def grow_volume(self, volume: Volume, size_gb: int) -> Volume:
        """Make a volume larger."""
        where = f'volume "{volume.name}"'
        body = self._rest.patch(f"/network-volumes/{volume.id}", {"size": size_gb}, where)
        return _checked_size(self._rest.read(wire.read_volume, body, where), size_gb, where)

    def delete_volume(self, volume: Volume) -> None:
        """Remove a volume that no endpoint has, with its data."""
        self._rest.delete(f"/network-volumes/{volume.id}", f'volume "{volume.name}"')

    # --- registry logins -------------------------------------------------------------------------------------------
    def logins(self) -> tuple[Login, ...]:
        """Return the registry logins."""
        return self._list("/registries", "registries", wire.read_login, "registry logins")

    def create_login(self, name: str, username: str, password: str) -> Login:
        """Store a registry login."""
        where = f'registry login "{name}"'
        body = {"name": name, "username": username, "password": password}
        return self._create(
            "/registries",
            body,
            wire.read_login,
            lambda: only((login for login in self.logins() if login.name == name), where),
            where,
            secrets=(password,),
        )

    def delete_login(self, login: Login) -> None:
        """Remove a registry login."""
        self._rest.delete(f"/registries/{login.id}", f'registry login "{login.name}"')

    # --- templates -------------------------------------------------------------------------------------------------
    def templates(self) -> tuple[Template, ...]:
        """Return the account's own templates; REST v2 doesn't list those that are bound to one endpoint."""
        return self._list("/templates", "templates", wire.read_template, "templates")

    def create_template(self, spec: TemplateSpec) -> Template:
        """Make a serverless template."""
        where = f'template "{spec.name}"'
        made = self._create(
            "/templates",
            wire.write_template(spec),
            wire.read_template,
            lambda: only((t for t in self.templates() if t.spec.name == spec.name), where),
            where,
        )
        return checked_template(made, spec)

    def update_template(self, template: Template, spec: TemplateSpec) -> Template:
        """Give a template another content; endpoints keep the copy that they were made with."""
        where = f'template "{spec.name}"'
        body = self._rest.patch(f"/templates/{template.id}", wire.write_template(spec), where)
        return checked_template(self._rest.read(wire.read_template, body, where), spec)

    def delete_template(self, template: Template) -> None:
        """Remove a template that no endpoint uses."""
        self._rest.delete(f"/templates/{template.id}", f'template "{template.spec.name}"')

    # --- endpoints -------------------------------------------------------------------------------------------------
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return the serverless endpoints."""
        return self._list("/serverless", "endpoints", wire.read_endpoint, "endpoints")

    def create_endpoint(self, spec: EndpointSpec, template: Template) -> Endpoint:
        """Make a queue endpoint from a template; the body says the same of the container as the template does."""
        where = f'endpoint "{spec.name}"'
        body = {**wire.write_endpoint(spec), "templateId": template.id}
        made = self._create(
            "/serverless",
            body,
            wire.read_endpoint,
            lambda: only((e for e in self.endpoints() if e.spec.name == spec.name), where),
            where,
            may_be_early=True,
        )
        return checked_endpoint(made, spec)

    def update_endpoint(self, endpoint: Endpoint, spec: EndpointSpec, template: Template) -> Endpoint:
        """Give an endpoint another configuration; what `endpoint.extra` holds stays.

        The template is not sent: REST v2 would merge its env into ours, and keeps no link to it.
        """
        where = f'endpoint "{spec.name}"'
        change = wire.write_endpoint_change(endpoint, spec, self._excluded(endpoint, spec))
        body = self._rest.patch(f"/serverless/{endpoint.id}", change, where)
        return checked_endpoint(self._rest.read(wire.read_endpoint, body, where), spec)

    def delete_endpoint(self, endpoint: Endpoint) -> None:
        """Remove an endpoint; its queued jobs are cancelled."""
        self._rest.delete(f"/serverless/{endpoint.id}", f'endpoint "{endpoint.spec.name}"')

    def _excluded(self, endpoint: Endpoint, spec: EndpointSpec) -> tuple[str, ...]:
        """Return the excluded GPU types that lie in the pools asked for; RunPod refuses any other (400)."""
        excluded = endpoint.extra.get("excluded_gpus") or ()
        if not excluded or set(spec.pools) == set(endpoint.spec.pools):
            return tuple(excluded)
        in_pools = {gpu.id for gpu in self.gpus() if gpu.pool in spec.pools}
        return tuple(gpu for gpu in excluded if gpu in in_pools)

    def models(self, endpoint_id: str) -> tuple[str, ...]:
        """Return an endpoint's cached models, over GraphQL."""
        with _beyond_rest():
            return self._account.models(endpoint_id)

    def all_models(self) -> Mapping[str, tuple[str, ...]]:
        """Return the cached models of every endpoint that has some, by its id, over GraphQL."""
        with _beyond_rest():
            return self._account.all_models()

    def set_models(self, endpoint_id: str, references: Sequence[str]) -> tuple[str, ...]:
        """Give an endpoint these cached models and no others, over GraphQL; return them as RunPod keeps them."""
        with _beyond_rest():
            return self._account.set_models(endpoint_id, references)

    # --- what runs -------------------------------------------------------------------------------------------------
    def workers(self, endpoint_id: str) -> tuple[CloudWorker, ...]:
        """Return an endpoint's workers."""
        return self._list(f"/serverless/{endpoint_id}/workers", "workers", wire.read_worker, f"endpoint {endpoint_id}")

    def rollout(self, endpoint_id: str) -> Rollout:
        """Return how many workers run the current configuration."""
        where = f"endpoint {endpoint_id}"
        return self._rest.read(wire.read_rollout, self._rest.get(f"/serverless/{endpoint_id}/releases", where), where)

    def releases(self, endpoint_id: str) -> tuple[Release, ...]:
        """Return an endpoint's releases, newest first."""
        return self._list(
            f"/serverless/{endpoint_id}/releases", "releases", wire.read_release, f"endpoint {endpoint_id}"
        )

    def logs(self, endpoint_id: str, worker_id: str, *, tail: int = 100, follow: bool = False) -> Iterator[LogLine]:
        """Yield a worker's log lines; without `follow` those that are there."""
        return self._logs.read(endpoint_id, worker_id, tail=tail, follow=follow)

    # --- how -------------------------------------------------------------------------------------------------------
    def _list(
        self,
        path: str,
        key: str,
        parse: Callable[[Json], Any],
        where: str,
        params: dict[str, str] | None = None,
    ) -> tuple[Any, ...]:
        rows = self._rest.pages(path, key, where, params)
        return tuple(self._rest.read(parse, row, where) for row in rows)

    def _create(
        self,
        path: str,
        body: Json,
        parse: Callable[[Json], T],
        find: Callable[[], T | None],
        where: str,
        *,
        secrets: tuple[str, ...] = (),
        may_be_early: bool = False,
    ) -> T:
        """Make a thing once. `may_be_early`: what it names may be so new that RunPod doesn't find it yet."""
        pauses_s = list(self._pauses_s) if may_be_early else []

        def send() -> T:
            while True:
                try:
                    return self._rest.read(parse, self._rest.post(path, body, where, secrets=secrets), where)
                except CloudRefused as error:
                    is_early = error.details.get("code") == "template_not_found"
                    if not (is_early and pauses_s):
                        raise
                    self._sleep(pauses_s.pop(0))

        return create_once(send, find, where, pauses_s=self._pauses_s, sleep=self._sleep)


@contextmanager
def _beyond_rest() -> Iterator[None]:
    """Say what GraphQL's end means here: REST is in use already, and has no route for what was asked."""
    try:
        yield
    except CloudGone as error:
        fix = "update factory: it asks GraphQL for what REST v2 had no route for"
        raise CloudGone(error.what, where=error.where, fix=fix, details={**error.details, "hint": fix}) from error


def _checked_size(volume: Volume, size_gb: int, where: str) -> Volume:
    if volume.size_gb != size_gb:
        raise CloudRefused(
            f"RunPod kept something else than it was told (size_gb: asked for {size_gb}, found {volume.size_gb})",
            where=where,
            fix="run `factory plan` to see what is there now",
            details={"status": None, "code": "not_kept", "id": volume.id},
        )
    return volume
