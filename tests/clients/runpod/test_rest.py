"""RunPod's management over REST v2, against the emulator: what is asked for is there, once, whatever goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import stamina
from runpod_box import KEY, Emulated, an_endpoint, emulated
from scripted_site import Step, scripted

from factory.account import Endpoint, EndpointSpec, Template, TemplateSpec
from factory.clients.runpod.graphql import GraphqlAccount, GraphqlClient
from factory.clients.runpod.rest import RestCloud
from factory.clients.runpod.rest_client import RestClient
from factory.clients.runpod.transport import RunPodClient
from factory.emulator.faults import FOREVER, Fault
from factory.emulator.runpod.entities import Person
from factory.errors import (
    AmbiguousName,
    CloudDenied,
    CloudFailed,
    CloudGone,
    CloudRefused,
    CloudUnreachable,
    ProvisionError,
)

IMAGE = "localhost:5000/org/worker:1"
TEMPLATE = TemplateSpec("factory-wan", IMAGE, 20, {"MODEL": "wan"})
ENDPOINT = EndpointSpec("factory-wan", IMAGE, 20, {"MODEL": "wan"}, pools=("ADA_24", "AMPERE_48"))


def rest(url: str, timeout_s: float = 20.0) -> RestCloud:
    """A client that looks again soon."""
    client = RunPodClient(url, KEY, timeout_s=timeout_s, patience_s=10.0)
    return RestCloud(client, GraphqlAccount(GraphqlClient(client)), pauses_s=(0.02, 0.05, 0.1), quiet_s=1.0)


@pytest.fixture(scope="module")
def served() -> Iterator[Emulated]:
    """RunPod, emulated, for the whole file."""
    with emulated(person=Person(worker_quota=100)) as box:
        yield box


@pytest.fixture
def runpod(served: Emulated) -> Emulated:
    """The same with nothing in the account but money, no faults, and no calls so far."""
    served.empty()
    served.box.world.person.balance_usd = 100.0
    return served


@pytest.fixture
def cloud(runpod: Emulated) -> RestCloud:
    """A client of it."""
    return rest(runpod.url)


def template_for(cloud: RestCloud, spec: EndpointSpec) -> Template:
    """A template that says the same of the container as the endpoint."""
    return cloud.create_template(TemplateSpec(spec.name, spec.image, spec.container_disk_gb, spec.env, spec.login_id))


def make_endpoint(cloud: RestCloud, spec: EndpointSpec = ENDPOINT) -> Endpoint:
    """An endpoint with its template."""
    return cloud.create_endpoint(spec, template_for(cloud, spec))


# --- what is asked for is there ------------------------------------------------------------------------------------
def test_the_catalogue(cloud: RestCloud) -> None:
    """GPU types come with pool, price and stock where there is any; data centres with their kinds of volumes."""
    gpus = {gpu.id: gpu for gpu in cloud.gpus()}
    assert gpus["NVIDIA GeForce RTX 4090"].pool == "ADA_24"
    assert gpus["NVIDIA GeForce RTX 4090"].vram_gb == 24
    assert (gpus["NVIDIA GeForce RTX 4090"].usd_per_h or 0) > 0
    assert all(stock in ("low", "medium", "high") for gpu in gpus.values() for stock in gpu.stock.values())
    centers = {center.id: center for center in cloud.data_centers()}
    assert centers["EU-RO-1"].volume_tiers


def test_balance_and_secrets_come_from_graphql(runpod: Emulated, cloud: RestCloud) -> None:
    """REST v2 has no route for money and secrets: they are asked of GraphQL."""
    runpod.call(lambda box: box.world.create_secret("hf", "hf_secret"))
    assert cloud.balance().worker_quota == 100
    assert cloud.secrets() == ("hf",)
    assert {call.path for call in runpod.calls} == {"/graphql"}


def test_a_volume_is_made_and_grows(runpod: Emulated, cloud: RestCloud) -> None:
    """A volume has the name, place and size that were asked for, and keeps its id when it grows."""
    volume = cloud.create_volume("factory-models", "EU-RO-1", 50)
    assert (volume.name, volume.data_center, volume.size_gb) == ("factory-models", "EU-RO-1", 50)
    grown = cloud.grow_volume(volume, 80)
    assert grown == replace(volume, size_gb=80)
    assert cloud.volumes() == (grown,)


def test_a_volume_never_shrinks(cloud: RestCloud) -> None:
    """RunPod refuses to make a volume smaller, in its own words."""
    volume = cloud.create_volume("factory-models", "EU-RO-1", 50)
    with pytest.raises(CloudRefused, match='volume "factory-models": RunPod refuses: '):
        cloud.grow_volume(volume, 20)


def test_a_login_is_stored_and_removed(runpod: Emulated, cloud: RestCloud) -> None:
    """A registry login is there until it is removed; removing it twice does no harm."""
    login = cloud.create_login("factory-hub", "ada", "pw-very-secret")
    assert cloud.logins() == (login,)
    cloud.delete_login(login)
    cloud.delete_login(login)
    assert cloud.logins() == ()


def test_a_template_is_made_changed_and_removed(runpod: Emulated, cloud: RestCloud) -> None:
    """A template is serverless, and a change replaces its whole content."""
    template = cloud.create_template(TEMPLATE)
    assert template.is_serverless and template.spec == TEMPLATE
    login = cloud.create_login("factory-hub", "ada", "pw")
    other = TemplateSpec("factory-wan", IMAGE, 40, {"OTHER": "1"}, login.id)
    changed = cloud.update_template(template, other)
    assert changed == replace(template, spec=other)
    assert cloud.update_template(changed, TEMPLATE).spec.login_id is None
    cloud.delete_template(template)
    assert cloud.templates() == ()


SPECS = {
    "the least": ENDPOINT,
    "all fields": replace(
        ENDPOINT,
        gpu_count=2,
        min_cuda="12.8",
        workers_min=1,
        workers_max=5,
        idle_timeout_s=60,
        scaler_value=0.5,
        data_centers=("EU-RO-1", "US-KS-2"),
        execution_timeout_ms=120_000,
        flashboot=True,
    ),
    "by request count": replace(ENDPOINT, scaler="request_count", scaler_value=3, idle_timeout_s=None),
    "CPU": replace(ENDPOINT, pools=(), cpus=("cpu3c-2-4", "cpu3c-4-8")),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_an_endpoint_is_what_was_asked_for(runpod: Emulated, cloud: RestCloud, spec: EndpointSpec) -> None:
    """Every field that is set is read back from the list as it was set."""
    endpoint = make_endpoint(cloud, spec)
    assert endpoint.spec == spec
    assert cloud.endpoints() == (endpoint,)


@pytest.mark.parametrize("before", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("after", SPECS.values(), ids=SPECS)
def test_an_endpoint_becomes_what_is_asked_for(
    runpod: Emulated, cloud: RestCloud, before: EndpointSpec, after: EndpointSpec
) -> None:
    """A change sets every field, and takes back those that are no longer wanted; GPU and CPU don't change places."""
    endpoint = make_endpoint(cloud, before)
    template = Template("unused", TEMPLATE, is_serverless=True)
    if bool(before.cpus) != bool(after.cpus):
        with pytest.raises(CloudRefused):
            cloud.update_endpoint(endpoint, after, template)
        return
    assert cloud.update_endpoint(endpoint, after, template).spec == after
    assert cloud.endpoints()[0].spec == after


def test_a_volume_is_mounted_and_taken_away(runpod: Emulated, cloud: RestCloud) -> None:
    """The volumes of an endpoint are those asked for, none when none is."""
    volume = cloud.create_volume("factory-models", "EU-RO-1", 50)
    with_volume = replace(ENDPOINT, volume_ids=(volume.id,), data_centers=("EU-RO-1",))
    endpoint = make_endpoint(cloud, with_volume)
    assert endpoint.spec.volume_ids == (volume.id,)
    template = Template("unused", TEMPLATE, is_serverless=True)
    assert cloud.update_endpoint(endpoint, ENDPOINT, template).spec.volume_ids == ()


def test_a_change_keeps_what_factory_does_not_manage(runpod: Emulated, cloud: RestCloud) -> None:
    """Excluded GPUs, allowed CUDA versions and priority FlashBoot that were set by hand stay."""
    draft = an_endpoint(
        "factory-wan", pools=["AMPERE_24", "ADA_24"], excluded_gpus=["NVIDIA L4"], allowed_cuda=["12.4", "12.8"],
        flashboot="PRIORITY_FLASHBOOT",
    )  # fmt: skip
    made = runpod.call(lambda box: box.world.create_endpoint(draft))
    (endpoint,) = cloud.endpoints()
    template = Template("unused", TEMPLATE, is_serverless=True)
    spec = replace(ENDPOINT, pools=("AMPERE_24",), flashboot=True)
    assert cloud.update_endpoint(endpoint, spec, template).extra == endpoint.extra
    kept = runpod.call(lambda box: box.world.find_endpoint(made.id))
    assert kept.excluded_gpus == ["NVIDIA L4"]
    assert kept.allowed_cuda == ["12.4", "12.8"]
    assert kept.flashboot == "PRIORITY_FLASHBOOT"
    # A floor and a list exclude each other, and a type that no pool has can't be excluded: what is asked for wins.
    spec = replace(ENDPOINT, pools=("ADA_24",), min_cuda="12.8")
    changed = cloud.update_endpoint(endpoint, spec, template)
    assert changed.spec.min_cuda == "12.8"
    assert "allowed_cuda" not in changed.extra and "excluded_gpus" not in changed.extra


def test_workers_and_releases(runpod: Emulated, cloud: RestCloud) -> None:
    """A change of the container makes a release that says what changed; without workers none is in progress."""
    endpoint = make_endpoint(cloud)
    template = Template("unused", TEMPLATE, is_serverless=True)
    cloud.update_endpoint(endpoint, replace(ENDPOINT, container_disk_gb=30), template)
    releases = cloud.releases(endpoint.id)
    assert [release.version for release in releases] == [2, 1]
    assert [(old, new) for _field, old, new in releases[0].changes] == [(20, 30)]
    rollout = cloud.rollout(endpoint.id)
    assert (rollout.version, rollout.is_in_progress) == (2, False)
    assert cloud.workers(endpoint.id) == ()


def test_an_endpoint_is_removed(runpod: Emulated, cloud: RestCloud) -> None:
    """Removing an endpoint that is gone already does no harm."""
    endpoint = make_endpoint(cloud)
    cloud.delete_endpoint(endpoint)
    cloud.delete_endpoint(endpoint)
    assert cloud.endpoints() == ()


# --- RunPod says no ------------------------------------------------------------------------------------------------
def test_the_worker_quota(runpod: Emulated, cloud: RestCloud) -> None:
    """Over the quota, the hint has RunPod's number."""
    with pytest.raises(CloudRefused) as caught:
        make_endpoint(cloud, replace(ENDPOINT, workers_max=101))
    assert caught.value.details["code"] == "worker_quota"
    assert "all endpoints together may have 100" in caught.value.fix


def test_no_balance(runpod: Emulated, cloud: RestCloud) -> None:
    """Without money no endpoint is made."""
    runpod.call(lambda box: setattr(box.world.person, "balance_usd", 0.0))
    with pytest.raises(CloudRefused) as caught:
        make_endpoint(cloud)
    assert caught.value.details["code"] == "no_balance"


def test_a_taken_name(cloud: RestCloud) -> None:
    """A template's name is taken once."""
    cloud.create_template(TEMPLATE)
    with pytest.raises(CloudRefused) as caught:
        cloud.create_template(TEMPLATE)
    assert caught.value.details["code"] == "name_taken"


def test_a_template_that_is_not_known_yet(runpod: Emulated, cloud: RestCloud) -> None:
    """RunPod may not find a template that was made a moment ago: that refusal is asked again."""
    template = template_for(cloud, ENDPOINT)
    refusal = Fault("status", status=404, path="/v2/serverless", method="POST", times=2)
    refusal.body = '{"title": "Not Found", "status": 404, "detail": "Unable to find template"}'
    runpod.faults.append(refusal)
    assert cloud.create_endpoint(ENDPOINT, template).spec == ENDPOINT
    assert len(runpod.call(lambda box: box.world.endpoints)) == 1


def test_a_password_stays_out_of_errors(runpod: Emulated, cloud: RestCloud) -> None:
    """A refusal that repeats the password doesn't show it."""
    body = '{"title": "No", "status": 422, "detail": "Request validation failed.", "errors": ["$.password: pw-secret"]}'
    runpod.faults.append(Fault("status", status=422, body=body))
    with pytest.raises(CloudRefused) as caught:
        cloud.create_login("factory-hub", "ada", "pw-secret")
    assert "pw-secret" not in json.dumps(caught.value.as_record())
    assert "$.password: ***" in str(caught.value)


# --- a create in doubt ---------------------------------------------------------------------------------------------
CREATES: dict[str, tuple[str, Callable[[RestCloud], object]]] = {
    "volume": ("/v2/network-volumes", lambda cloud: cloud.create_volume("factory-models", "EU-RO-1", 50)),
    "login": ("/v2/registries", lambda cloud: cloud.create_login("factory-hub", "ada", "pw")),
    "template": ("/v2/templates", lambda cloud: cloud.create_template(TEMPLATE)),
    "endpoint": ("/v2/serverless", lambda cloud: make_endpoint(cloud)),
}

# (fault, how many creates are sent)
DOUBTS: list[tuple[Fault, int]] = [
    (Fault("late", wait_s=2.5), 1),
    (Fault("cut"), 1),
    (Fault("cut", after_bytes=20), 1),
    (Fault("garbage", after=True), 1),
    (Fault("html", after=True), 1),
    (Fault("status", status=500, after=True), 1),
    (Fault("status", status=504, after=True), 1),
    (Fault("status", status=500), 2),
    (Fault("status", status=503), 2),
    (Fault("garbage"), 2),
    (Fault("hold"), 2),
    (Fault("rate_limit", wait_s=0), 2),
]


def count(box: Emulated, path: str) -> int:
    """How many of a kind the account has."""
    kinds = {"network-volumes": "volumes", "registries": "logins", "templates": "templates", "serverless": "endpoints"}
    return len(getattr(box.box.world, kinds[path.removeprefix("/v2/")]))


@pytest.mark.parametrize("fault", DOUBTS, ids=lambda pair: f"{pair[0].kind}-{pair[0].status}-{pair[0].after}-{pair[1]}")
@pytest.mark.parametrize("what", CREATES)
def test_a_create_in_doubt_makes_one(runpod: Emulated, what: str, fault: tuple[Fault, int]) -> None:
    """Whether or not a create that went wrong took effect, exactly one is there afterwards, and it is given back."""
    path, make = CREATES[what]
    played, creates = replace(fault[0], path=path, method="POST"), fault[1]
    cloud = rest(runpod.url, timeout_s=1.0 if played.kind in ("late", "hold") else 20.0)
    runpod.faults.append(played)
    made = make(cloud)
    assert count(runpod, path) == 1
    assert getattr(made, "id", None) in {thing.id for thing in _listed(cloud, what)}
    sent = [call for call in runpod.calls if (call.method, call.path) == ("POST", path)]
    assert len(sent) == creates


def _listed(cloud: RestCloud, what: str) -> tuple[Endpoint, ...] | tuple[Template, ...]:
    lists = {
        "volume": cloud.volumes, "login": cloud.logins, "template": cloud.templates, "endpoint": cloud.endpoints,
    }  # fmt: skip
    return lists[what]()  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("fault", "error", "sentence"),
    [
        (Fault("status", status=500, times=FOREVER), CloudFailed, "RunPod fails: played fault (HTTP 500)"),
        (Fault("status", status=503, times=FOREVER), CloudFailed, "RunPod fails: played fault (HTTP 503)"),
        (Fault("status", status=410), CloudGone, "RunPod has retired REST v2 (HTTP 410); set RUNPOD_API=graphql"),
        (Fault("status", status=401), CloudDenied, "RunPod denies access: played fault (HTTP 401)"),
        (Fault("status", status=403, body="error code: 1010"), CloudDenied, "User-Agent"),
        (Fault("status", status=400), CloudRefused, "RunPod refuses: played fault (HTTP 400)"),
        (Fault("rate_limit", wait_s=900), CloudFailed, "wait a minute"),
        (Fault("garbage", times=FOREVER), CloudFailed, "HTTP 200 is no answer of RunPod's API"),
        (Fault("html", times=FOREVER), CloudFailed, "found a web page: Welcome"),
        (Fault("cut", times=FOREVER, after=False), CloudUnreachable, "the connection broke"),
    ],
    ids=lambda value: f"{value.kind}-{value.status}" if isinstance(value, Fault) else None,
)
def test_a_create_that_stays_in_error(
    runpod: Emulated, cloud: RestCloud, fault: Fault, error: type[ProvisionError], sentence: str
) -> None:
    """What doesn't pass is one sentence with the thing's name, and makes at most one."""
    runpod.faults.append(replace(fault, path="/v2/templates", method="POST"))
    if fault.kind == "cut":  # it takes effect: found by name
        assert cloud.create_template(TEMPLATE).spec == TEMPLATE
        return
    with pytest.raises(error) as caught:
        cloud.create_template(TEMPLATE)
    assert sentence in str(caught.value)
    assert str(caught.value).startswith('template "factory-wan": ') and "\n" not in str(caught.value)
    assert count(runpod, "/v2/templates") == 0


def test_a_create_that_cannot_be_looked_for(runpod: Emulated, cloud: RestCloud) -> None:
    """When the look fails as well, nothing is made again, and the sentence says that it may be there."""
    runpod.faults.append(Fault("status", status=500, path="/v2/templates", method="POST", after=True))
    runpod.faults.append(Fault("status", status=500, path="/v2/templates", method="GET"))
    with pytest.raises(CloudFailed, match=r'template "factory-wan" may have been made: .* so did the look'):
        cloud.create_template(TEMPLATE)
    assert count(runpod, "/v2/templates") == 1


def test_two_of_a_name(runpod: Emulated, cloud: RestCloud) -> None:
    """RunPod lets volume names repeat: a create in doubt with two of its name is for a person to solve."""
    for _ in range(2):
        runpod.call(lambda box: box.world.create_volume("factory-models", 50, "EU-RO-1"))
    runpod.faults.append(Fault("status", status=500, path="/v2/network-volumes", method="POST"))
    with pytest.raises(AmbiguousName, match="RunPod has 2 of this name") as caught:
        cloud.create_volume("factory-models", "EU-RO-1", 50)
    assert len(caught.value.details["ids"]) == 2  # type: ignore[arg-type]


def test_nobody_there(runpod: Emulated) -> None:
    """Without a connection nothing was made: one sentence, at once."""
    with scripted(Step()) as site:
        url = site.url
    with stamina.set_testing(True, attempts=2), pytest.raises(CloudUnreachable) as caught:
        rest(url).create_template(TEMPLATE)
    assert 'template "factory-wan": no answer from 127.0.0.1 (no connection)' in str(caught.value)
    assert "may have been made" not in str(caught.value)


# --- what RunPod keeps ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"flashboot": "OFF"}, "flashboot: asked for True, found False"),
        ({"timeout": 0}, "execution_timeout_ms: asked for 120000, found 0"),
        ({"networkVolumes": ["v9"]}, "volume_ids: asked for (), found ('v9',)"),
        ({"dataCenterIds": []}, "data_centers: asked for ('EU-RO-1', 'US-KS-2'), found ()"),
        ({"env": {}}, "env: MODEL not as asked"),
        ({"type": "LOAD_BALANCER"}, "type: asked for QUEUE, found another"),
        ({"registry": "r1"}, "login_id: asked for None, found 'r1'"),
        ({"workers": {"min": 1, "max": 4, "idleTimeout": 60}}, "workers_max: asked for 5, found 4"),
        (
            {"gpu": {"pools": ["ADA_24"], "count": 1, "minCudaVersion": None, "allowedCudaVersions": []}},
            "pools: asked for ('ADA_24', 'AMPERE_48'), found ('ADA_24',); gpu_count: asked for 2, found 1; "
            "min_cuda: asked for '12.8', found None",
        ),
    ],
)
def test_what_runpod_drops_is_named(runpod: Emulated, cloud: RestCloud, change: dict[str, object], words: str) -> None:
    """A create whose answer differs from what was asked names each field."""
    spec = SPECS["all fields"]
    template = template_for(cloud, spec)
    cloud.create_endpoint(spec, template)
    shown = RestClient(RunPodClient(runpod.url, KEY)).get("/serverless", "endpoints")["endpoints"][0]
    answer = json.dumps({**shown, **change})
    runpod.faults.append(Fault("status", status=201, body=answer, path="/v2/serverless", method="POST", after=False))
    with pytest.raises(CloudRefused) as caught:
        cloud.create_endpoint(spec, template)
    assert f"RunPod kept something else than it was told ({words})" in str(caught.value)
    assert caught.value.details["code"] == "not_kept"


# --- lists ---------------------------------------------------------------------------------------------------------
def volumes_page(ids: list[str], cursor: str | None) -> Step:
    """A page of volumes as RunPod sends it since October 2026."""
    rows = [{"id": i, "name": i, "size": 10, "dataCenter": "EU-RO-1", "type": "STANDARD", "new": 1} for i in ids]
    return Step(200, {"networkVolumes": rows, "pagination": {"nextCursor": cursor, "hasNextPage": bool(cursor)}})


def test_pages_are_followed() -> None:
    """A list goes on while there is a cursor."""
    with scripted(volumes_page(["a", "b"], "2/x"), volumes_page(["c"], None)) as site:
        assert [volume.id for volume in rest(site.url).volumes()] == ["a", "b", "c"]
    assert [asked.path for asked in site.asked] == ["/v2/network-volumes", "/v2/network-volumes?cursor=2%2Fx"]


def test_a_cursor_that_is_ignored_ends_the_list() -> None:
    """A server that sends the same page again and again doesn't keep us for ever."""
    with scripted(volumes_page(["a", "b"], "2")) as site:
        assert [volume.id for volume in rest(site.url).volumes()] == ["a", "b"]
    assert len(site.asked) == 2


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"volumes": []}, "the list 'networkVolumes'"),
        ({"networkVolumes": [{"id": "a"}]}, "KeyError: 'name'"),
        ([], "HTTP 200 is no answer of RunPod's API (found [])"),
    ],
)
def test_a_list_of_another_shape(body: object, words: str) -> None:
    """A list that lacks what we need says what."""
    with scripted(Step(200, body)) as site, pytest.raises(CloudFailed) as caught:
        rest(site.url).volumes()
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=503, times=2),
        Fault("cut", times=2),
        Fault("cut", after_bytes=10),
        Fault("rate_limit", wait_s=1),
    ],
    ids=lambda fault: fault.kind,
)
def test_a_list_outlives_what_passes(runpod: Emulated, cloud: RestCloud, fault: Fault) -> None:
    """Reading is tried again."""
    runpod.faults.append(fault)
    with stamina.set_testing(True, attempts=4):
        assert cloud.volumes() == ()


def test_changes_are_sent_again(runpod: Emulated, cloud: RestCloud) -> None:
    """A change whose answer was lost is sent again: it states whole values. So is a removal."""
    volume = cloud.create_volume("factory-models", "EU-RO-1", 50)
    template = cloud.create_template(TEMPLATE)
    runpod.faults.append(Fault("cut", method="PATCH"))
    runpod.faults.append(Fault("cut", method="DELETE"))
    assert cloud.grow_volume(volume, 60).size_gb == 60
    cloud.delete_template(template)
    assert cloud.templates() == ()
