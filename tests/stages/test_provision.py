"""provision: what is done in which order, what a second run does, and what a run does that finds half of it done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from accounts import LOGIN, recipe_of, sized
from fake_cloud import FakeCloud
from plan_case import IMAGE, NEXT_IMAGE, template, volume

from factory.account import Rollout
from factory.errors import CannotChange, CloudRefused, CloudUnreachable, PreflightFailed, RolloutTimedOut
from factory.provisioning.desired import wants_cached
from factory.provisioning.observed import ImageState
from factory.provisioning.plan import Plan
from factory.records import Deployment, Progress
from factory.stages.plan import plan
from factory.stages.provision import observe, provision

ORDER = ["create_volume demo", "create_login factory-docker.io", "create_template demo", "create_endpoint demo"]


def planned(cloud: FakeCloud, image: str = IMAGE, is_public: bool = True, **blocks: Any) -> Plan:
    """Plan the plain recipe on a cloud."""
    recipe = recipe_of(blocks)
    observed = observe(cloud, with_models=wants_cached(recipe))
    disks, models = sized(recipe, 20, observed)
    return plan(recipe, disks, ImageState(image, is_public=is_public, has_login=True), observed, models=models)


def carried_out(cloud: FakeCloud, found: Plan, **words: Any) -> Deployment:
    """Provision, without waiting."""
    words.setdefault("pause", lambda _seconds: None)
    return provision(found, cloud, login_for=lambda _registry: LOGIN, **words)


def test_the_order_is_volume_login_template_endpoint() -> None:
    """Each needs the one before."""
    cloud = FakeCloud()
    made = carried_out(cloud, planned(cloud, is_public=False))
    assert cloud.changes() == ORDER
    assert made.was_changed and made.image == IMAGE
    spec = cloud.held_endpoints[made.endpoint_id].spec
    assert spec.volume_ids == (made.volume_id,) and spec.login_id == next(iter(cloud.held_logins))
    assert list(cloud.passwords.values()) == [LOGIN]


def test_a_second_run_changes_nothing_and_looks_once() -> None:
    """Beside the lists only the rollout is asked for."""
    cloud = FakeCloud()
    first = carried_out(cloud, planned(cloud))
    cloud.calls.clear()
    second = carried_out(cloud, planned(cloud))
    assert cloud.changes() == [] and len(cloud.calls) == 9
    assert second == replace(first, was_changed=False)


# --- cached models ---------------------------------------------------------------------------------------------------
CACHED: dict[str, Any] = {"models": [{"repo": "org/model", "placement": "cached"}]}
REFERENCE = f"https://huggingface.co/org/model:{'0' * 40}"


def held_models(cloud: FakeCloud) -> list[tuple[str, ...]]:
    """The cached models of each endpoint."""
    return [cloud.held_models.get(endpoint_id, ()) for endpoint_id in cloud.held_endpoints]


@pytest.mark.parametrize("is_rest", [False, True])
def test_cached_models_are_given_after_the_endpoint_and_before_it_is_watched(is_rest: bool) -> None:
    """By repository and commit; a second run asks for them once and sets nothing."""
    cloud = FakeCloud(are_models_hidden=is_rest)
    assert carried_out(cloud, planned(cloud, **CACHED)).was_changed
    assert cloud.calls[-3:] == ["create_endpoint demo", "set_models demo", "rollout"]
    assert held_models(cloud) == [(REFERENCE,)]
    cloud.calls.clear()
    assert not carried_out(cloud, planned(cloud, **CACHED)).was_changed
    assert cloud.changes() == [] and cloud.calls.count("all_models") == 1


def test_an_endpoint_that_only_lacks_its_models_is_not_saved_itself() -> None:
    """Saving what is the same would ask RunPod for nothing."""
    cloud = FakeCloud()
    made = carried_out(cloud, planned(cloud, **CACHED))
    cloud.held_models[made.endpoint_id] = ("https://huggingface.co/org/model:" + "1" * 40,)
    cloud.calls.clear()
    assert carried_out(cloud, planned(cloud, **CACHED)).was_changed
    assert cloud.changes() == ["set_models demo"]
    assert held_models(cloud) == [(REFERENCE,)]


def test_models_that_no_recipe_wants_are_taken_away_where_they_are_seen() -> None:
    """REST v2 doesn't show them, and GraphQL isn't asked for a recipe that has none."""
    for is_rest in (False, True):
        cloud = FakeCloud(are_models_hidden=is_rest)
        carried_out(cloud, planned(cloud, **CACHED))
        cloud.calls.clear()
        carried_out(cloud, planned(cloud))
        assert "all_models" not in cloud.calls
        assert held_models(cloud) == [(REFERENCE,) if is_rest else ()]


@pytest.mark.parametrize("is_rest", [False, True])
@pytest.mark.parametrize("takes_effect", [False, True])
@pytest.mark.parametrize("method", ["create_endpoint", "set_models"])
def test_a_run_that_ends_between_endpoint_and_models_is_taken_up(
    method: str, takes_effect: bool, is_rest: bool
) -> None:
    """The next run sees what is missing, whichever API it asks."""
    cloud = FakeCloud(are_models_hidden=is_rest)
    cut_before(cloud, method, takes_effect=takes_effect)
    with pytest.raises(Cut):
        carried_out(cloud, planned(cloud, **CACHED))
    carried_out(cloud, planned(cloud, **CACHED))
    assert held_models(cloud) == [(REFERENCE,)]
    assert not planned(cloud, **CACHED).has_changes


def test_other_models_than_asked_for_are_an_error() -> None:
    """A worker that finds another commit than its recipe names would not start."""
    cloud = FakeCloud()
    cloud.set_models = lambda endpoint_id, references: ()  # type: ignore[method-assign]
    with pytest.raises(CloudRefused, match="kept other cached models than it was told: none"):
        carried_out(cloud, planned(cloud, **CACHED))


def test_models_of_both_kinds_are_kept_apart() -> None:
    """Only what RunPod brings is told to it."""
    cloud = FakeCloud()
    models = [{"repo": "org/model", "placement": "cached"}, {"repo": "org/vae", "placement": "volume"}]
    carried_out(cloud, planned(cloud, models=models))
    assert held_models(cloud) == [(REFERENCE,)] and len(cloud.held_volumes) == 1


# --- cut anywhere ----------------------------------------------------------------------------------------------------
class Cut(CloudUnreachable):
    """The line is cut."""


def cut_before(cloud: FakeCloud, method: str, *, takes_effect: bool) -> None:
    """Let the next call of a method fail, once: before or after its effect."""
    whole: Callable[..., Any] = getattr(cloud, method)

    def broken(*arguments: Any) -> Any:
        setattr(cloud, method, whole)
        if takes_effect:
            whole(*arguments)
        raise Cut("cut", where="test")

    setattr(cloud, method, broken)


@pytest.mark.parametrize("takes_effect", [False, True])
@pytest.mark.parametrize("method", ["create_volume", "create_login", "create_template", "create_endpoint"])
def test_a_run_that_ends_anywhere_is_taken_up(method: str, takes_effect: bool) -> None:
    """Cut at each create, before and after its effect: the next run ends with one of each."""
    cloud = FakeCloud()
    cut_before(cloud, method, takes_effect=takes_effect)
    with pytest.raises(Cut):
        carried_out(cloud, planned(cloud, is_public=False))
    carried_out(cloud, planned(cloud, is_public=False))
    held = (cloud.held_volumes, cloud.held_logins, cloud.held_templates, cloud.held_endpoints)
    assert [len(things) for things in held] == [1, 1, 1, 1]
    assert not planned(cloud, is_public=False).has_changes


@pytest.mark.parametrize("takes_effect", [False, True])
@pytest.mark.parametrize("method", ["grow_volume", "update_template", "update_endpoint"])
def test_a_change_that_ends_anywhere_is_taken_up(method: str, takes_effect: bool) -> None:
    """Cut at each update: the next run makes the rest, and then nothing differs."""
    cloud = FakeCloud()
    carried_out(cloud, planned(cloud))
    changed: dict[str, Any] = {"disk": {"volume": 100}, "env": {"A": "1"}}
    cut_before(cloud, method, takes_effect=takes_effect)
    with pytest.raises(Cut):
        carried_out(cloud, planned(cloud, NEXT_IMAGE, **changed))
    carried_out(cloud, planned(cloud, NEXT_IMAGE, **changed))
    assert not planned(cloud, NEXT_IMAGE, **changed).has_changes
    assert len(cloud.held_endpoints) == 1


def test_what_others_made_since_the_plan_is_found() -> None:
    """Each create looks by name first, so two runs at once make one of each."""
    cloud = FakeCloud()
    mine, theirs = planned(cloud), planned(cloud)
    carried_out(cloud, theirs)
    carried_out(cloud, mine)
    held = (cloud.held_volumes, cloud.held_templates, cloud.held_endpoints)
    assert [len(things) for things in held] == [1, 1, 1]


def test_what_others_made_since_the_plan_and_can_not_be_used_stops_it() -> None:
    """A pod template of that name that came meanwhile isn't removed unasked."""
    cloud = FakeCloud()
    mine = planned(cloud)
    cloud.held_templates["t-demo"] = template(is_serverless=False)
    with pytest.raises(CannotChange, match="pod template"):
        carried_out(cloud, mine)
    assert "create_endpoint demo" not in cloud.calls


def test_an_image_that_is_not_pushed_is_not_provisioned() -> None:
    """A plan may show it, an endpoint may not have it."""
    cloud = FakeCloud()
    found = planned(cloud)
    with pytest.raises(PreflightFailed, match="not in its registry"):
        carried_out(cloud, replace(found, image=ImageState("acme/demo:1", is_pushed=False)))
    assert cloud.changes() == []


# --- live ------------------------------------------------------------------------------------------------------------
def test_a_change_is_watched_until_no_worker_is_stale() -> None:
    """It says how far it is, and ends when every worker runs the new version."""
    cloud, told = FakeCloud(), list[Progress]()
    carried_out(cloud, planned(cloud))
    cloud.rollouts = [Rollout(2, 0, 2, True), Rollout(2, 1, 2, True), Rollout(2, 2, 2, False)]
    pauses: list[float] = []
    carried_out(cloud, planned(cloud, NEXT_IMAGE), tell=told.append, pause=pauses.append)
    texts = [progress.text for progress in told if progress.key == "rollout"]
    assert texts == [
        "rolling: 0 of 2 workers on the new version",
        "rolling: 1 of 2 workers on the new version",
        "live: 2 workers on it",
    ]
    assert len(pauses) == 2


def test_a_run_that_was_cut_while_workers_rolled_waits_on() -> None:
    """Nothing is left to change, and it still isn't live."""
    cloud = FakeCloud()
    carried_out(cloud, planned(cloud))
    cloud.rollouts = [Rollout(2, 0, 1, True), Rollout(2, 1, 1, False)]
    pauses: list[float] = []
    assert not carried_out(cloud, planned(cloud), pause=pauses.append).was_changed
    assert len(pauses) == 1


def test_workers_that_never_roll_time_out() -> None:
    """The error says how many are left and that running it again waits on."""
    cloud = FakeCloud()
    carried_out(cloud, planned(cloud))
    cloud.rollouts = [Rollout(2, 1, 3, True)]
    with pytest.raises(RolloutTimedOut, match="2 of 3 workers still run an older version after 10 s") as caught:
        carried_out(cloud, planned(cloud, NEXT_IMAGE), limit_s=10)
    assert "again" in caught.value.fix


def test_a_shared_volume_that_the_recipe_before_made_is_found_by_its_name() -> None:
    """The second plan was made before the volume had an id."""
    from factory.stages.plan import after

    cloud = FakeCloud()
    observed = observe(cloud)
    plans = []
    for name in ("one", "two"):
        recipe = recipe_of({"name": name, "volume": "models"})
        disks, models = sized(recipe, 20, observed)
        plans.append(plan(recipe, disks, ImageState(IMAGE, is_public=True), observed, models=models))
        observed = after(plans[-1], observed)
    made = [carried_out(cloud, found) for found in plans]
    assert made[0].volume_id == made[1].volume_id is not None
    assert len(cloud.held_volumes) == 1


def test_a_volume_is_grown_and_the_endpoint_left_alone() -> None:
    """Only what differs is touched."""
    cloud = FakeCloud()
    cloud.held_volumes["v1"] = volume(size_gb=12)
    carried_out(cloud, planned(cloud))
    assert cloud.changes() == ["grow_volume demo", "create_template demo", "create_endpoint demo"]
    assert cloud.held_volumes["v1"].size_gb == 25
