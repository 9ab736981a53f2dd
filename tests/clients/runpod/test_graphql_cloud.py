"""GraphqlCloud against the emulator: what it writes is there, what it didn't write stays, nothing is made twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import httpx
import pytest
from runpod_box import KEY, Emulated, a_template, an_endpoint

from factory.account import Endpoint, EndpointSpec, Rollout, Template, TemplateSpec
from factory.clients.runpod.graphql_cloud import GraphqlCloud
from factory.clients.runpod.transport import RunPodClient
from factory.emulator.faults import Fault
from factory.emulator.runpod import entities
from factory.errors import AmbiguousName, CloudFailed, CloudRefused, ProvisionError
from factory.ports import Cloud

SPEC = EndpointSpec("factory-minilm", "registry/org/minilm@sha256:1", 20, {"A": "1"}, pools=("ADA_24", "AMPERE_48"))


@pytest.fixture
def cloud(runpod: Emulated) -> Iterator[GraphqlCloud]:
    """The cloud over GraphQL, which waits for nothing."""
    with RunPodClient(runpod.url, KEY, timeout_s=5.0, patience_s=5.0) as client:
        yield GraphqlCloud(client, pauses_s=(0.0, 0.0), sleep=lambda _: None)


def template_of(spec: EndpointSpec) -> TemplateSpec:
    """The template that says the same as an endpoint."""
    return TemplateSpec(spec.name, spec.image, spec.container_disk_gb, spec.env, spec.login_id)


def deployed(cloud: Cloud, spec: EndpointSpec = SPEC) -> tuple[Template, Endpoint]:
    """A template and an endpoint that were made from nothing."""
    template = cloud.create_template(template_of(spec))
    return template, cloud.create_endpoint(spec, template)


def stored(runpod: Emulated, endpoint: Endpoint) -> entities.Endpoint:
    """The endpoint as RunPod has it."""
    return runpod.call(lambda box: box.world.find_endpoint(endpoint.id))


# --- templates -------------------------------------------------------------------------------------------------------
def test_a_template_is_a_serverless_one_without_arguments(runpod: Emulated, cloud: GraphqlCloud) -> None:
    """`dockerArgs` is sent empty, `isServerless` true, `volumeInGb` 0; env and login arrive."""
    login = cloud.create_login("hub", "me", "hunter2")
    made = cloud.create_template(TemplateSpec("t", "img:1", 30, {"K": "{{ RUNPOD_SECRET_x }}", "E": ""}, login.id))
    held = runpod.call(lambda box: box.world.find_template(made.id))
    assert (held.is_serverless, held.volume_gb, held.container.args) == (True, 0, "")
    assert held.container.env == {"K": "{{ RUNPOD_SECRET_x }}", "E": ""}
    assert (held.container.login_id, held.container.disk_gb, held.container.image) == (login.id, 30, "img:1")
    assert cloud.templates() == (made,)


def test_a_pod_template_can_not_become_a_serverless_one(runpod: Emulated, cloud: GraphqlCloud) -> None:
    """RunPod ignores the change without a word; the read-back notices."""
    runpod.call(lambda box: box.world.create_template(a_template("t", is_serverless=False)))
    [found] = cloud.templates()
    with pytest.raises(CloudRefused, match="serverless: asked for True, found False"):
        cloud.update_template(found, found.spec)


def test_the_templates_of_other_endpoints_are_not_listed(runpod: Emulated, cloud: GraphqlCloud) -> None:
    """RunPod binds a template to an endpoint that was made without one; it goes with it and is none of ours."""
    runpod.call(lambda box: box.world.create_endpoint(an_endpoint("by-rest")))
    assert cloud.templates() == ()
    assert [e.spec.name for e in cloud.endpoints()] == ["by-rest"]


# --- endpoints -------------------------------------------------------------------------------------------------------
def test_no_cuda_floor_is_said(runpod: Emulated, cloud: GraphqlCloud) -> None:
    """Left out, RunPod would set 12.0 over GraphQL, and hosts below are never asked."""
    _, endpoint = deployed(cloud)
    assert stored(runpod, endpoint).min_cuda is None


def test_an_update_keeps_what_we_do_not_manage(runpod: Emulated, cloud: GraphqlCloud) -> None:
    """Excluded GPUs, allowed CUDA versions, cached models and a priority FlashBoot outlive a full replace."""
    template, endpoint = deployed(cloud, replace(SPEC, flashboot=True))

    def by_hand(box_endpoint: entities.Endpoint) -> entities.Endpoint:
        return replace(
            box_endpoint,
            excluded_gpus=["NVIDIA L40S", "NVIDIA GeForce RTX 4090"],
            allowed_cuda=["12.4", "12.8"],
            model_references=["https://huggingface.co/org/name:" + "a" * 40],
            flashboot="PRIORITY_FLASHBOOT",
        )

    held = stored(runpod, endpoint)
    runpod.call(lambda box: box.world.update_endpoint(held.id, by_hand(held)))
    [now] = cloud.endpoints()
    spec = replace(SPEC, flashboot=True, workers_max=1, idle_timeout_s=99)
    changed = cloud.update_endpoint(now, spec, template)
    kept = stored(runpod, endpoint)
    assert changed.extra == now.extra
    assert changed.spec == spec
    assert kept.excluded_gpus == ["NVIDIA L40S", "NVIDIA GeForce RTX 4090"]
    assert kept.allowed_cuda == ["12.4", "12.8"]
    assert kept.model_references == ["https://huggingface.co/org/name:" + "a" * 40]
    assert (kept.flashboot, kept.workers_max, kept.idle_timeout_s) == ("PRIORITY_FLASHBOOT", 1, 99)


def test_other_pools_drop_the_exclusions_that_mean_nothing_there(runpod: Emulated, cloud: GraphqlCloud) -> None:
    """A GPU type that lies in none of the new pools is no longer excluded."""
    template, endpoint = deployed(cloud)
    held = stored(runpod, endpoint)
    changed = replace(held, excluded_gpus=["NVIDIA A40", "NVIDIA GeForce RTX 4090"])
    runpod.call(lambda box: box.world.update_endpoint(held.id, changed))
    cloud.update_endpoint(endpoint, replace(SPEC, pools=("AMPERE_48",)), template)
    assert stored(runpod, endpoint).excluded_gpus == ["NVIDIA A40"]


def test_a_new_image_is_live_after_both_updates_and_shown_as_old_before(runpod: Emulated, cloud: GraphqlCloud) -> None:
    """A template's change reaches an endpoint when that is saved; until then the endpoint is seen as it runs."""
    template, endpoint = deployed(cloud)
    spec = replace(SPEC, image="registry/org/minilm@sha256:2", env={"B": "2"}, container_disk_gb=25)
    changed = cloud.update_template(template, template_of(spec))
    [between] = cloud.endpoints()
    assert between.spec == SPEC  # killed here, the next run sees that the endpoint still has to change
    assert stored(runpod, endpoint).container.image == SPEC.image
    live = cloud.update_endpoint(between, spec, changed)
    container = stored(runpod, endpoint).container
    assert (container.image, container.env, container.disk_gb) == (spec.image, {"B": "2"}, 25)
    assert cloud.endpoints() == (live,)
    assert (live.spec, live.version) == (spec, 2)
    assert runpod.call(lambda box: box.world.find_template(template.id)).readme == ""


def test_two_endpoints_of_one_template_are_live_one_by_one(cloud: GraphqlCloud) -> None:
    """Each is seen with its old image until it is saved itself."""
    template, first = deployed(cloud)
    second = cloud.create_endpoint(replace(SPEC, name="other"), template)
    spec = replace(SPEC, image="new")
    template = cloud.update_template(template, template_of(spec))
    cloud.update_endpoint(first, spec, template)
    assert {e.spec.name: e.spec.image for e in cloud.endpoints()} == {SPEC.name: "new", "other": SPEC.image}
    cloud.update_endpoint(second, replace(spec, name="other"), template)
    assert {e.spec.image for e in cloud.endpoints()} == {"new"}


def test_a_change_that_is_taken_back_leaves_no_note(runpod: Emulated, cloud: GraphqlCloud) -> None:
    """When the template says again what the endpoint runs, there is nothing to do."""
    template, _ = deployed(cloud)
    template = cloud.update_template(template, replace(template_of(SPEC), image="new"))
    cloud.update_template(template, template_of(SPEC))
    assert [e.spec for e in cloud.endpoints()] == [SPEC]
    assert runpod.call(lambda box: box.world.find_template(template.id)).readme == ""


def test_what_only_rest_can_say_is_refused_before_it_is_sent(runpod: Emulated, cloud: GraphqlCloud) -> None:
    """GraphQL's scaler value is an Int; half a second needs REST."""
    template = cloud.create_template(template_of(SPEC))
    calls = len(runpod.calls)
    with pytest.raises(CloudRefused, match=r"whole scaler values only \(found 0.5\).*RUNPOD_API=rest"):
        cloud.create_endpoint(replace(SPEC, scaler_value=0.5), template)
    assert len(runpod.calls) == calls


def test_a_template_that_is_not_known_yet_gets_a_moment(runpod: Emulated, cloud: GraphqlCloud) -> None:
    """The answer `Unable to find template` comes right after a template was made, too."""
    template = cloud.create_template(template_of(SPEC))
    body = '{"errors": [{"message": "Unable to find template"}], "data": {"saveEndpoint": null}}'
    runpod.faults.append(Fault("status", status=200, body=body, containing="saveEndpoint", times=2))
    assert cloud.create_endpoint(SPEC, template).template_id == template.id
    runpod.faults.append(Fault("status", status=200, body=body, containing="saveEndpoint", times=3))
    with pytest.raises(CloudRefused, match="Unable to find template"):
        cloud.create_endpoint(replace(SPEC, name="other"), template)


def test_a_quota_refusal_says_what_to_do(cloud: GraphqlCloud) -> None:
    """HTTP 200 with errors is a refusal; its hint names the number."""
    template = cloud.create_template(template_of(SPEC))
    with pytest.raises(CloudRefused, match=r"lower endpoint\.workers\.max of this recipe to at most 10"):
        cloud.create_endpoint(replace(SPEC, workers_max=11), template)


# --- nothing twice ---------------------------------------------------------------------------------------------------
def make_volume(cloud: Cloud) -> object:
    """Make a volume."""
    return cloud.create_volume("v", "EU-RO-1", 20)


def make_login(cloud: Cloud) -> object:
    """Make a registry login."""
    return cloud.create_login("l", "u", "p4ssw0rd")


def make_template(cloud: Cloud) -> object:
    """Make a template."""
    return cloud.create_template(TemplateSpec("t", "img:1", 10))


def make_endpoint(cloud: Cloud) -> object:
    """Make an endpoint, from a template that is there."""
    return cloud.create_endpoint(replace(SPEC, name="lost"), cloud.templates()[0])


MAKES: dict[str, tuple[Callable[[Cloud], object], str]] = {
    "volumes": (make_volume, "createNetworkVolume"),
    "logins": (make_login, "saveRegistryAuth"),
    "templates": (make_template, "saveTemplate"),
    "endpoints": (make_endpoint, "saveEndpoint"),
}
LOSSES = {
    "502 before": Fault("status", status=502),
    "504 after": Fault("status", status=504, after=True),
    "500 after": Fault("status", status=500, after=True),
    "garbage after": Fault("garbage", after=True),
    "a page after": Fault("html", after=True),
    "cut off": Fault("cut", after_bytes=5),
    "429": Fault("rate_limit"),
    "masked after": Fault(
        "status", status=200, after=True, body='{"errors": [{"message": "Something went wrong. Please try again"}]}'
    ),
}


@pytest.mark.parametrize("what", MAKES)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_create_whose_answer_is_lost_is_made_once(
    runpod: Emulated, cloud: GraphqlCloud, what: str, loss: str
) -> None:
    """Whether it took effect or not, one exists in the end, and it is returned as if nothing had happened."""
    make, mutation = MAKES[what]
    if what == "endpoints":
        cloud.create_template(template_of(SPEC))
    runpod.faults.append(replace(LOSSES[loss], containing=mutation))
    made = make(cloud)
    assert getattr(cloud, what)() == (made,)
    assert runpod.faults[0].times == 0


def test_a_create_that_times_out_is_looked_for(runpod: Emulated) -> None:
    """The answer comes after the client has given up; the volume is there, and is found."""
    runpod.faults.append(Fault("late", wait_s=1.0, containing="createNetworkVolume"))
    with RunPodClient(runpod.url, KEY, timeout_s=0.3, patience_s=0.3) as client:
        cloud = GraphqlCloud(client, pauses_s=(0.0,), sleep=lambda _: None)
        made = make_volume(cloud)
        assert cloud.volumes() == (made,)


def test_another_thing_of_the_name_is_not_taken_for_it(runpod: Emulated, cloud: GraphqlCloud) -> None:
    """Volumes may share a name: one in another data centre is not what a lost create made."""
    runpod.call(lambda box: box.world.create_volume("v", 20, "US-KS-2"))
    runpod.faults.append(Fault("status", status=502, containing="createNetworkVolume"))
    make_volume(cloud)
    assert sorted(v.data_center for v in cloud.volumes()) == ["EU-RO-1", "US-KS-2"]


def test_two_that_could_be_it_are_said(runpod: Emulated, cloud: GraphqlCloud) -> None:
    """When equal ones exist, nobody can tell which is ours: nothing is made, and both ids are named."""
    for _ in range(2):
        runpod.call(lambda box: box.world.create_volume("v", 20, "EU-RO-1"))
    runpod.faults.append(Fault("status", status=502, containing="createNetworkVolume"))
    with pytest.raises(AmbiguousName, match="RunPod has 2 of this name"):
        make_volume(cloud)
    assert len(cloud.volumes()) == 2


def test_a_create_that_can_not_be_looked_for_is_not_repeated(runpod: Emulated, cloud: GraphqlCloud) -> None:
    """Without a look there is no second create."""
    runpod.faults.append(Fault("status", status=502, after=True, containing="createNetworkVolume"))
    runpod.faults.append(Fault("status", status=500, containing="query Volumes"))
    with pytest.raises(CloudFailed, match='volume "v" may have been made'):
        make_volume(cloud)
    assert len(cloud.volumes()) == 1


# --- changes and ends ------------------------------------------------------------------------------------------------
def test_a_volume_grows_and_never_shrinks(cloud: GraphqlCloud) -> None:
    """RunPod refuses to shrink, and we say so."""
    volume = cloud.create_volume("v", "EU-RO-1", 20)
    grown = cloud.grow_volume(volume, 30)
    assert (grown.id, grown.size_gb) == (volume.id, 30)
    with pytest.raises(CloudRefused, match="cannot be reduced"):
        cloud.grow_volume(grown, 20)


def test_everything_can_be_removed(cloud: GraphqlCloud) -> None:
    """Endpoint, template and login go, in that order."""
    login = cloud.create_login("hub", "me", "pass")
    template, endpoint = deployed(cloud, replace(SPEC, login_id=login.id, workers_min=1))
    with pytest.raises(CloudRefused, match="in use"):
        cloud.delete_template(template)
    with pytest.raises(CloudRefused, match="in use"):
        cloud.delete_login(login)
    for _ in range(2):  # what is gone is gone
        cloud.delete_endpoint(endpoint)
        cloud.delete_template(template)
        cloud.delete_login(login)
    assert (cloud.endpoints(), cloud.templates(), cloud.logins()) == ((), (), ())


@pytest.mark.parametrize(
    "fault",
    [Fault("status", status=504, after=True), Fault("cut", after_bytes=2), Fault("status", status=500, after=True)],
)
def test_a_delete_whose_answer_is_lost_is_done(runpod: Emulated, cloud: GraphqlCloud, fault: Fault) -> None:
    """Whether a second try is told that there is nothing to delete, or none is made: it is gone, as was wanted."""
    login = cloud.create_login("hub", "me", "pass")
    runpod.faults.append(replace(fault, containing="deleteRegistryAuth"))
    cloud.delete_login(login)
    assert cloud.logins() == ()


def test_workers_that_run_an_older_version_are_stale(runpod: Emulated, cloud: GraphqlCloud) -> None:
    """A pod says its version; the rollout counts those of the endpoint's."""
    template, endpoint = deployed(cloud)
    with httpx.Client(base_url=f"{runpod.jobs_url}/{endpoint.id}", headers={"Authorization": f"Bearer {KEY}"}) as jobs:
        jobs.post("/run", json={"input": {"ping": 1}}).raise_for_status()
        assert jobs.get("/job-take/w1", params={"gpu": "x"}).status_code == 200  # busy, it outlives the change
    [worker] = cloud.workers(endpoint.id)
    assert (worker.id, worker.version, worker.image, worker.is_stale) == ("w1", 1, SPEC.image, False)
    assert cloud.rollout(endpoint.id) == Rollout(version=1, on_latest=1, total=1, is_in_progress=False)
    spec = replace(SPEC, image="new")
    cloud.update_endpoint(endpoint, spec, cloud.update_template(template, template_of(spec)))
    [worker] = cloud.workers(endpoint.id)
    assert (worker.version, worker.image, worker.is_stale) == (1, SPEC.image, True)
    assert cloud.rollout(endpoint.id) == Rollout(version=2, on_latest=0, total=1, is_in_progress=True)


def test_an_account_is_read_in_one_call_per_list(runpod: Emulated, cloud: GraphqlCloud) -> None:
    """Eight calls are a whole look at an account, however much it holds."""
    template = cloud.create_template(template_of(SPEC))
    for number in range(10):
        cloud.create_endpoint(replace(SPEC, name=f"many-{number}", workers_max=1), template)
    before = len(runpod.calls)
    for look in ("balance", "gpus", "data_centers", "secrets", "volumes", "logins", "templates", "endpoints"):
        getattr(cloud, look)()
    assert len(runpod.calls) == before + 8


def test_errors_are_of_the_tree_that_the_port_promises(cloud: GraphqlCloud) -> None:
    """An endpoint that is gone raises below ProvisionError, in each call that names it."""
    template, endpoint = deployed(cloud)
    cloud.delete_endpoint(endpoint)
    for ask in (
        lambda: cloud.update_endpoint(endpoint, SPEC, template),
        lambda: cloud.set_models(endpoint.id, ["https://huggingface.co/org/name:main"]),
        lambda: cloud.workers(endpoint.id),
        lambda: cloud.rollout(endpoint.id),
        lambda: cloud.update_template(replace(template, id="gone"), template.spec),
    ):
        with pytest.raises(ProvisionError):
            ask()
