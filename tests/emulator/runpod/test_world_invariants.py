"""Whatever is asked of the account in whatever order: its rules hold, and the store has the same."""

from __future__ import annotations

import copy
import dataclasses
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule
from runpod_box import a_template, an_endpoint

from factory.emulator.runpod.catalogue import Catalogue
from factory.emulator.runpod.clock import StepClock
from factory.emulator.runpod.entities import Container, Endpoint, Login, Template, Volume
from factory.emulator.runpod.refusals import Refused
from factory.emulator.runpod.store import Store
from factory.emulator.runpod.world import World

T = TypeVar("T")
HELD = ("volumes", "templates", "endpoints", "logins", "secrets", "person")
CATALOGUE = Catalogue.snapshot()
NAMES = st.sampled_from(["a", "b", "c"])
SIZES = st.integers(0, 5000)
PLACES = st.sampled_from(["EU-RO-1", "US-KS-2", "US-TX-3", "nowhere"])
WORKERS = st.integers(0, 12)


class Account(RuleBasedStateMachine):
    """An account with a store, used at random; what is refused changes nothing."""

    volumes: Bundle[str] = Bundle("volumes")
    templates: Bundle[str] = Bundle("templates")
    endpoints: Bundle[str] = Bundle("endpoints")
    logins: Bundle[str] = Bundle("logins")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = Store(self.folder)
        self.world = World(StepClock(), CATALOGUE, self.store)
        self.sizes: dict[str, int] = {}
        self.versions: dict[str, int] = {}

    def teardown(self) -> None:
        """Open the store anew, and compare."""
        self.store.close()
        again = Store(self.folder)
        loaded = World(StepClock(), CATALOGUE, again)
        for held in HELD:
            assert getattr(loaded, held) == getattr(self.world, held)
        again.close()
        shutil.rmtree(self.folder)

    @rule(target=volumes, name=NAMES, size_gb=SIZES, place=PLACES)
    def create_volume(self, name: str, size_gb: int, place: str) -> Any:
        """Ask for a volume."""
        return _made(_asked(self.world, lambda: self.world.create_volume(name, size_gb, place)))

    @rule(volume=volumes, size_gb=SIZES)
    def resize(self, volume: str, size_gb: int) -> None:
        """Ask for another size."""
        _asked(self.world, lambda: self.world.update_volume(volume, size_gb=size_gb))

    @rule(volume=consumes(volumes))
    def delete_volume(self, volume: str) -> None:
        """Remove a volume."""
        _asked(self.world, lambda: self.world.delete_volume(volume))

    @rule(target=logins, name=NAMES)
    def create_login(self, name: str) -> Any:
        """Store a login."""
        return _made(_asked(self.world, lambda: self.world.create_login(name, "user", "password")))

    @rule(login=logins)
    def delete_login(self, login: str) -> None:
        """Remove a login."""
        _asked(self.world, lambda: self.world.delete_login(login))

    @rule(target=templates, name=NAMES, is_serverless=st.booleans(), login=st.none() | logins)
    def create_template(self, name: str, is_serverless: bool, login: str | None) -> Any:
        """Make a template."""
        draft = a_template(name, is_serverless=is_serverless, container=Container("image", login_id=login))
        return _made(_asked(self.world, lambda: self.world.create_template(draft)))

    @rule(template=templates, name=NAMES)
    def rename_template(self, template: str, name: str) -> None:
        """Give a template another name."""
        if template in self.world.templates:
            changed = dataclasses.replace(copy.deepcopy(self.world.templates[template]), name=name)
            _asked(self.world, lambda: self.world.update_template(template, changed))

    @rule(template=templates)
    def delete_template(self, template: str) -> None:
        """Remove a template."""
        _asked(self.world, lambda: self.world.delete_template(template))

    @rule(
        target=endpoints,
        workers_max=WORKERS,
        template=st.none() | templates,
        volumes=st.lists(volumes, max_size=2),
        place=st.none() | PLACES,
    )
    def create_endpoint(self, workers_max: int, template: str | None, volumes: list[str], place: str | None) -> Any:
        """Make an endpoint, linked to a template or not."""
        draft = an_endpoint(
            workers_max=workers_max, template_id=template, volume_ids=volumes, data_centers=[place] if place else []
        )
        return _made(_asked(self.world, lambda: self.world.create_endpoint(draft)))

    @rule(endpoint=endpoints, workers_max=WORKERS, image=NAMES, template=st.none() | templates)
    def update_endpoint(self, endpoint: str, workers_max: int, image: str, template: str | None) -> None:
        """Change what an endpoint runs, how much of it, and its link."""
        changed = copy.deepcopy(self.world.endpoints[endpoint])
        changed.container.image, changed.workers_max, changed.template_id = image, workers_max, template
        _asked(self.world, lambda: self.world.update_endpoint(endpoint, changed))

    @rule(endpoint=consumes(endpoints))
    def delete_endpoint(self, endpoint: str) -> None:
        """Remove an endpoint."""
        _asked(self.world, lambda: self.world.delete_endpoint(endpoint))

    @invariant()
    def volumes_only_grow(self) -> None:
        """Sizes stay within bounds and never fall; the tier is one of the data centre's."""
        for volume in self.world.volumes.values():
            assert 10 <= volume.size_gb <= 4096
            assert volume.size_gb >= self.sizes.get(volume.id, 0)
            assert volume.tier in CATALOGUE.data_centers[volume.data_center].tiers
            self.sizes[volume.id] = volume.size_gb

    @invariant()
    def names_are_unique(self) -> None:
        """No two templates, logins or secrets have one name."""
        for held in (self.world.templates, self.world.logins, self.world.secrets):
            names = [entity.name for entity in held.values()]
            assert len(names) == len(set(names))

    @invariant()
    def the_quota_holds(self) -> None:
        """All endpoints together have no more workers than the account may."""
        assert sum(e.workers_max for e in self.world.endpoints.values()) <= self.world.person.worker_quota

    @invariant()
    def nothing_leads_nowhere(self) -> None:
        """What an endpoint or template names is there."""
        for endpoint in self.world.endpoints.values():
            assert set(endpoint.volume_ids) <= self.world.volumes.keys()
            homes = [self.world.volumes[volume].data_center for volume in endpoint.volume_ids]
            assert len(homes) == len(set(homes))
            assert endpoint.container.login_id is None or endpoint.container.login_id in self.world.logins
            template = self.world.template_of(endpoint)
            assert template.is_serverless
            assert template.bound_endpoint_id in (None, endpoint.id)
        for template in self.world.templates.values():
            assert template.container.login_id is None or template.container.login_id in self.world.logins
            assert template.bound_endpoint_id is None or template.bound_endpoint_id in self.world.endpoints

    @invariant()
    def versions_count_releases(self) -> None:
        """Each version has its release, and versions never fall."""
        for endpoint in self.world.endpoints.values():
            assert [release.version for release in endpoint.releases] == list(range(1, endpoint.version + 1))
            assert endpoint.version >= self.versions.get(endpoint.id, 1)
            self.versions[endpoint.id] = endpoint.version


def _asked(world: World, ask: Callable[[], T]) -> T | None:
    """Ask for something; when it is refused, nothing has changed."""
    before = copy.deepcopy([getattr(world, held) for held in HELD])
    try:
        return ask()
    except Refused:
        assert [getattr(world, held) for held in HELD] == before
        return None


def _made(entity: Volume | Template | Endpoint | Login | None) -> Any:
    """Return the id of what was made for its bundle, or nothing."""
    return multiple() if entity is None else entity.id


TestAccount = Account.TestCase
TestAccount.settings = settings(max_examples=25, stateful_step_count=25)
