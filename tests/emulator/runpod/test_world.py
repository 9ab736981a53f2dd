"""The account's business rules, in RunPod's words where they are known."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from runpod_box import a_template, an_endpoint

from factory.emulator.runpod.catalogue import Catalogue
from factory.emulator.runpod.clock import EPOCH_S, StepClock
from factory.emulator.runpod.entities import Container, Cpu, Endpoint, Person
from factory.emulator.runpod.refusals import Refused
from factory.emulator.runpod.world import World

STORED, STORED_TOO, BARE = "EU-RO-1", "US-KS-2", "US-TX-3"
"""Two data centres with network storage, and one without."""


@pytest.fixture
def clock() -> StepClock:
    """Time that stands still."""
    return StepClock()


@pytest.fixture
def world(clock: StepClock) -> World:
    """An empty account."""
    return World(clock, Catalogue.snapshot())


def test_the_places_of_these_tests_are_in_the_catalogue() -> None:
    """Two data centres have storage and one has none."""
    known = Catalogue.snapshot().data_centers
    assert known[STORED].tiers and known[STORED_TOO].tiers
    assert not known[BARE].tiers


# --- what is refused -------------------------------------------------------------------------------------------------
def full(world: World) -> dict[str, str]:
    """Fill an account: a volume, a login and a template that an endpoint uses, and a pod's template; name → id."""
    volume = world.create_volume("weights", 100, STORED)
    login = world.create_login("dockerhub", "user", "pass-word")
    container = Container("image", login_id=login.id)
    template = world.create_template(a_template("used", container=container))
    pod = world.create_template(a_template("pod", is_serverless=False))
    secret = world.create_secret("HF", "hf_x")
    endpoint = world.create_endpoint(
        an_endpoint("busy", container=container, volume_ids=[volume.id], template_id=template.id, workers_max=4)
    )
    return {
        "volume": volume.id,
        "login": login.id,
        "template": template.id,
        "pod": pod.id,
        "secret": secret.id,
        "endpoint": endpoint.id,
    }


def changed(world: World, ids: dict[str, str], **fields: Any) -> Endpoint:
    """Return a copy of the endpoint with other values."""
    return dataclasses.replace(copy.deepcopy(world.endpoints[ids["endpoint"]]), **fields)


REFUSED: dict[str, tuple[Callable[[World, dict[str, str]], object], int, str]] = {
    "volume too small": (lambda w, _: w.create_volume("v", 9, STORED), 400, "between 10 and 4096 GB"),
    "volume too large": (lambda w, _: w.create_volume("v", 4097, STORED), 400, "between 10 and 4096 GB"),
    "no such data centre": (
        lambda w, _: w.create_volume("v", 10, "EU-XX-9"),
        400,
        "Data center EU-XX-9 not found. Valid data centers: EU-CZ-1, ",
    ),
    "no storage there": (
        lambda w, _: w.create_volume("v", 10, BARE),
        400,
        f"Data center {BARE} does not support network volumes. Valid data centers: ",
    ),
    "volume shrinks": (lambda w, i: w.update_volume(i["volume"], size_gb=99), 400, "cannot be reduced: it has 100 GB"),
    "volume grows too far": (lambda w, i: w.update_volume(i["volume"], size_gb=5000), 400, "between 10 and 4096"),
    "volume in use": (lambda w, i: w.delete_volume(i["volume"]), 400, "in use by endpoint busy"),
    "login in use": (lambda w, i: w.delete_login(i["login"]), 400, "in use by endpoint busy"),
    "login's name is taken": (lambda w, _: w.create_login("dockerhub", "u", "p"), 400, "must be unique: dockerhub"),
    "secret's name is taken": (lambda w, _: w.create_secret("HF", "other"), 400, "must be unique: HF"),
    "template's name is taken": (lambda w, _: w.create_template(a_template("used")), 400, "must be unique: used"),
    "template takes a taken name": (
        lambda w, i: w.update_template(i["pod"], dataclasses.replace(w.templates[i["pod"]], name="used")),
        400,
        "Template name must be unique: used",
    ),
    "template in use": (lambda w, i: w.delete_template(i["template"]), 400, "in use by endpoint busy"),
    "template with an unknown login": (
        lambda w, _: w.create_template(a_template("t", container=Container("i", login_id="nowhere"))),
        400,
        "Container registry auth nowhere not found",
    ),
    "pod template": (
        lambda w, i: w.create_endpoint(an_endpoint(template_id=i["pod"])),
        422,
        "Serverless endpoints cannot use pod templates. Please use a serverless template.",
    ),
    "another endpoint's template": (
        lambda w, _: w.create_endpoint(
            an_endpoint(template_id=w.template_of(w.create_endpoint(an_endpoint(workers_max=0))).id)
        ),
        404,
        "Unable to find template",
    ),
    "no such template": (
        lambda w, _: w.create_endpoint(an_endpoint(template_id="nowhere")),
        404,
        "Unable to find template",
    ),
    "quota": (
        lambda w, _: w.create_endpoint(an_endpoint(workers_max=7)),
        400,
        "Max workers across all endpoints must not exceed your workers quota (10). Reduce the max workers for other "
        "endpoints or lower the max worker count for this endpoint to at most 6.",
    ),
    "quota at a change": (
        lambda w, i: w.update_endpoint(i["endpoint"], changed(w, i, workers_max=11)),
        400,
        "for this endpoint to at most 10.",
    ),
    "more workers at least than at most": (
        lambda w, _: w.create_endpoint(an_endpoint(workers_min=4)),
        400,
        "workers.min (4) must not exceed workers.max (3)",
    ),
    "neither GPU nor CPU": (lambda w, _: w.create_endpoint(an_endpoint(pools=[])), 400, "Exactly one of gpu and cpu"),
    "GPU and CPU": (
        lambda w, _: w.create_endpoint(an_endpoint(cpus=[Cpu("cpu3c", 2)])),
        400,
        "Exactly one of gpu and cpu",
    ),
    "no such volume": (lambda w, _: w.create_endpoint(an_endpoint(volume_ids=["nowhere"])), 400, "nowhere not found"),
    "two volumes in a data centre": (
        lambda w, i: w.create_endpoint(an_endpoint(volume_ids=[i["volume"], w.create_volume("more", 10, STORED).id])),
        400,
        "Only one network volume per data center: {volume} and ",
    ),
    "volume elsewhere": (
        lambda w, i: w.create_endpoint(an_endpoint(volume_ids=[i["volume"]], data_centers=[STORED_TOO])),
        400,
        f"Network volume {{volume}} is in {STORED}, which is not among the endpoint's data centers: {STORED_TOO}",
    ),
    "endpoint nowhere": (
        lambda w, _: w.create_endpoint(an_endpoint(data_centers=["EU-XX-9"])),
        400,
        "Data center EU-XX-9 not found",
    ),
    "a queue becomes a load balancer": (
        lambda w, i: w.update_endpoint(i["endpoint"], changed(w, i, kind="LOAD_BALANCER")),
        400,
        "type of an endpoint cannot be changed",
    ),
    "a GPU endpoint becomes a CPU endpoint": (
        lambda w, i: w.update_endpoint(i["endpoint"], changed(w, i, pools=[], cpus=[Cpu("cpu3c", 2)])),
        400,
        "compute family",
    ),
    "find volume": (lambda w, _: w.find_volume("x"), 404, "not found"),
    "find template": (lambda w, _: w.find_template("x"), 404, "not found"),
    "find endpoint": (lambda w, _: w.find_endpoint("x"), 404, "not found"),
    "find login": (lambda w, _: w.find_login("x"), 404, "not found"),
    "find secret": (lambda w, _: w.find_secret("x"), 404, "not found"),
    "delete what is gone": (lambda w, _: w.delete_secret("x"), 404, "not found"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_and_nothing_changed(world: World, case: str) -> None:
    """Each refusal has its status and words, and leaves the account as it was."""
    ids = full(world)
    act, status, words = REFUSED[case]
    before = _everything(world)
    with pytest.raises(Refused) as refusal:
        act(world, ids)
    assert refusal.value.status == status
    assert words.replace("{volume}", ids["volume"]) in refusal.value.message
    if case not in ("two volumes in a data centre", "another endpoint's template"):  # which make the second themselves
        assert _everything(world) == before


@pytest.mark.parametrize("balance_usd", [0.0, 0.009, -3.0])
def test_no_endpoint_without_money(balance_usd: float) -> None:
    """Below one cent an endpoint can't be made, though all else can."""
    world = World(StepClock(), Catalogue.snapshot(), person=Person(balance_usd=balance_usd))
    world.create_template(a_template())
    with pytest.raises(Refused, match=r"You must have at least \$0.01 in your account balance to create an endpoint."):
        world.create_endpoint(an_endpoint())
    world.set_person(balance_usd=0.01)
    assert world.create_endpoint(an_endpoint()).version == 1


def test_over_quota_an_endpoint_can_still_be_made_smaller(world: World) -> None:
    """When the quota has fallen below what is there, less is allowed and more isn't."""
    ids = full(world)
    world.set_person(worker_quota=1)
    assert world.update_endpoint(ids["endpoint"], changed(world, ids, workers_max=2)).workers_max == 2
    with pytest.raises(Refused, match="at most 1"):
        world.update_endpoint(ids["endpoint"], changed(world, ids, workers_max=3))


# --- what happens ------------------------------------------------------------------------------------------------
def test_volume_grows_and_keeps_its_place(world: World) -> None:
    """Name and size change; the tier is the data centre's own unless another is asked for."""
    volume = world.create_volume("weights", 10, STORED)
    world.update_volume(volume.id, size_gb=4096)
    world.update_volume(volume.id, name="more weights", size_gb=4096)
    held = world.volumes[volume.id]
    assert (held.name, held.size_gb, held.data_center, held.created_at) == ("more weights", 4096, STORED, EPOCH_S)
    assert held.tier == Catalogue.snapshot().data_centers[STORED].tiers[0]
    world.create_volume("more weights", 10, STORED)  # names of volumes may repeat
    world.delete_volume(volume.id)
    assert [v.name for v in world.volumes.values()] == ["more weights"]


def test_ids_look_like_runpods(world: World) -> None:
    """10 to 14 lower-case letters and digits."""
    for entity_id in full(world).values():
        assert 10 <= len(entity_id) <= 14
        assert entity_id.isalnum() and entity_id == entity_id.lower()


def test_serverless_can_not_be_switched_later(world: World) -> None:
    """RunPod ignores a change of isServerless without a word."""
    made = world.create_template(a_template(is_serverless=False))
    world.update_template(made.id, dataclasses.replace(made, is_serverless=True, readme="new"))
    assert (world.templates[made.id].is_serverless, world.templates[made.id].readme) == (False, "new")


def test_template_change_reaches_no_endpoint(world: World) -> None:
    """An endpoint keeps the copy that it was made with."""
    ids = full(world)
    template = copy.deepcopy(world.templates[ids["template"]])
    template.container.image = "other"
    world.update_template(template.id, template)
    endpoint = world.endpoints[ids["endpoint"]]
    assert (endpoint.container.image, endpoint.version) == ("image", 1)


def test_endpoint_has_a_template_behind_it(world: World) -> None:
    """Without a link the platform binds one, in step with the endpoint, and takes it away with it."""
    endpoint = world.create_endpoint(an_endpoint())
    bound = world.template_of(endpoint)
    assert (bound.bound_endpoint_id, bound.container, bound.is_serverless) == (endpoint.id, endpoint.container, True)
    with pytest.raises(Refused, match="in use by endpoint minilm"):
        world.delete_template(bound.id)
    other = copy.deepcopy(endpoint)
    other.container.image = "other:2"
    endpoint = world.update_endpoint(endpoint.id, other)
    assert world.template_of(endpoint).container.image == "other:2"
    world.delete_endpoint(endpoint.id)
    assert not world.templates and not world.endpoints


def test_linked_template_takes_the_bound_ones_place(world: World) -> None:
    """A link drops the bound template, and its end makes a new one; the linked one stays as it is."""
    linked = world.create_template(a_template())
    endpoint = world.create_endpoint(an_endpoint())
    endpoint = world.update_endpoint(endpoint.id, dataclasses.replace(endpoint, template_id=linked.id))
    assert world.template_of(endpoint) is linked and list(world.templates) == [linked.id]
    endpoint = world.update_endpoint(endpoint.id, dataclasses.replace(endpoint, template_id=None))
    assert world.template_of(endpoint).bound_endpoint_id == endpoint.id
    world.delete_endpoint(endpoint.id)
    assert list(world.templates) == [linked.id]


def test_login_goes_and_templates_lose_it(world: World) -> None:
    """A login that only templates have may go; they silently lose it (REST v2)."""
    login = world.create_login("ghcr", "user", "pw")
    template = world.create_template(a_template(container=Container("i", login_id=login.id)))
    world.update_login(login.id, "other", "pw2")
    assert world.logins[login.id].username == "other"
    world.delete_login(login.id)
    assert world.templates[template.id].container.login_id is None and not world.logins


IN_PLACE: list[dict[str, Any]] = [
    {"name": "other"},
    {"workers_min": 1},
    {"workers_max": 5},
    {"idle_timeout_s": 30},
    {"scaler": "REQUEST_COUNT", "idle_timeout_s": None},
    {"scaler_value": 9.0},
    {"execution_timeout_ms": 1},
    {"flashboot": "FLASHBOOT"},
]
RELEASED: list[tuple[dict[str, Any], str, Any, Any]] = [
    ({"pools": ["ADA_24", "AMPERE_48"]}, "gpuIds", "ADA_24", "ADA_24,AMPERE_48"),
    ({"excluded_gpus": ["NVIDIA L4"]}, "gpuIds", "ADA_24", "ADA_24,-NVIDIA L4"),
    ({"gpu_count": 2}, "gpuCount", 1, 2),
    ({"allowed_cuda": ["12.8", "13.0"]}, "allowedCudaVersions", "", "12.8,13.0"),
    ({"min_cuda": "12.8"}, "minCudaVersion", None, "12.8"),
    ({"data_centers": [STORED]}, "locations", "", STORED),
    (
        {"model_references": ["https://huggingface.co/a/b:main"]},
        "modelReferences",
        [],
        ["https://huggingface.co/a/b:main"],
    ),
    ({"container": Container("other:2")}, "template.imageName", "localhost:5000/org/worker:1", "other:2"),
]


@pytest.mark.parametrize("fields", IN_PLACE, ids=lambda fields: next(iter(fields)))
def test_changed_in_place(world: World, fields: dict[str, Any]) -> None:
    """Scaling, name, time-outs and FlashBoot make no release."""
    endpoint = world.create_endpoint(an_endpoint())
    after = world.update_endpoint(endpoint.id, dataclasses.replace(copy.deepcopy(endpoint), **fields))
    assert after.version == 1 and len(after.releases) == 1
    assert {name: getattr(world.endpoints[endpoint.id], name) for name in fields} == fields


@pytest.mark.parametrize(("fields", "field", "old", "new"), RELEASED, ids=lambda value: str(value)[:20])
def test_changed_by_a_release(
    world: World, clock: StepClock, fields: dict[str, Any], field: str, old: Any, new: Any
) -> None:
    """What a worker is made of makes a new version, with what changed; the same again makes none."""
    endpoint = world.create_endpoint(an_endpoint())
    clock.advance(60)
    after = world.update_endpoint(endpoint.id, dataclasses.replace(copy.deepcopy(endpoint), **fields))
    assert after.version == 2 and after.created_at == EPOCH_S
    release = after.releases[-1]
    assert (release.version, release.created_at) == (2, EPOCH_S + 60)
    assert [(c.field, c.old, c.new) for c in release.changes] == [(field, old, new)]
    again = world.update_endpoint(endpoint.id, copy.deepcopy(after))
    assert again.version == 2 and len(again.releases) == 2


def test_listeners_hear_of_each_change(world: World) -> None:
    """(kind, id), after the change; of a refused one nothing."""
    heard: list[tuple[str, str]] = []
    world.listeners.append(lambda kind, entity_id: heard.append((kind, entity_id)))
    ids = full(world)
    assert heard[-1] == ("endpoint", ids["endpoint"])
    heard.clear()
    with pytest.raises(Refused):
        world.delete_volume(ids["volume"])
    assert heard == []
    world.delete_endpoint(ids["endpoint"])
    world.delete_volume(ids["volume"])
    assert heard == [("endpoint", ids["endpoint"]), ("volume", ids["volume"])]


def test_money_is_taken(world: World) -> None:
    """A charge leaves the balance, and may go below zero."""
    world.charge(100.25)
    assert world.person.balance_usd == pytest.approx(-0.25)
    assert world.person.lifetime_spend_usd == pytest.approx(100.25)


def _everything(world: World) -> object:
    held = (world.volumes, world.templates, world.endpoints, world.logins, world.secrets, world.person)
    return copy.deepcopy(held)
