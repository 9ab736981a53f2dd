"""What a recipe needs, by example: names, places, environment, choices, and the arithmetic of its costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from accounts import recipe_of, sized
from fake_cloud import FakeCloud
from plan_case import IMAGE, endpoint, template, volume

from factory.account import EndpointSpec, Volume
from factory.provisioning import choices
from factory.provisioning.costs import volume_usd_per_month
from factory.provisioning.observed import ImageState, Observed, PoolOffer
from factory.provisioning.plan import Plan
from factory.records import GB
from factory.stages.plan import after, plan
from factory.stages.provision import observe

PUBLIC = ImageState(IMAGE, is_public=True)


def planned(
    blocks: Any = (), observed: Observed | None = None, *, weights_gb: float = 20, image: ImageState = PUBLIC
) -> Plan:
    """Plan the plain recipe with these blocks on an account."""
    account = observed or observe(FakeCloud())
    recipe = recipe_of(dict(blocks))
    disks, models = sized(recipe, weights_gb, account)
    return plan(recipe, disks, image, account, models=models)


def wanted(blocks: Any = (), **more: Any) -> EndpointSpec:
    """Return the endpoint that is wanted."""
    return planned(blocks, **more).desired.endpoint


# --- environment -----------------------------------------------------------------------------------------------------
def test_secrets_are_references_and_never_values() -> None:
    """A secret's variable holds RunPod's placeholder beside the recipe's own environment."""
    env = wanted({"env": {"A": "1"}, "secrets": ["HF_TOKEN"]}).env
    assert env == {"A": "1", "HF_TOKEN": "{{ RUNPOD_SECRET_HF_TOKEN }}"}


@pytest.mark.parametrize(
    ("weights_gb", "own", "expected"),
    [
        (84, {}, None),  # 84 GB ÷ 200 MB/s = 420 s, what RunPod gives anyway
        (85, {}, "660"),  # 425 s x 1.5 = 637 s, in whole minutes
        (200, {}, "1500"),
        (200, {"RUNPOD_INIT_TIMEOUT": "3000"}, "3000"),
    ],
)
def test_a_long_download_gets_time_to_start(weights_gb: float, own: dict[str, str], expected: str | None) -> None:
    """RUNPOD_INIT_TIMEOUT follows from the bytes, with its arithmetic, unless the recipe says it."""
    found = planned({"env": own}, weights_gb=weights_gb)
    assert found.desired.template.env.get("RUNPOD_INIT_TIMEOUT") == expected
    is_added = expected is not None and not own
    assert any("÷ 200 MB/s" in note for note in found.notes) == is_added


# --- GPUs and places -------------------------------------------------------------------------------------------------
def offer(pool: str, vram_gb: int, price: float, **stock: Any) -> PoolOffer:
    """Return a pool whose stock is by data centre (`EU_RO_1`)."""
    return PoolOffer(pool, vram_gb, price, "live", {place.replace("_", "-"): level for place, level in stock.items()})


OFFERS = {
    o.id: o
    for o in (
        offer("BIG", 80, 0.0008, A="high", B="low"),
        offer("DEAR", 48, 0.0005, A="high"),
        offer("CHEAP", 48, 0.0003, B="high"),
        offer("GONE", 48, 0.0001),
        offer("HUGE", 180, 0.002, A="high"),
    )
}


@pytest.mark.parametrize(
    ("places", "kept", "expected"),
    [
        ((), (), ("CHEAP", "DEAR", "BIG")),
        (("A",), (), ("DEAR", "BIG", "HUGE")),
        (("B",), (), ("CHEAP", "BIG", "GONE")),
        (("A",), ("CHEAP", "GONE"), ("CHEAP", "GONE")),
        (("A",), ("SMALL",), ("DEAR", "BIG", "HUGE")),
    ],
)
def test_min_vram_gb_chooses_the_smallest_cheapest_with_stock(
    places: tuple[str, ...], kept: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    """Three at most, those with stock first; what an endpoint has already stays while it is large enough."""
    gpu = recipe_of({"gpu": {"min_vram_gb": 40}}).gpu
    assert gpu is not None
    assert choices.pools(gpu, OFFERS, (), places, kept) == expected


def test_the_recipes_own_pools_stay_in_order_whatever_the_stock() -> None:
    """Preference is the author's."""
    gpu = recipe_of({"gpu": {"pools": ["HUGE", "GONE"]}}).gpu
    assert gpu is not None
    assert choices.pools(gpu, OFFERS, (), ("B",), ("BIG",)) == ("HUGE", "GONE")


def test_a_volume_is_made_where_the_first_pool_has_most_stock() -> None:
    """Then the second pool decides, then the name; data centres without storage don't count."""
    observed = observe(FakeCloud())
    pools = {"P": offer("P", 24, 1, EU_RO_1="low", US_IL_1="high", US_TX_3="high", US_KS_2="high")}
    assert choices.volume_data_center((), ("P",), pools, observed) == "US-IL-1"
    assert choices.volume_data_center(("EU-RO-1", "EU-CZ-1"), ("P",), pools, observed) == "EU-RO-1"
    assert choices.volume_data_center(("US-TX-3",), ("P",), pools, observed) is None
    both = pools | {"Q": offer("Q", 24, 1, US_KS_2="low")}
    assert choices.volume_data_center((), ("P", "Q"), both, observed) == "US-KS-2"


def test_a_pool_without_the_cuda_does_not_choose_the_place() -> None:
    """Stock of hosts that the image can't run on is no stock."""
    spec = wanted({"gpu": {"pools": ["AMPERE_80", "ADA_80_PRO"], "min_cuda": "13.0"}})
    pools = observe(FakeCloud()).pools
    assert not choices.has_cuda(pools["AMPERE_80"], "13.0")
    assert pools["ADA_80_PRO"].stock_in(spec.data_centers) != "none"


@pytest.mark.parametrize(
    ("disk_gb", "weights_gb", "expected"),
    [
        (20, 0.1, ("cpu3g-2-8",)),  # 4 GB instances are below the worker's own 4 GiB check
        (21, 0.1, ("cpu3c-4-8", "cpu5c-4-8")),
        (50, 0.1, ("cpu5c-4-8",)),
        (70, 0.1, ("cpu3c-8-16", "cpu5c-8-16")),
        (20, 6, ("cpu3g-4-16",)),
        (500, 0.1, ()),
    ],
)
def test_a_cpu_instance_holds_disk_and_weights(disk_gb: int, weights_gb: float, expected: tuple[str, ...]) -> None:
    """The smallest that has both, and another of its size to fall back on."""
    _, models = sized(recipe_of({"gpu": None}), weights_gb, observe(FakeCloud()))
    assert choices.cpus(disk_gb, models) == expected


def test_without_a_live_catalogue_the_snapshot_serves_and_says_so() -> None:
    """Pools and stock are unchecked then; prices carry the snapshot's date."""
    found = planned({"models": []}, replace(observe(FakeCloud()), gpus=()))
    assert [line.source for line in found.pools] == ["2026-11-23"]
    assert [line.stock for line in found.pools] == [None]
    assert [finding.code for finding in found.findings] == ["catalogue"]


def test_a_pool_that_the_snapshot_does_not_know_is_taken_from_the_live_catalogue() -> None:
    """RunPod's new pools need no new factory."""
    observed = observe(FakeCloud())
    new = replace(observed.gpus[0], id="NVIDIA X", name="X", pool="NEXT_288", vram_gb=288, usd_per_h=14.4)
    found = planned({"gpu": {"pools": ["NEXT_288"]}}, replace(observed, gpus=(*observed.gpus, new)))
    assert found.errors == ()
    assert found.pools[0].usd_per_s == 0.004
    assert found.disks.fits[0].vram_gb == 288


# --- CUDA ------------------------------------------------------------------------------------------------------------
def test_the_cuda_floor_is_the_recipes_else_the_images() -> None:
    """An image that isn't pushed yet says nothing, so that its predecessor's floor stays."""
    image = replace(PUBLIC, cuda="12.4")
    assert wanted(image=image).min_cuda == "12.4"
    assert wanted({"gpu": {"pools": ["AMPERE_24"], "min_cuda": "12.6"}}, image=image).min_cuda == "12.6"
    held = replace(observe(FakeCloud()), endpoints=(endpoint(min_cuda="12.4"),))
    assert wanted(observed=held, image=ImageState("acme/demo:1", is_pushed=False)).min_cuda == "12.4"
    assert wanted(observed=held).min_cuda is None


# --- costs -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("size_gb", "expected"), [(10, 0.7), (1000, 70), (1001, 70.05), (4096, 224.8)])
def test_a_volume_costs_less_beyond_a_terabyte(size_gb: int, expected: float) -> None:
    """$0.07 a GB and month for the first 1,000 GB, $0.05 beyond."""
    assert volume_usd_per_month(size_gb) == expected


def test_costs_count_every_gpu_and_every_worker() -> None:
    """Per second: price x GPUs. Per hour at most: x workers. Always on: the first pool's price and the disk."""
    blocks = {"gpu": {"pools": ["AMPERE_24"], "count": 2}, "endpoint": {"workers": {"min": 1, "max": 4}}}
    money = planned(blocks).costs
    assert money.pools[0].usd_per_s == pytest.approx(0.00038)
    assert money.pools[0].usd_per_h_at_max == pytest.approx(0.00038 * 3600 * 4, abs=0.01)
    assert money.always_on_usd_per_month == pytest.approx(0.00038 * 3600 * 730 + 2.5, abs=0.01)
    assert money.idle_usd_per_month == money.volume_usd_per_month + (money.always_on_usd_per_month or 0)


def test_a_volume_that_is_larger_is_what_costs() -> None:
    """The bill is for what is there, not for what is needed."""
    held = replace(observe(FakeCloud()), volumes=(volume(size_gb=200),))
    assert planned(observed=held).costs.volume_usd_per_month == 14


# --- secrets in what is shown ----------------------------------------------------------------------------------------
def test_nothing_secret_is_shown() -> None:
    """What only RunPod holds is hidden, and what looks like a token or is named like one, in text and JSON alike."""
    secret, random = "hf_" + "aB3" * 8, "q7" + "Zk4Rt9Wm2Xc6Vb1Nj5Hg8Lp3"
    old = template(env={"OLD": "plain-but-theirs", "MY_PASSWORD": "hunter2", "A": "1"}, args=f"--key {secret}")
    held = replace(observe(FakeCloud()), templates=(old,), endpoints=(endpoint(env={"OLD": random}),))
    found = planned({"env": {"A": "2", "MY_PASSWORD": "hunter3", "B": random}}, held)
    shown = str(found.as_record()) + "".join(str(action) for action in found.actions) + str(found.findings)
    for text in ("plain-but-theirs", "hunter2", "hunter3", secret, random):
        assert text not in shown
    assert "'A': '2'" in shown and "OLD will be gone" in shown
    assert "token_in_args" in [finding.code for finding in found.findings]


# --- several recipes -------------------------------------------------------------------------------------------------
def test_plans_stand_on_one_another() -> None:
    """What the first recipe makes the second finds: the volume once, the quota for both."""
    observed = observe(FakeCloud())
    first = planned({"volume": "models", "endpoint": {"workers": {"max": 6}}}, observed)
    second = planned(
        {"name": "second", "volume": "models", "endpoint": {"workers": {"max": 5}}}, after(first, observed)
    )
    action = second.action("volume")
    assert action is not None and (action.kind, action.reason) == ("unchanged", "made by another recipe of this run")
    assert [finding.code for finding in second.errors] == ["worker_quota"]
    assert "demo 6" in second.errors[0].sentence


def test_two_new_volumes_are_two() -> None:
    """Volumes that don't exist yet have no id of their own, and are still told apart."""
    observed = observe(FakeCloud())
    once = after(planned({}, observed), observed)
    twice = after(planned({"name": "second"}, once), once)
    assert [held.name for held in twice.volumes] == ["demo", "second"]
    assert {held.spec.name for held in twice.endpoints} == {"demo", "second"}


def test_a_plan_that_is_blocked_makes_nothing_for_the_next() -> None:
    """Its volume will not be there."""
    observed = observe(FakeCloud())
    blocked = planned({"gpu": {"pools": ["NOPE_1"]}}, observed)
    assert after(blocked, observed) == observed


def test_a_gpus_name_is_answered_with_its_pool() -> None:
    """The error names what to write."""
    found = planned({"gpu": {"pools": ["NVIDIA GeForce RTX 4090"]}})
    assert "write ADA_24" in str(found.errors[0])


def test_no_stock_names_better_data_centres() -> None:
    """They have both storage and stock."""
    found = planned({"endpoint": {"data_centers": ["US-WA-1"]}})
    assert found.errors[0].code == "no_stock"
    places = found.errors[0].fix.partition(": ")[2].split(", ")
    observed = observe(FakeCloud())
    assert places and all(place in observed.storage_data_centers for place in places)
    assert all(observed.pools["AMPERE_24"].stock_in((place,)) != "none" for place in places)


def test_a_local_registry_is_out_of_runpods_reach() -> None:
    """What RunPod can't pull is said before an endpoint waits for it."""
    found = planned(image=replace(PUBLIC, is_out_of_reach=True))
    assert [finding.code for finding in found.errors] == ["out_of_reach"]


def test_an_image_for_another_platform_is_an_error() -> None:
    """RunPod runs linux/amd64 only."""
    assert planned(image=replace(PUBLIC, platform="linux/arm64")).errors[0].code == "platform"


def test_a_private_image_without_a_login_is_an_error() -> None:
    """Nobody could pull it."""
    found = planned(image=replace(PUBLIC, is_public=False, has_login=False))
    assert [finding.code for finding in found.errors] == ["no_login"]


def test_what_is_larger_is_never_shrunk() -> None:
    """The reason says so, and the size stays out of the changes."""
    held = replace(observe(FakeCloud()), volumes=(Volume("v", "demo", "EU-RO-1", 25 + 75),))
    action = planned(observed=held).action("volume")
    assert action is not None and action.kind == "unchanged" and "never shrink" in action.reason
    assert sized(recipe_of({}), 20, held)[0].volume is not None
    assert 20 * GB
