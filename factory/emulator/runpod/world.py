"""The account: what it holds, and RunPod's business rules about it, the same for every face.

Each method checks, changes, saves, and tells the listeners; what RunPod would refuse raises `Refused` and changes
nothing. What a request may look like (types, required fields, ranges) is the face's business. Texts that are known
from RunPod are marked in world_rules.py; an update gets a changed *copy* of the entity.
"""

from __future__ import annotations

import copy
import dataclasses
import secrets
from collections.abc import Callable, Mapping
from typing import TypeVar

from factory.emulator.runpod import world_rules as rules
from factory.emulator.runpod.catalogue import Catalogue, Tier
from factory.emulator.runpod.clock import Clock
from factory.emulator.runpod.entities import Endpoint, Login, Person, Release, Secret, Template, Volume
from factory.emulator.runpod.pods import Pod
from factory.emulator.runpod.records import Records
from factory.emulator.runpod.refusals import Refused
from factory.emulator.runpod.store import Store

ID_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
Listener = Callable[[str, str], None]
E_ = TypeVar("E_", Volume, Template, Endpoint, Login, Secret)


def new_id(length: int = 14) -> str:
    """Return an id as RunPod's look: lower-case letters and digits."""
    return "".join(secrets.choice(ID_LETTERS) for _ in range(length))


class World:
    """One account at RunPod."""

    def __init__(
        self, clock: Clock, catalogue: Catalogue, store: Store | None = None, person: Person | None = None
    ) -> None:
        """Take up what the store has. `person`, when given, replaces the stored one."""
        self.clock = clock
        self._catalogue = catalogue
        self.store = store
        self.listeners: list[Listener] = []
        self.volumes: dict[str, Volume] = self._loaded("volume")
        self.templates: dict[str, Template] = self._loaded("template")
        self.endpoints: dict[str, Endpoint] = self._loaded("endpoint")
        self.logins: dict[str, Login] = self._loaded("login")
        self.secrets: dict[str, Secret] = self._loaded("secret")
        self.pods: Records[Pod] = Records(store, "pod")
        stored: list[Person] = store.load("person") if store else []
        self.person = person or (stored[0] if stored else Person())
        self._save("person", self.person)

    def now(self) -> float:
        """Return seconds since the epoch, by the box's clock."""
        return self.clock.now()

    # --- the person ------------------------------------------------------------------------------------------------
    def set_person(
        self, *, balance_usd: float | None = None, worker_quota: int | None = None, public_key: str | None = None
    ) -> Person:
        """Give the account another balance, quota or set of SSH keys (one a line)."""
        if balance_usd is not None:
            self.person.balance_usd = balance_usd
        if worker_quota is not None:
            self.person.worker_quota = worker_quota
        if public_key is not None:
            self.person.public_key = public_key
        self._changed("person", self.person)
        return self.person

    def charge(self, amount_usd: float) -> None:
        """Take money off the account; it may go below zero, as at RunPod."""
        self.person.balance_usd -= amount_usd
        self.person.lifetime_spend_usd += amount_usd
        self._save("person", self.person)

    # --- volumes ---------------------------------------------------------------------------------------------------
    def find_volume(self, volume_id: str) -> Volume:
        """Return a volume. Raises Refused(404)."""
        return _found(self.volumes, volume_id, "network volume")

    def create_volume(self, name: str, size_gb: int, data_center: str, tier: Tier | None = None) -> Volume:
        """Make a volume: 10 to 4096 GB, in a data centre that has storage of that tier."""
        rules.check_volume_size(size_gb)
        tier = rules.chosen_tier(self._catalogue.data_centers, data_center, tier)
        volume = Volume(self._new_id(10), name, size_gb, data_center, tier, self.now())
        return self._kept("volume", self.volumes, volume)

    def update_volume(self, volume_id: str, *, name: str | None = None, size_gb: int | None = None) -> Volume:
        """Rename or grow a volume."""
        volume = self.find_volume(volume_id)
        if size_gb is not None:
            rules.check_volume_size(size_gb)
            rules.check_growth(volume, size_gb)
            volume.size_gb = size_gb
        volume.name = volume.name if name is None else name
        return self._kept("volume", self.volumes, volume)

    def delete_volume(self, volume_id: str) -> None:
        """Remove a volume that no endpoint has."""
        self.find_volume(volume_id)
        rules.check_unused("network volume", [e.name for e in self.endpoints.values() if volume_id in e.volume_ids])
        self._dropped("volume", self.volumes, volume_id)

    # --- registry logins and secrets -------------------------------------------------------------------------------
    def find_login(self, login_id: str) -> Login:
        """Return a registry login. Raises Refused(404)."""
        return _found(self.logins, login_id, "container registry auth")

    def create_login(self, name: str, username: str, password: str) -> Login:
        """Store a registry login; names are unique."""
        rules.check_name_is_free("container registry auth", name, self.logins.values())
        return self._kept("login", self.logins, Login(self._new_id(14), name, username, password, self.now()))

    def update_login(self, login_id: str, username: str, password: str) -> Login:
        """Change user and password."""
        login = self.find_login(login_id)
        login.username, login.password = username, password
        return self._kept("login", self.logins, login)

    def delete_login(self, login_id: str) -> None:
        """Remove a login that no endpoint pulls with; templates silently lose it (REST v2's description)."""
        self.find_login(login_id)
        users = [e.name for e in self.endpoints.values() if e.container.login_id == login_id]
        rules.check_unused("container registry auth", users)
        for template in self.templates.values():
            if template.container.login_id == login_id:
                template.container.login_id = None
                self._changed("template", template)
        self._dropped("login", self.logins, login_id)

    def find_secret(self, secret_id: str) -> Secret:
        """Return a secret. Raises Refused(404)."""
        return _found(self.secrets, secret_id, "secret")

    def create_secret(self, name: str, value: str, description: str = "") -> Secret:
        """Store a secret; names are unique."""
        rules.check_name_is_free("secret", name, self.secrets.values())
        return self._kept("secret", self.secrets, Secret(self._new_id(14), name, value, description, self.now()))

    def delete_secret(self, secret_id: str) -> None:
        """Remove a secret."""
        self.find_secret(secret_id)
        self._dropped("secret", self.secrets, secret_id)

    # --- templates -------------------------------------------------------------------------------------------------
    def find_template(self, template_id: str) -> Template:
        """Return a template, a bound one too. Raises Refused(404)."""
        return _found(self.templates, template_id, "template")

    def create_template(self, draft: Template) -> Template:
        """Store a template under a new id; its name must be free."""
        rules.check_name_is_free("template", draft.name, self.templates.values())
        rules.check_login(draft.container, self.logins)
        template = dataclasses.replace(draft, id=self._new_id(10), created_at=self.now())
        return self._kept("template", self.templates, template)

    def update_template(self, template_id: str, changed: Template) -> Template:
        """Replace a template's content; no endpoint changes by it. Serverless or not stays as it was made.

        (RunPod ignores a change of `isServerless` without a word.)
        """
        old = self.find_template(template_id)
        rules.check_name_is_free("template", changed.name, self.templates.values(), but=template_id)
        rules.check_login(changed.container, self.logins)
        template = dataclasses.replace(
            changed, id=template_id, created_at=old.created_at, is_serverless=old.is_serverless
        )
        return self._kept("template", self.templates, template)

    def delete_template(self, template_id: str) -> None:
        """Remove a template that no endpoint uses."""
        template = self.find_template(template_id)
        users = [e.name for e in self.endpoints.values() if template_id == e.template_id]
        if template.bound_endpoint_id in self.endpoints:
            users.append(self.endpoints[template.bound_endpoint_id].name)
        rules.check_unused("template", users)
        self._dropped("template", self.templates, template_id)

    def template_of(self, endpoint: Endpoint) -> Template:
        """Return the template behind an endpoint: the linked one, or the one that the platform bound to it."""
        if endpoint.template_id is not None:
            return self.find_template(endpoint.template_id)
        return next(t for t in self.templates.values() if t.bound_endpoint_id == endpoint.id)

    # --- endpoints -------------------------------------------------------------------------------------------------
    def find_endpoint(self, endpoint_id: str) -> Endpoint:
        """Return an endpoint. Raises Refused(404)."""
        return _found(self.endpoints, endpoint_id, "endpoint")

    def create_endpoint(self, draft: Endpoint) -> Endpoint:
        """Make an endpoint under a new id, at version 1; without a linked template the platform binds one to it."""
        rules.check_balance(self.person)
        self._check_endpoint(draft)
        rules.check_quota(draft, self.endpoints.values(), self.person.worker_quota)
        now = self.now()
        first = Release(self._new_id(14), 1, now)
        endpoint = dataclasses.replace(draft, id=self._new_id(14), version=1, releases=[first], created_at=now)
        self._kept("endpoint", self.endpoints, endpoint)
        self._bind(endpoint)
        return endpoint

    def update_endpoint(self, endpoint_id: str, changed: Endpoint) -> Endpoint:
        """Replace an endpoint's configuration; what its workers are made of makes a new version and a release."""
        old, changed = self.find_endpoint(endpoint_id), dataclasses.replace(changed, id=endpoint_id)
        rules.check_stays(old, changed)
        self._check_endpoint(changed)
        if changed.workers_max > old.workers_max:
            rules.check_quota(changed, self.endpoints.values(), self.person.worker_quota)
        changes = rules.changes_between(old, changed)
        releases, version = list(old.releases), old.version
        if changes:
            version += 1
            releases.append(Release(self._new_id(14), version, self.now(), changes))
        endpoint = dataclasses.replace(changed, created_at=old.created_at, version=version, releases=releases)
        self._kept("endpoint", self.endpoints, endpoint)
        self._bind(endpoint)
        return endpoint

    def delete_endpoint(self, endpoint_id: str) -> None:
        """Remove an endpoint with the template that is bound to it."""
        self.find_endpoint(endpoint_id)
        self._dropped("endpoint", self.endpoints, endpoint_id)
        for template in [t for t in self.templates.values() if t.bound_endpoint_id == endpoint_id]:
            self._dropped("template", self.templates, template.id)

    def _check_endpoint(self, endpoint: Endpoint) -> None:
        rules.check_template(endpoint, self.templates)
        rules.check_login(endpoint.container, self.logins)
        rules.check_workers(endpoint)
        rules.check_places(endpoint, self.volumes, self._catalogue.data_centers)

    def _bind(self, endpoint: Endpoint) -> None:
        """Keep the bound template in step with an endpoint: there only while no other template is linked."""
        bound = next((t for t in self.templates.values() if t.bound_endpoint_id == endpoint.id), None)
        if endpoint.template_id is not None:
            if bound is not None and bound.id != endpoint.template_id:
                self._dropped("template", self.templates, bound.id)
            return
        if bound is None:
            name = f"{endpoint.name}__template__{new_id(6)}"
            bound = Template(
                self._new_id(10),
                name,
                endpoint.container,
                is_serverless=True,
                bound_endpoint_id=endpoint.id,
                created_at=self.now(),
            )
        bound.container = copy.deepcopy(endpoint.container)
        self._kept("template", self.templates, bound)

    # --- keeping ---------------------------------------------------------------------------------------------------
    def _new_id(self, length: int) -> str:
        taken: tuple[Mapping[str, object], ...] = (self.volumes, self.templates, self.endpoints, self.logins)
        while any((candidate := new_id(length)) in held for held in taken):
            pass
        return candidate

    def _loaded(self, kind: str) -> dict[str, E_]:
        return {entity.id: entity for entity in (self.store.load(kind) if self.store else ())}

    def _kept(self, kind: str, held: dict[str, E_], entity: E_) -> E_:
        held[entity.id] = entity
        self._changed(kind, entity)
        return entity

    def _dropped(self, kind: str, held: dict[str, E_], entity_id: str) -> None:
        del held[entity_id]
        if self.store:
            self.store.delete(kind, entity_id)
        self._tell(kind, entity_id)

    def _changed(self, kind: str, entity: E_ | Person) -> None:
        self._save(kind, entity)
        self._tell(kind, entity.id)

    def _save(self, kind: str, entity: E_ | Person) -> None:
        if self.store:
            self.store.put(kind, entity)

    def _tell(self, kind: str, entity_id: str) -> None:
        for listener in self.listeners:
            listener(kind, entity_id)


def _found(held: Mapping[str, E_], entity_id: str, what: str) -> E_:
    try:
        return held[entity_id]
    except KeyError:
        raise Refused(404, f"{what} not found") from None
