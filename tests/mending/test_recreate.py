"""What is looked at before an endpoint is made anew, and what is said of what can't be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from fake_cloud import FakeCloud
from fake_hub import FakeRegistry

from factory.account import Balance, EndpointSpec, TemplateSpec
from factory.errors import (
    AmbiguousName,
    CannotChange,
    EndpointNotFound,
    FactoryError,
    ImageNotInRegistry,
    PreflightFailed,
)
from factory.journal import Journal
from factory.mending.recreate import plan, recreate
from factory.records import tell_nobody

IMAGE = "ghcr.io/acme/demo@sha256:" + "ab" * 32
SPEC = EndpointSpec("demo", IMAGE, 20, {"A": "1"}, pools=("ADA_24",))


@dataclass
class Scene:
    """An account with one endpoint, whose image is in its registry."""

    home: Path
    cloud: FakeCloud = field(default_factory=FakeCloud)
    registry: FakeRegistry = field(default_factory=lambda: FakeRegistry({IMAGE: "sha256:" + "ab" * 32}))

    def make(self, spec: EndpointSpec = SPEC) -> str:
        """Make an endpoint with a template, and return its id."""
        held = {t.spec.name: t for t in self.cloud.held_templates.values()}
        template = held.get(spec.name) or self.cloud.create_template(
            TemplateSpec(spec.name, spec.image, spec.container_disk_gb, spec.env)
        )
        return self.cloud.create_endpoint(spec, template).id

    def run(self, name: str) -> tuple[str, str]:
        """Make it anew, and return both ids."""
        done = recreate(plan(name, self.cloud, self.home, self.registry), self.cloud, tell_nobody)
        return done.old_id, done.new_id


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """The account, and a home for journals."""
    return Scene(tmp_path)


@pytest.mark.parametrize("name", ["demo", "a name / with ../ and ünusual%20 characters"])
def test_name_and_configuration_stay(scene: Scene, name: str) -> None:
    """Whatever the name is; the journal has no debt."""
    spec = replace(SPEC, name=name)
    old_id = scene.make(spec)
    (told_id, new_id) = scene.run(name)
    (endpoint,) = scene.cloud.held_endpoints.values()
    assert (told_id, new_id) == (old_id, endpoint.id) and new_id != old_id and endpoint.spec == spec
    assert Journal.read(scene.home, name).memory.recreation is None
    assert [path.parent.name for path in scene.home.rglob("*.json")] == ["releases"]


def test_of_two_of_one_name_the_one_that_is_meant_goes(scene: Scene) -> None:
    """By its id; the other one stays."""
    first, second = scene.make(), scene.make()
    with pytest.raises(AmbiguousName):
        scene.run("demo")
    old_id, new_id = scene.run(first)
    assert old_id == first and set(scene.cloud.held_endpoints) == {second, new_id}


def test_a_template_that_was_changed_since_says_again_what_the_endpoint_ran(scene: Scene) -> None:
    """An endpoint comes back as it was, not as its template has become."""
    scene.make()
    (template,) = scene.cloud.held_templates.values()
    scene.cloud.update_template(template, replace(template.spec, image="ghcr.io/acme/demo:next"))
    scene.run("demo")
    assert [t.spec.image for t in scene.cloud.held_templates.values()] == [IMAGE]
    assert [e.spec for e in scene.cloud.held_endpoints.values()] == [SPEC]


def load_balancer(scene: Scene) -> None:
    """It is no queue."""
    scene.cloud.held_endpoints = {i: replace(e, is_queue=False) for i, e in scene.cloud.held_endpoints.items()}


def unpaid(scene: Scene) -> None:
    """There is no money."""
    scene.cloud.money = Balance(0.0, 0.0)


def lost_image(scene: Scene) -> None:
    """Its image is gone."""
    scene.registry.digests.clear()


def gone(scene: Scene) -> None:
    """There is none."""
    scene.cloud.held_endpoints.clear()


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (load_balancer, CannotChange),
        (unpaid, PreflightFailed),
        (lost_image, ImageNotInRegistry),
        (gone, EndpointNotFound),
    ],
)
def test_what_could_not_be_made_is_not_deleted(
    scene: Scene, spoil: Callable[[Scene], None], error: type[FactoryError]
) -> None:
    """One sentence with a fix, and nothing has changed."""
    scene.make()
    spoil(scene)
    scene.cloud.calls.clear()
    with pytest.raises(error) as told:
        scene.run("demo")
    assert told.value.fix and scene.cloud.changes() == []


def test_what_came_by_other_hands_after_a_kill_is_not_changed(scene: Scene) -> None:
    """Somebody released meanwhile: the journal is settled, that endpoint stays as it is."""
    old_id = scene.make()
    planned = plan("demo", scene.cloud, scene.home, scene.registry)
    planned.journal.memory.recreation = planned.recreation
    planned.journal.save()
    del scene.cloud.held_endpoints[old_id]
    other = scene.make(replace(SPEC, workers_max=2))
    scene.cloud.calls.clear()
    assert scene.run("demo") == (old_id, other)
    assert scene.cloud.changes() == []
