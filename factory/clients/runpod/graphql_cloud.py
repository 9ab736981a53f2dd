"""RunPod's management over GraphQL alone: fills `ports.Cloud` (`RUNPOD_API=graphql`).

A template's change reaches an endpoint when the endpoint is saved again, which `update_endpoint` always does. RunPod
deprecates GraphQL, "early 2027" (docs.runpod.io, read 2026-11-23).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

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
from factory.clients.runpod import graphql_wire as wire
from factory.clients.runpod.create_once import PAUSES_S, create_once, only
from factory.clients.runpod.graphql import GraphqlAccount, GraphqlClient
from factory.clients.runpod.graphql_notes import Running, notes_in, still_runs, with_notes
from factory.clients.runpod.readback import checked_endpoint, checked_template
from factory.clients.runpod.rest_client import RestClient
from factory.clients.runpod.transport import RunPodClient
from factory.clients.runpod.worker_logs import WorkerLogs
from factory.errors import CloudFailed, CloudRefused

T = TypeVar("T")
# One GPU on RunPod's own machines: serverless runs nowhere else.
AVAILABILITY = {"gpuCount": 1, "secureCloud": True}


class GraphqlCloud:
    """Implements `ports.Cloud`. `client` is at RUNPOD_API_BASE_URL, without `/graphql`. Thread-safe: it keeps nothing.

    A create in doubt is looked for by name, `pauses_s` seconds after it, before it is sent again (`create_once`).
    Worker logs and the bill come from REST v2: GraphQL has no documented field for them, and a user needs them.
    """

    name = "graphql"

    def __init__(
        self,
        client: RunPodClient,
        *,
        pauses_s: Sequence[float] = PAUSES_S,
        sleep: Callable[[float], None] = time.sleep,
        quiet_s: float = 3.0,
    ) -> None:
        self._client = GraphqlClient(client)
        self._rest = RestClient(client)
        self._account = GraphqlAccount(self._client)
        self._pauses_s = pauses_s
        self._sleep = sleep
        self._logs = WorkerLogs(client, quiet_s=quiet_s, sleep=sleep)

    # --- the account ---------------------------------------------------------------------------------------------
    def balance(self) -> Balance:
        """Return money, spend and worker quota."""
        return self._account.balance()

    def secrets(self) -> tuple[str, ...]:
        """Return the names of the account's secrets."""
        return self._account.secrets()

    def gpus(self) -> tuple[GpuOffer, ...]:
        """Return the GPU types with their pools and stock, in one call; prices of flex workers GraphQL has none."""
        return self._client.read(wire.read_gpus, "catalogue", {"availability": AVAILABILITY})

    def data_centers(self) -> tuple[DataCenter, ...]:
        """Return the data centres."""
        return self._client.read(
            lambda data: tuple(wire.read_data_center(row) for row in data["dataCenters"]), "data_centers"
        )

    def pods(self) -> tuple[Pod, ...]:
        """Return the rented pods; a worker of an endpoint is none."""
        return self._client.read(wire.read_pods, "pods")

    def spend(self, hours: int = 24) -> Mapping[str, float]:
        """Return endpoint id → US dollars billed for its workers in the last hours, from REST v2."""
        return self._rest.spend(hours)

    def holdings(self, *, volumes: bool, logins: bool) -> Holdings:
        """Return endpoints, templates, volumes and logins, in one call whatever is asked for."""
        return self._client.read(wire.read_holdings, "holdings")

    # --- volumes -------------------------------------------------------------------------------------------------
    def volumes(self) -> tuple[Volume, ...]:
        """Return the network volumes."""
        return self._listed("volumes", "networkVolumes", wire.read_volume)

    def create_volume(self, name: str, data_center: str, size_gb: int) -> Volume:
        """Make a network volume."""
        what = f'volume "{name}"'
        values = {"name": name, "dataCenterId": data_center, "size": size_gb}

        def send() -> Volume:
            return self._client.read(
                lambda data: wire.read_volume(data["createNetworkVolume"]),
                "create_volume",
                values,
                where=what,
                is_create=True,
            )

        def is_it(volume: Volume) -> bool:
            return (volume.name, volume.data_center, volume.size_gb) == (name, data_center, size_gb)

        return self._once(send, lambda: only(filter(is_it, self.volumes()), what), what)

    def grow_volume(self, volume: Volume, size_gb: int) -> Volume:
        """Make a volume larger."""
        values = {"id": volume.id, "name": volume.name, "size": size_gb}
        where = f'volume "{volume.name}"'
        return self._client.read(
            lambda data: wire.read_volume(data["updateNetworkVolume"]), "update_volume", values, where=where
        )

    def delete_volume(self, volume: Volume) -> None:
        """Remove a volume that no endpoint has, with its data."""
        self._delete("delete_volume", {"id": volume.id}, f'volume "{volume.name}"', volume.id, self.volumes)

    # --- registry logins -----------------------------------------------------------------------------------------
    def logins(self) -> tuple[Login, ...]:
        """Return the registry logins."""
        return self._listed("logins", "containerRegistryCreds", wire.read_login)

    def create_login(self, name: str, username: str, password: str) -> Login:
        """Store a registry login."""
        what = f'registry login "{name}"'
        values = {"name": name, "username": username, "password": password}

        def send() -> Login:
            return self._client.read(
                lambda data: wire.read_login(data["saveRegistryAuth"]),
                "create_login",
                values,
                where=what,
                is_create=True,
                secrets=(password,),
            )

        return self._once(send, lambda: only((login for login in self.logins() if login.name == name), what), what)

    def delete_login(self, login: Login) -> None:
        """Remove a registry login."""
        self._delete("delete_login", {"id": login.id}, f'registry login "{login.name}"', login.id, self.logins)

    # --- templates -----------------------------------------------------------------------------------------------
    def templates(self) -> tuple[Template, ...]:
        """Return the account's own templates; not those that RunPod made for one endpoint."""
        found = self._listed("templates", "podTemplates", wire.read_template)
        return tuple(template for template in found if not template.is_bound)

    def create_template(self, spec: TemplateSpec) -> Template:
        """Make a serverless template."""
        what = f'template "{spec.name}"'

        def send() -> Template:
            return self._save_template(wire.write_template(spec), what, is_create=True)

        found = self._once(send, lambda: only((t for t in self.templates() if t.spec.name == spec.name), what), what)
        return checked_template(found, spec)

    def update_template(self, template: Template, spec: TemplateSpec) -> Template:
        """Give a template another content; endpoints run on as before, which `endpoints` shows (graphql_notes.py)."""
        what = f'template "{template.spec.name}"'
        myself = self._client.read(lambda data: dict(data["myself"]), "template_use", where=what)
        row = next((row for row in myself["podTemplates"] if row["id"] == template.id), None)
        if row is None:
            raise CloudRefused("RunPod has no such template", where=what, fix="it may be deleted: run this again")
        old, new = wire.read_running(row), Running(spec.image, spec.container_disk_gb, spec.env, spec.login_id)
        versions = {e["id"]: wire.read_version(e) for e in myself["endpoints"] if e["templateId"] == template.id}
        running = {
            endpoint_id: replace(still_runs(row["readme"], endpoint_id, version) or old, version=version)
            for endpoint_id, version in versions.items()
        }
        readme = with_notes(row["readme"], {key: value for key, value in running.items() if value != new})
        return checked_template(self._save_template(wire.write_template(spec, template.id, readme), what), spec)

    def delete_template(self, template: Template) -> None:
        """Remove a template that no endpoint uses; GraphQL deletes by name."""
        name = template.spec.name
        self._delete("delete_template", {"name": name}, f'template "{name}"', template.id, self.templates)

    def _save_template(self, content: Mapping[str, object], where: str, *, is_create: bool = False) -> Template:
        return self._client.read(
            lambda data: wire.read_template(data["saveTemplate"]),
            "save_template",
            {"input": content},
            where=where,
            is_create=is_create,
        )

    # --- endpoints -----------------------------------------------------------------------------------------------
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return the serverless endpoints."""
        return self._listed("endpoints", "endpoints", wire.read_endpoint)

    def create_endpoint(self, spec: EndpointSpec, template: Template) -> Endpoint:
        """Make a queue endpoint from a template that says the same of image, disk, env and login as `spec`."""
        what = f'endpoint "{spec.name}"'
        content = wire.write_endpoint(spec, template.id)

        def send() -> Endpoint:
            return wire.read_endpoint(self._save_endpoint(content, what, is_create=True))

        def is_it(endpoint: Endpoint) -> bool:
            return (endpoint.spec.name, endpoint.template_id) == (spec.name, template.id)

        return checked_endpoint(self._once(send, lambda: only(filter(is_it, self.endpoints()), what), what), spec)

    def update_endpoint(self, endpoint: Endpoint, spec: EndpointSpec, template: Template) -> Endpoint:
        """Give an endpoint another configuration, and with it its template's content; all else it has stays."""
        what = f'endpoint "{endpoint.spec.name}"'
        row = self._account.endpoint(endpoint.id)
        content = wire.write_endpoint(spec, template.id, row, self._excluded(row, spec))
        saved = self._save_endpoint(content, what)
        left = notes_in(saved["template"]["readme"])
        if left.pop(endpoint.id, None) is not None:
            readme = with_notes(saved["template"]["readme"], left)
            now = wire.read_template(saved["template"])
            self._save_template(wire.write_template(now.spec, now.id, readme), what)
            saved = {**saved, "template": {**saved["template"], "readme": readme}}
        return checked_endpoint(wire.read_endpoint(saved), spec)

    def delete_endpoint(self, endpoint: Endpoint) -> None:
        """Remove an endpoint; its workers are taken away first, as RunPod asks (docs.runpod.io, read 2026-11-23)."""
        what = f'endpoint "{endpoint.spec.name}"'
        row = self._account.find_endpoint(endpoint.id)
        if row is None:
            return
        with suppress(CloudRefused):  # one that can't even be saved any more may still be deleted
            self._save_endpoint({**wire.full_input(row), "workersMin": 0, "workersMax": 0}, what)
        self._delete("delete_endpoint", {"id": endpoint.id}, what, endpoint.id, self.endpoints)

    def models(self, endpoint_id: str) -> tuple[str, ...]:
        """Return the cached models of an endpoint."""
        return self._account.models(endpoint_id)

    def all_models(self) -> Mapping[str, tuple[str, ...]]:
        """Return the cached models of every endpoint that has some, by its id."""
        return self._account.all_models()

    def set_models(self, endpoint_id: str, references: Sequence[str]) -> tuple[str, ...]:
        """Give an endpoint these cached models and no others; return them as RunPod keeps them."""
        return self._account.set_models(endpoint_id, references)

    def _excluded(self, row: Mapping[str, Any], spec: EndpointSpec) -> tuple[str, ...]:
        """Return the excluded GPU types that lie in the pools asked for."""
        excluded = wire.excluded(row)
        if not excluded or set(spec.pools) == set(wire.pools(row)):
            return excluded
        in_pools = {gpu.id for gpu in self.gpus() if gpu.pool in spec.pools}
        return tuple(gpu for gpu in excluded if gpu in in_pools)

    def _save_endpoint(
        self, content: Mapping[str, object], where: str, *, is_create: bool = False
    ) -> Mapping[str, Any]:
        """Save an endpoint and return it; a template that RunPod doesn't know yet gets a moment."""
        for pause_s in (*self._pauses_s, None):
            try:
                return self._client.read(
                    lambda data: dict(data["saveEndpoint"]),
                    "save_endpoint",
                    {"input": content},
                    where=where,
                    is_create=is_create,
                )
            except CloudRefused as error:
                # "Unable to find template" comes, too, right after the template was made (recorded 2026).
                if error.details.get("code") != "template_not_found" or pause_s is None:
                    raise
                self._sleep(pause_s)
        raise AssertionError("the last attempt returns or raises")

    # --- what runs -----------------------------------------------------------------------------------------------
    def workers(self, endpoint_id: str) -> tuple[CloudWorker, ...]:
        """Return an endpoint's workers."""
        return self._client.read(wire.read_workers, "workers", {"id": endpoint_id}, where=f"endpoint {endpoint_id}")

    def rollout(self, endpoint_id: str) -> Rollout:
        """Return how many workers run the current configuration."""
        return self._client.read(wire.read_rollout, "workers", {"id": endpoint_id}, where=f"endpoint {endpoint_id}")

    def releases(self, endpoint_id: str) -> tuple[Release, ...]:
        """Return nothing: GraphQL has no releases."""
        return ()

    def logs(self, endpoint_id: str, worker_id: str, *, tail: int = 100, follow: bool = False) -> Iterator[LogLine]:
        """Yield a worker's log lines, from REST v2."""
        return self._logs.read(endpoint_id, worker_id, tail=tail, follow=follow)

    # --- what all share ------------------------------------------------------------------------------------------
    def _listed(self, name: str, field: str, parse: Callable[[Mapping[str, Any]], T]) -> tuple[T, ...]:
        return self._client.read(lambda data: tuple(parse(row) for row in data["myself"][field] or ()), name)

    def _once(self, send: Callable[[], T], find: Callable[[], T | None], what: str) -> T:
        return create_once(send, find, what, pauses_s=self._pauses_s, sleep=self._sleep)

    def _delete(
        self,
        name: str,
        variables: Mapping[str, object],
        where: str,
        thing_id: str,
        listed: Callable[[], Sequence[Volume | Login | Template | Endpoint]],
    ) -> None:
        """Delete; a failure over what is gone is none: a first try, whose answer was lost, has deleted it."""
        try:
            self._client.query(name, variables, where=where)
        except (CloudRefused, CloudFailed):
            if any(thing.id == thing_id for thing in listed()):
                raise
