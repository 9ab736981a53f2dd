"""An account as a case describes it, behind the fake, behind REST v2 and behind GraphQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

from fake_cloud import FakeCloud
from plan_case import Case, Exists
from runpod_box import Emulated, emulated

from factory.account import EndpointSpec, TemplateSpec
from factory.clients.runpod.graphql import GraphqlAccount, GraphqlClient
from factory.clients.runpod.graphql_cloud import GraphqlCloud
from factory.clients.runpod.rest import RestCloud
from factory.clients.runpod.transport import RunPodClient
from factory.emulator.runpod import entities
from factory.emulator.runpod.box import Box
from factory.emulator.runpod.catalogue import Catalogue
from factory.ports import Cloud
from factory.provisioning import choices
from factory.provisioning.desired import wants_cached
from factory.provisioning.observed import ImageState, Observed
from factory.provisioning.plan import Plan
from factory.recipe.model import Model, Recipe
from factory.records import GB, DiskPlan, ImageSize, ModelFile, ModelFiles
from factory.stages.plan import plan
from factory.stages.provision import observe, provision
from factory.stages.size import size

PLAIN: dict[str, Any] = {
    "name": "demo",
    "models": [{"repo": "org/model", "placement": "volume"}],
    "image": {"repository": "acme/demo"},
    "handler": {"name": "echo"},
    "gpu": {"pools": ["AMPERE_24"]},
}
LOGIN = ("robot", "not-a-secret")


def recipe_of(blocks: Any) -> Recipe:
    """Return the plain recipe with these blocks in it (`private` is the account's business, not the recipe's)."""
    return Recipe.model_validate({**PLAIN, **{key: value for key, value in blocks.items() if key != "private"}})


def sized(recipe: Recipe, weights_gb: float, observed: Observed) -> tuple[DiskPlan, tuple[ModelFiles, ...]]:
    """Size a recipe whose models weigh so much, each in one file."""
    offers = choices.catalogue(observed)
    models = tuple(
        ModelFiles(m.repo, m.key, "main", "0" * 40, (_file(weights_gb),), _placement(m), round(weights_gb * GB))
        for m in recipe.models
    )
    image = ImageSize(2 * GB, 4 * GB, is_exact=True)
    known = choices.sizable(recipe, offers)
    return size(known, models, image=image, pools=choices.sizing_table(offers)), models


def _placement(model: Model) -> Literal["volume", "image", "disk", "cached"]:
    return "volume" if model.placement == "auto" else model.placement


def _file(weights_gb: float) -> ModelFile:
    # No weights by its name: what fits a card is not the matter here.
    return ModelFile("model.dat", round(weights_gb * GB), "sha256:" + "1" * 64)


@dataclass
class Account:
    """A cloud with what is in it."""

    cloud: Cloud

    def plan(self, case: Case) -> Plan:
        """Plan a case."""
        return self._plan(case.recipe, case.weights_gb, _image(case))

    def _plan(self, blocks: Any, weights_gb: float, image: ImageState) -> Plan:
        recipe = recipe_of(blocks)
        observed = observe(self.cloud, with_models=wants_cached(recipe))
        disks, models = sized(recipe, weights_gb, observed)
        return plan(recipe, disks, image, observed, models=models)

    def carry_out(self, planned: Plan, *, is_replacing: bool = False) -> None:
        """Provision a plan."""
        provision(planned, self.cloud, is_replacing=is_replacing, login_for=lambda _registry: LOGIN, pause=_no_pause)

    def make(self, exists: Exists, weights_gb: float) -> None:
        """Provision the recipes that were there before."""
        for blocks in exists.made:
            image = ImageState(_image(Case("")).reference, is_public=not blocks.get("private"), has_login=True)
            self.carry_out(self._plan(blocks, weights_gb, image))


def _image(case: Case) -> ImageState:
    return ImageState(case.image, cuda=case.cuda, is_public=case.is_public, has_login=True)


def _no_pause(_seconds: float) -> None:
    raise AssertionError("nothing rolls here: there are no workers")


@contextmanager
def opened(kind: str, box: Emulated) -> Iterator[Account]:
    """Give an empty account behind one of the three clouds."""
    if kind == "fake":
        yield Account(FakeCloud())
        return
    box.call(_empty)
    with RunPodClient(box.url, "rpa_test", patience_s=5) as client:
        account = GraphqlAccount(GraphqlClient(client))
        yield Account(RestCloud(client, account, pauses_s=()) if kind == "rest" else GraphqlCloud(client, pauses_s=()))


def _empty(box: Box) -> None:
    world = box.world
    for held in (world.endpoints, world.templates, world.volumes, world.logins, world.secrets):
        held.clear()
    world.set_person(balance_usd=1000, worker_quota=1000)
    fresh = Catalogue.snapshot()
    for id, gpu in box.catalogue.gpus.items():  # noqa: A001 - an id
        gpu.stock = fresh.gpus[id].stock


def fill(account: Account, exists: Exists, box: Emulated) -> None:
    """Put what others made into the account; after `make`, which may need more money and stock than is left then."""
    if isinstance(account.cloud, FakeCloud):
        _fill_fake(account.cloud, exists)
    else:
        box.call(lambda inner: _fill_box(inner, exists))


def _fill_fake(cloud: FakeCloud, exists: Exists) -> None:
    cloud.money = replace(cloud.money, balance_usd=exists.balance_usd, worker_quota=exists.worker_quota)
    cloud.secret_names = exists.secrets
    cloud.held_volumes |= {volume.id: volume for volume in exists.volumes}
    cloud.held_logins |= {login.id: login for login in exists.logins}
    cloud.held_templates |= {template.id: template for template in exists.templates}
    for number, endpoint in enumerate(exists.endpoints):
        extra = dict(endpoint.extra)
        cloud.held_models[f"{endpoint.id}-{number}"] = extra.pop("models", ())
        cloud.held_endpoints[f"{endpoint.id}-{number}"] = replace(endpoint, id=f"{endpoint.id}-{number}", extra=extra)
    for pool, place, level in exists.stock:
        cloud.catalogue.set_stock(pool, place, level)


def _fill_box(box: Box, exists: Exists) -> None:
    world = box.world
    for name in exists.secrets:
        world.create_secret(name, "x")
    for volume in exists.volumes:
        world.create_volume(volume.name, volume.size_gb, volume.data_center)
    for login in exists.logins:
        world.create_login(login.name, *LOGIN)
    for template in exists.templates:
        spec = template.spec
        draft = entities.Template("", spec.name, _container(spec), is_serverless=template.is_serverless)
        draft.container.args = template.args
        world.create_template(draft)
    for endpoint in exists.endpoints:
        world.create_endpoint(_endpoint(endpoint.spec, endpoint.is_queue, endpoint.extra))
    world.set_person(balance_usd=exists.balance_usd, worker_quota=exists.worker_quota)
    for pool, place, level in exists.stock:
        box.catalogue.set_stock(pool, place, level)


def _container(spec: TemplateSpec | EndpointSpec) -> entities.Container:
    return entities.Container(spec.image, disk_gb=spec.container_disk_gb, env=dict(spec.env))


def _endpoint(spec: EndpointSpec, is_queue: bool, extra: Any) -> entities.Endpoint:
    return entities.Endpoint(
        "",
        spec.name,
        "QUEUE" if is_queue else "LOAD_BALANCER",
        _container(spec),
        pools=list(spec.pools),
        excluded_gpus=list(extra.get("excluded_gpus", ())),
        model_references=list(extra.get("models", ())),
        workers_max=spec.workers_max,
        scaler="QUEUE_DELAY" if spec.scaler == "queue_delay" else "REQUEST_COUNT",
        execution_timeout_ms=spec.execution_timeout_ms,
    )


def boxed() -> Any:
    """Serve one box for many cases; `opened` empties it."""
    return emulated()
