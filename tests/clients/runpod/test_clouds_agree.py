"""REST v2 and GraphQL are two doors to one account: what one writes, the other reads as the same records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, product
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runpod_box import KEY, Emulated, an_endpoint, emulated

from factory.account import Endpoint, EndpointSpec, Holdings, Template, TemplateSpec
from factory.clients.runpod.graphql import GraphqlAccount, GraphqlClient
from factory.clients.runpod.graphql_cloud import GraphqlCloud
from factory.clients.runpod.rest import RestCloud
from factory.clients.runpod.transport import RunPodClient
from factory.emulator.faults import FOREVER, Fault
from factory.emulator.runpod.box import Box
from factory.emulator.runpod.entities import Person
from factory.errors import CloudGone, ProvisionError
from factory.ports import Cloud

QUOTA = 500
SPEC = EndpointSpec("factory-minilm", "org/minilm:1", 20, {"A": "1"}, pools=("ADA_24", "AMPERE_48"))
NUMBERS = count(1)


@dataclass(frozen=True)
class Doors:
    """One account, and both clouds to it."""

    box: Emulated
    clouds: dict[str, Cloud]


@pytest.fixture(scope="module")
def served() -> Iterator[Doors]:
    """RunPod, emulated, and both clouds."""
    with (
        emulated(person=Person(worker_quota=QUOTA)) as box,
        RunPodClient(box.url, KEY, timeout_s=5.0, patience_s=1.0) as client,
    ):
        rest = RestCloud(client, GraphqlAccount(GraphqlClient(client)), pauses_s=(0.0,))
        yield Doors(box, {"rest": rest, "graphql": GraphqlCloud(client, pauses_s=(0.0,))})


@pytest.fixture
def doors(served: Doors) -> Doors:
    """Both clouds to an empty account."""
    served.box.empty()
    return served


def template_of(spec: EndpointSpec, name: str | None = None) -> TemplateSpec:
    """The template that says the same as an endpoint."""
    return TemplateSpec(name or spec.name, spec.image, spec.container_disk_gb, spec.env, spec.login_id)


def deployed(cloud: Cloud, spec: EndpointSpec) -> tuple[Template, Endpoint]:
    """A template and an endpoint, made from nothing."""
    template = cloud.create_template(template_of(spec))
    return template, cloud.create_endpoint(spec, template)


def alike(endpoint: Endpoint) -> Endpoint:
    """What both APIs can say of an endpoint: REST v2 has no version, no template and no cached models there."""
    extra = {name: value for name, value in endpoint.extra.items() if name != "models"}
    return replace(endpoint, version=None, template_id=None, extra=extra)


# --- what can be written ---------------------------------------------------------------------------------------------
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12)
ENV = st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True), TEXT, max_size=3)
PLACES = {"EU-RO-1": "volume-ro", "US-KS-2": "volume-ks"}


@st.composite
def specs(draw: st.DrawFn, *, is_cpu: bool) -> EndpointSpec:
    """Anything that both APIs can say of a queue endpoint; volumes and login by name, ids come later."""
    by_delay = draw(st.booleans())
    volumes = draw(st.lists(st.sampled_from(sorted(PLACES)), unique=True, max_size=2))
    workers_max = draw(st.integers(0, 5))
    compute: dict[str, Any] = {
        "cpus": tuple(
            draw(st.lists(st.sampled_from(["cpu3c-2-4", "cpu3g-4-16", "cpu5c-8-16"]), unique=True, min_size=1))
        )
    }
    if not is_cpu:
        pools = ["ADA_24", "AMPERE_48", "AMPERE_16", "HOPPER_141"]
        compute = {
            "pools": tuple(draw(st.lists(st.sampled_from(pools), unique=True, min_size=1))),
            "gpu_count": draw(st.integers(1, 2)),
            "min_cuda": draw(st.sampled_from([None, "12.4", "12.8"])),
        }
    return EndpointSpec(
        name=draw(st.from_regex(r"[a-z][a-z0-9-]{2,20}", fullmatch=True)),
        image=draw(st.sampled_from(["org/a:1", "docker.io/org/b@sha256:" + "0" * 64])),
        container_disk_gb=draw(st.integers(5, 200)),
        env=draw(ENV),
        login_id=draw(st.sampled_from([None, "login"])),
        **compute,
        workers_min=draw(st.integers(0, workers_max)),
        workers_max=workers_max,
        idle_timeout_s=draw(st.integers(1, 3600)) if by_delay else None,
        scaler="queue_delay" if by_delay else "request_count",
        scaler_value=float(draw(st.integers(1, 100))),
        data_centers=tuple(draw(st.sampled_from([[], volumes, sorted(PLACES)]))),
        volume_ids=tuple(volumes),
        execution_timeout_ms=draw(st.integers(5_000, 86_400_000)),
        flashboot=draw(st.booleans()),
    )


PAIRS = st.one_of(*(st.tuples(specs(is_cpu=is_cpu), specs(is_cpu=is_cpu)) for is_cpu in (False, True)))


def with_ids(spec: EndpointSpec, volumes: dict[str, str], login_id: str, name: str) -> EndpointSpec:
    """The spec with the ids of this account in the place of names."""
    ids = tuple(volumes[place] for place in spec.volume_ids)
    return replace(spec, volume_ids=ids, login_id=login_id if spec.login_id else None, name=f"{spec.name}-{name}")


@pytest.mark.parametrize(("maker", "changer"), list(product(("rest", "graphql"), repeat=2)))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pair=PAIRS)
def test_any_endpoint_reads_the_same_through_both(
    served: Doors, maker: str, changer: str, pair: tuple[EndpointSpec, EndpointSpec]
) -> None:
    """Made by either, then changed whole by either: both read what was asked, and nothing else."""
    served.box.empty()
    made_by, changed_by = served.clouds[maker], served.clouds[changer]
    volumes = {place: made_by.create_volume(name, place, 20).id for place, name in PLACES.items()}
    login_id = made_by.create_login("hub", "me", "pass").id
    number = str(next(NUMBERS))
    before, after = (with_ids(spec, volumes, login_id, number) for spec in pair)
    template, endpoint = deployed(made_by, before)
    assert {name: [alike(e) for e in cloud.endpoints()] for name, cloud in served.clouds.items()} == {
        name: [alike(endpoint)] for name in served.clouds
    }
    assert endpoint.spec == before
    template = changed_by.update_template(template, template_of(after))
    changed = changed_by.update_endpoint(endpoint, after, template)
    assert changed.spec == after
    for cloud in served.clouds.values():
        assert [alike(e) for e in cloud.endpoints()] == [alike(changed)]
        assert cloud.templates() == (template,)


# --- lists -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("writer", ["rest", "graphql"])
def test_volumes_logins_and_templates_read_the_same(doors: Doors, writer: str) -> None:
    """Made, changed and removed by one, seen by both."""
    cloud = doors.clouds[writer]
    volume = cloud.grow_volume(cloud.create_volume("v", "EU-RO-1", 20), 25)
    login = cloud.create_login("hub", "me", "pass")
    spec = TemplateSpec("t", "org/t:1", 12, {"K": "{{ RUNPOD_SECRET_k }}"}, login.id)
    template = cloud.update_template(cloud.create_template(spec), replace(spec, image="org/t:2", env={}, login_id=None))
    for reader in doors.clouds.values():
        assert (reader.volumes(), reader.logins(), reader.templates()) == ((volume,), (login,), (template,))
    for _ in range(2):  # what is gone is removed
        cloud.delete_template(template)
        cloud.delete_login(login)
        cloud.delete_volume(volume)
    for reader in doors.clouds.values():
        assert (reader.volumes(), reader.logins(), reader.templates()) == ((), (), ())


@pytest.mark.parametrize(("name", "calls"), [("rest", 4), ("graphql", 1)])
def test_holdings_are_the_lists_in_few_calls(doors: Doors, name: str, calls: int) -> None:
    """What each list says, and no more calls than the API needs."""
    cloud = doors.clouds[name]
    volume = cloud.create_volume("weights", "EU-RO-1", 20)
    login = cloud.create_login("factory-ghcr.io", "ada", "secret")
    deployed(cloud, replace(SPEC, login_id=login.id, volume_ids=(volume.id,), data_centers=("EU-RO-1",)))
    doors.box.calls.clear()
    held = cloud.holdings(volumes=True, logins=True)
    assert len(doors.box.calls) == calls
    assert held == Holdings(cloud.endpoints(), cloud.templates(), cloud.volumes(), cloud.logins())
    doors.box.calls.clear()
    least = cloud.holdings(volumes=False, logins=False)
    assert (least.endpoints, least.templates) == (held.endpoints, held.templates)
    assert len(doors.box.calls) == min(calls, 2)


def test_the_catalogue_reads_the_same(doors: Doors) -> None:
    """Pools, memory and stock agree; GraphQL has no serverless prices, no CUDA versions and no tiers."""
    doors.box.call(lambda box: box.catalogue.set_stock("ADA_24", "EU-RO-1", "NONE"))
    rest, graphql = doors.clouds["rest"], doors.clouds["graphql"]
    assert [replace(gpu, usd_per_h=None, cuda_versions=()) for gpu in rest.gpus()] == list(graphql.gpus())
    assert {dc.id: bool(dc.volume_tiers) for dc in rest.data_centers()} == {
        dc.id: bool(dc.volume_tiers) for dc in graphql.data_centers()
    }


def test_money_and_secrets_read_the_same(doors: Doors) -> None:
    """Both ask GraphQL."""
    doors.box.call(lambda box: box.world.create_secret("HF_TOKEN", "hf_x"))
    for cloud in doors.clouds.values():
        assert (cloud.secrets(), cloud.balance().worker_quota) == (("HF_TOKEN",), QUOTA)
    assert doors.clouds["rest"].balance() == doors.clouds["graphql"].balance()


def by_hand(box: Box, endpoint_id: str) -> None:
    """What a person sets in the console."""
    held = box.world.find_endpoint(endpoint_id)
    box.world.update_endpoint(held.id, replace(held, excluded_gpus=["NVIDIA A40"], allowed_cuda=["12.8"]))


def test_what_others_set_outlives_an_update_through_either(doors: Doors) -> None:
    """Excluded GPUs, allowed CUDA versions and cached models stay, whoever saves the endpoint."""
    reference = "https://huggingface.co/org/name:" + "b" * 40
    for number, (first, second) in enumerate((("rest", "graphql"), ("graphql", "rest"))):
        spec = replace(SPEC, name=f"{SPEC.name}-{number}")
        template, endpoint = deployed(doors.clouds[first], spec)
        doors.box.call(partial(by_hand, endpoint_id=endpoint.id))
        doors.clouds[second].set_models(endpoint.id, [reference])
        for name in (second, first):
            cloud = doors.clouds[name]
            [now] = [e for e in cloud.endpoints() if e.id == endpoint.id]
            cloud.update_endpoint(now, replace(spec, workers_max=1), template)
        for cloud in doors.clouds.values():
            [now] = [e for e in cloud.endpoints() if e.id == endpoint.id]
            assert (now.extra["excluded_gpus"], now.extra["allowed_cuda"]) == (("NVIDIA A40",), ("12.8",))
            assert cloud.models(endpoint.id) == (reference,)


def test_workers_and_rollout_read_the_same(doors: Doors) -> None:
    """A busy worker of an older version is stale through both doors."""
    template, endpoint = deployed(doors.clouds["rest"], SPEC)
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=f"{doors.box.jobs_url}/{endpoint.id}", headers=headers) as jobs:
        jobs.post("/run", json={"input": {"ping": 1}}).raise_for_status()
        assert jobs.get("/job-take/w1", params={"gpu": "x"}).status_code == 200
    doors.clouds["rest"].update_endpoint(endpoint, replace(SPEC, image="org/minilm:2"), template)
    seen = {}
    for name, cloud in doors.clouds.items():
        [worker] = cloud.workers(endpoint.id)
        seen[name] = (worker.id, worker.is_stale, worker.version, worker.image, cloud.rollout(endpoint.id))
    assert seen["rest"] == seen["graphql"]
    assert seen["rest"][1] is True


# --- refusals --------------------------------------------------------------------------------------------------------
def over_quota(cloud: Cloud) -> object:
    """More workers than the account may have."""
    return deployed(cloud, replace(SPEC, workers_max=QUOTA + 1))


def shrink(cloud: Cloud) -> object:
    """A volume made smaller."""
    return cloud.grow_volume(cloud.create_volume("v", "EU-RO-1", 20), 10)


def no_storage(cloud: Cloud) -> object:
    """A volume in a data centre that isn't there."""
    return cloud.create_volume("v", "XX-NO-1", 20)


def taken_name(cloud: Cloud) -> object:
    """Two templates of one name."""
    return [cloud.create_template(template_of(SPEC)) for _ in range(2)]


def login_in_use(cloud: Cloud) -> object:
    """A login that an endpoint pulls with, removed."""
    login = cloud.create_login("hub", "me", "pass")
    deployed(cloud, replace(SPEC, login_id=login.id))
    cloud.delete_login(login)
    return login


def volume_in_use(cloud: Cloud) -> object:
    """A volume that an endpoint has, removed."""
    volume = cloud.create_volume("v", "EU-RO-1", 20)
    deployed(cloud, replace(SPEC, volume_ids=(volume.id,), data_centers=("EU-RO-1",)))
    cloud.delete_volume(volume)
    return volume


def foreign_volume(cloud: Cloud) -> object:
    """An endpoint with a volume that isn't there."""
    return deployed(cloud, replace(SPEC, volume_ids=("nosuchvolume",)))


@pytest.mark.parametrize(
    "attempt", [over_quota, shrink, no_storage, taken_name, login_in_use, volume_in_use, foreign_volume]
)
def test_refusals_are_the_same_errors(served: Doors, attempt: Callable[[Cloud], object]) -> None:
    """Either door gives the same class, code and hint."""
    said = {}
    for name, cloud in served.clouds.items():
        served.box.empty()
        with pytest.raises(ProvisionError) as caught:
            attempt(cloud)
        said[name] = (type(caught.value), caught.value.where, caught.value.details["code"], caught.value.fix)
    # What each message says of the field is RunPod's own; an unknown code of GraphQL's (RUNPOD) says nothing.
    rest, graphql = said["rest"], said["graphql"]
    assert (rest[0], rest[1], rest[3]) == (graphql[0], graphql[1], graphql[3])
    assert rest[2] == graphql[2] or graphql[2] == "RUNPOD"


@pytest.mark.parametrize(("gone", "path", "other"), [("rest", "/v2/*", "graphql"), ("graphql", "/graphql", "rest")])
def test_a_retired_api_names_the_other(doors: Doors, gone: str, path: str, other: str) -> None:
    """HTTP 410 says which RUNPOD_API still works."""
    doors.box.faults.append(Fault("status", status=410, path=path, times=FOREVER))
    with pytest.raises(CloudGone, match=f"set RUNPOD_API={other}"):
        doors.clouds[gone].endpoints()
    assert doors.clouds[other].endpoints() == ()


def test_an_endpoint_of_others_reads_the_same(doors: Doors) -> None:
    """One that was made by hand, with what we never write."""
    doors.box.call(
        lambda box: box.world.create_endpoint(
            an_endpoint("by-hand", pools=["ADA_24"], excluded_gpus=["NVIDIA L4"], flashboot="PRIORITY_FLASHBOOT")
        )
    )
    rest, graphql = (alike(cloud.endpoints()[0]) for cloud in doors.clouds.values())
    assert rest == graphql
    assert rest.extra == {"excluded_gpus": ("NVIDIA L4",), "flashboot": "PRIORITY_FLASHBOOT"}
