"""size: the arithmetic of disks and GPU memory, by example and by property."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.catalogue import POOLS
from factory.errors import ContainerDiskTooSmall, SizeError, VolumeTooLarge, VolumeTooSmall, VramTooSmall
from factory.recipe.model import Recipe
from factory.records import GB, DiskPlan, ImageSize, ModelFile, ModelFiles
from factory.stages.size import gpu_pools, size

MakeRecipe = Callable[..., Recipe]
MakeModel = Callable[..., ModelFiles]


def plain(**blocks: Any) -> Recipe:
    """Return a recipe with these blocks."""
    base = {"name": "demo", "image": {"repository": "factory/demo"}, "handler": {"name": "echo"}}
    return Recipe.model_validate(base | blocks)


def exact(compressed_gb: float, unpacked_gb: float) -> ImageSize:
    """Return a pushed image's size."""
    return ImageSize(round(compressed_gb * GB), round(unpacked_gb * GB), is_exact=True)


def model(size_bytes: int, placement: Any, repo: str = "org/m", digest: str = "sha256:a") -> ModelFiles:
    """Return a model of one file."""
    file = ModelFile("model.safetensors", size_bytes, digest)
    return ModelFiles(repo, "m", "main", "0" * 40, (file,), placement, size_bytes)


# --- container disk ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("compressed", "unpacked", "models", "scratch", "expected_gb"),
    [
        # rule 2.5 x 0.1 + 20
        (0.1, 0.3, [], 5, 21),
        # 2.5 x 4 + 20
        (4, 6.5, [], 5, 30),
        # 2.5 x 4 + 20 + 30 on the container's disk
        (4, 6.5, [(30, "disk")], 5, 60),
        # a pushed image holds its weights already: 2.5 x 34 + 20
        (34, 37, [(30, "image")], 5, 105),
        # on the volume or cached by RunPod they weigh nothing here
        (4, 6.5, [(30, "volume"), (30, "cached")], 5, 30),
        # floor: (36 + 0 + 5) / 0.9 = 45.6 beats 2.5 x 10 + 20 = 45
        (10, 36, [], 5, 46),
        # floor while running with much scratch: (6.5 + 60) / 0.9 = 73.9
        (4, 6.5, [], 60, 74),
    ],
)
def test_container_disk_by_example(
    compressed: float, unpacked: float, models: list[tuple[float, str]], scratch: float, expected_gb: int
) -> None:
    """The larger of rule and floor, rounded up to whole GB."""
    files = [model(round(gb * GB), placement, digest=f"sha256:{n}") for n, (gb, placement) in enumerate(models)]
    plan = size(plain(disk={"scratch_gb": scratch}), files, image=exact(compressed, unpacked))
    assert plan.container.size_gb == expected_gb
    assert plan.container.is_exact


def test_an_image_that_does_not_exist_is_an_estimate_and_says_so() -> None:
    """Before the push the figure rests on a table; its note says how good it is and how much is guessed."""
    recipe = plain(image={"repository": "a/b", "pip": ["torch==2.13.0", "some-rare-thing==1.0"], "apt": ["ffmpeg"]})
    disk = size(recipe, []).container
    assert not disk.is_exact
    assert "±35 %" in disk.rule[0].note
    assert "1 of them guessed" in disk.rule[0].note
    assert disk.rule_bytes > 2.5 * 2.7 * GB + 20 * GB


def test_weights_that_go_into_the_image_count_before_it_exists() -> None:
    """An estimated image holds no weights yet, so they are added to rule and floor."""
    without, with_weights = (size(plain(), [model(30 * GB, placement)]).container for placement in ("volume", "image"))
    assert with_weights.size_gb >= without.size_gb + 30
    assert with_weights.floor_bytes >= without.floor_bytes + 30 * GB


def test_the_floor_is_what_a_pull_holds_when_that_is_more() -> None:
    """Compressed and unpacked layers lie on the disk together while an image is pulled."""
    floor = size(plain(disk={"scratch_gb": 0}), [], image=exact(60, 70)).container.floor
    assert sum(term.size_bytes for term in floor) == 130 * GB
    assert any("pulled" in term.note for term in floor)


def test_a_container_disk_below_the_floor_is_refused_with_the_number() -> None:
    """The sentence says what was given, what it needs, and what to write."""
    with pytest.raises(ContainerDiskTooSmall) as caught:
        size(plain(disk={"container": 10}), [], image=exact(4, 6.5))
    assert str(caught.value) == (
        "disk.container: the container disk of 10 GB is below the 13 GB that unpacked layers (6.5 GB), "
        "scratch (5.0 GB) and kept free (1.3 GB) take; set it to 30, or to auto"
    )


def test_a_container_disk_between_floor_and_rule_is_taken_with_a_warning() -> None:
    """What can work is the user's choice."""
    plan = size(plain(disk={"container": 13}), [], image=exact(4, 6.5))
    assert plan.container.is_explicit
    assert plan.container.size_gb == 13
    assert "below the rule of thumb (30 GB)" in plan.warnings[0]


gigabytes = st.integers(0, 200 * GB)


@given(compressed=gigabytes, extra=gigabytes, weights=gigabytes, scratch=st.integers(0, 1000))
def test_the_container_disk_never_lies_below_its_floor(compressed: int, extra: int, weights: int, scratch: int) -> None:
    """The size covers rule and floor, and a tenth of it is free once layers, models and scratch are on it."""
    image = ImageSize(compressed, compressed + extra, is_exact=True)
    plan = size(plain(disk={"scratch_gb": scratch}), [model(weights, "disk")], image=image)
    disk = plan.container
    used = compressed + extra + weights + scratch * GB
    assert disk.size_gb * GB >= max(disk.floor_bytes, disk.rule_bytes)
    assert disk.size_gb * GB - used >= disk.size_gb * GB / 10
    assert disk.size_gb * GB >= 2 * compressed + extra
    assert disk.size_gb * GB - max(disk.floor_bytes, disk.rule_bytes) < GB


@given(compressed=gigabytes, unpacked=gigabytes, weights=gigabytes, more=gigabytes, which=st.integers(0, 2))
def test_more_bytes_never_give_a_smaller_disk(
    compressed: int, unpacked: int, weights: int, more: int, which: int
) -> None:
    """Each of compressed, unpacked and model bytes only ever pushes up."""

    def disk_gb(compressed: int, unpacked: int, weights: int) -> int:
        image = ImageSize(compressed, unpacked, is_exact=True)
        return size(plain(), [model(weights, "disk")], image=image).container.size_gb

    grown = [compressed, unpacked, weights]
    grown[which] += more
    assert disk_gb(*grown) >= disk_gb(compressed, unpacked, weights)


@given(given_gb=st.integers(1, 400), compressed=gigabytes, extra=gigabytes)
def test_an_explicit_container_disk_is_taken_exactly_from_the_floor_on(
    given_gb: int, compressed: int, extra: int
) -> None:
    """Accepted if and only if it is at least the floor."""
    image = ImageSize(compressed, compressed + extra, is_exact=True)
    floor = size(plain(), [], image=image).container.floor_bytes
    recipe = plain(disk={"container": given_gb})
    if given_gb * GB >= floor:
        assert size(recipe, [], image=image).container.size_gb == given_gb
    else:
        with pytest.raises(ContainerDiskTooSmall):
            size(recipe, [], image=image)


# --- volume ------------------------------------------------------------------------------------------------------
def test_wan_needs_69_gb_whatever_its_page_says(make_recipe: MakeRecipe, wan: ModelFiles) -> None:
    """The true bytes are 69.0 GB, and the volume has a tenth more."""
    assert wan.size_bytes == 69_045_158_826
    plan = size(make_recipe(name="wan"), [wan])
    assert plan.volume is not None
    assert plan.volume.size_gb == 76
    assert plan.volume.floor_bytes == 69_045_158_826
    assert plan.volume.is_exact


def test_a_volume_of_50_gb_for_wan_is_refused_with_the_number(make_recipe: MakeRecipe, wan: ModelFiles) -> None:
    """The need is rounded up, so that it never reads smaller than it is."""
    with pytest.raises(VolumeTooSmall) as caught:
        size(make_recipe(name="wan", disk={"volume": 50}), [wan])
    assert str(caught.value) == (
        "disk.volume: volume wan needs 69.1 GB for Wan-AI/Wan2.1-T2V-14B (69.0 GB), and the recipe gives it 50 GB; "
        "grow disk.volume to 76, or set it to auto"
    )
    assert caught.value.details["needed_bytes"] == 69_045_158_826


def test_a_volume_without_headroom_is_taken_with_a_warning(make_recipe: MakeRecipe, wan: ModelFiles) -> None:
    """70 GB hold Wan, with 1 GB to spare."""
    plan = size(make_recipe(disk={"volume": 70}), [wan])
    assert plan.warnings == ("the volume of 70 GB has only 954.8 MB left beside the models",)


def test_recipes_on_one_volume_add_up_and_share_what_is_equal(make_recipe: MakeRecipe, wan: ModelFiles) -> None:
    """MoCha brings its checkpoint; the Wan beside it is there already."""
    mocha = model(28 * GB, "volume", "Orange-3DV-Team/MoCha")
    plan = size(make_recipe(name="wan", volume="video"), [wan], neighbours=[("mocha", [mocha, wan])])
    assert plan.volume is not None
    assert plan.volume.floor_bytes == wan.unique_bytes + 28 * GB
    assert plan.volume.floor[2].note == "of recipe mocha, 69.0 GB more is there already"


def test_equal_content_in_two_repositories_lies_on_the_volume_twice(make_recipe: MakeRecipe) -> None:
    """The cache stores each repository apart, so only equal files of one repository are counted once."""
    twins = [model(7 * GB, "volume", repo, "sha256:same") for repo in ("a/x", "b/x", "a/x")]
    plan = size(make_recipe(), twins)
    assert plan.volume is not None
    assert plan.volume.floor_bytes == 14 * GB


@pytest.mark.parametrize(
    ("blocks", "placement", "expected_gb"),
    [
        ({}, "disk", None),
        ({}, "cached", None),
        ({"volume": "shared"}, "disk", 10),
        ({"disk": {"volume": 20}}, "disk", 20),
        ({}, "volume", 10),
    ],
)
def test_a_volume_exists_when_the_recipe_needs_one(
    blocks: dict[str, Any], placement: str, expected_gb: int | None
) -> None:
    """Models on it, a name, or a size ask for one; RunPod's smallest has 10 GB."""
    plan = size(plain(**blocks), [model(GB, placement)])
    assert (plan.volume.size_gb if plan.volume else None) == expected_gb


def test_more_than_4096_gb_is_refused(make_recipe: MakeRecipe) -> None:
    """RunPod has no larger volume, and the sentence says so."""
    with pytest.raises(VolumeTooLarge, match=r"volume demo would hold 4096\.1 GB"):
        size(make_recipe(), [model(4096 * GB + 1, "volume")])


def test_headroom_never_makes_a_volume_too_large(make_recipe: MakeRecipe) -> None:
    """What fits 4096 GB is allowed, with a warning that little is left."""
    plan = size(make_recipe(), [model(4000 * GB, "volume")])
    assert plan.volume is not None
    assert plan.volume.size_gb == 4096
    assert "96.0 GB left" in plan.warnings[0]


@given(first=st.integers(1, 1000 * GB), second=st.integers(1, 1000 * GB))
def test_a_neighbour_never_shrinks_the_volume(first: int, second: int) -> None:
    """Another recipe on the volume only adds, and the order of two recipes changes nothing."""
    one, two = model(first, "volume", "a/a", "sha256:1"), model(second, "volume", "b/b", "sha256:2")
    alone = size(plain(), [one]).volume
    both = size(plain(), [one], neighbours=[("other", [two])]).volume
    turned = size(plain(), [two], neighbours=[("other", [one])]).volume
    assert alone and both and turned
    assert both.size_gb >= alone.size_gb
    assert both.size_gb == turned.size_gb


# --- GPU memory --------------------------------------------------------------------------------------------------
def fits(plan: DiskPlan) -> dict[str, str]:
    """Return verdict by pool."""
    return {fit.pool: fit.verdict for fit in plan.fits}


def test_wan_in_bf16_is_an_error_a_warning_and_fine(make_recipe: MakeRecipe, wan: ModelFiles) -> None:
    """40.2 GB are resident: too much for 24 GB, tight in 48, at ease in 80."""
    gpu = {"pools": ["AMPERE_24", "AMPERE_48", "AMPERE_80"], "workspace_gb": 10}
    plan = size(make_recipe(gpu=gpu), [wan])
    assert fits(plan) == {"AMPERE_24": "error", "AMPERE_48": "warning", "AMPERE_80": "fine"}
    assert round(plan.fits[0].weights_bytes / GB, 1) == 40.2
    assert plan.fits[0].sentence == (
        "40.2 GB resident (69.0 GB on disk, F32 loaded as BF16) does not fit AMPERE_24 (23.7 GB usable = 22.1 GiB)"
    )
    assert plan.fits[2].sentence == (
        "40.2 GB resident (69.0 GB on disk, F32 loaded as BF16), 53.3 GB with workspace, "
        "fits AMPERE_80 (79.0 GB usable = 73.6 GiB)"
    )


LLAMA = {"F16": 8_030_000_000}


@pytest.mark.parametrize(
    ("files", "parameters", "load_dtype", "gpu", "expected"),
    [
        # 16.06 GB of bf16: 16.9 + 0.5 + 2 (cache) + 1 fits 24 GB, not 16
        ({"model.safetensors": 16_060_000_000}, LLAMA, None, {"pools": ["AMPERE_16", "AMPERE_24"]}, "error fine"),
        # loaded in 4 bits: 4.0 GB
        ({"model.safetensors": 16_060_000_000}, LLAMA, "int4", {"pools": ["AMPERE_16"]}, "fine"),
        # a pickle without a header counts as it lies there
        ({"pytorch_model.bin": 16_060_000_000}, {}, "int4", {"pools": ["AMPERE_24"]}, "fine"),
        ({"pytorch_model.bin": 25_000_000_000}, {}, "fp16", {"pools": ["AMPERE_24", "AMPERE_48"]}, "error fine"),
        # ... unless its name says the stored type
        ({"model.fp32.bin": 25_000_000_000}, {}, "fp16", {"pools": ["AMPERE_24"]}, "fine"),
        # GGUF stays what it is, whatever the recipe says
        ({"q4-f32.gguf": 25_000_000_000}, {}, "fp16", {"pools": ["AMPERE_24", "AMPERE_48"]}, "error fine"),
        # bf16 loaded as fp32 doubles
        ({"m.safetensors": 16_060_000_000}, LLAMA, "fp32", {"pools": ["AMPERE_24", "AMPERE_48"]}, "error fine"),
        # two cards hold what one can't
        ({"m.safetensors": 45_000_000_000}, {}, None, {"pools": ["AMPERE_24"], "count": 2}, "warning"),
        # tokenizers and configs are no weights
        (
            {"tokenizer.json": 90_000_000_000, "m.safetensors": 1_000_000_000},
            {},
            None,
            {"pools": ["AMPERE_16"]},
            "fine",
        ),
    ],
)
def test_memory_by_example(
    make_recipe: MakeRecipe,
    make_model: MakeModel,
    files: dict[str, int],
    parameters: dict[str, int],
    load_dtype: str | None,
    gpu: dict[str, Any],
    expected: str,
) -> None:
    """Stored bytes become loaded bytes where the stored type is known."""
    recipe = make_recipe(gpu=gpu, handler={"name": "text_generation"})
    plan = size(recipe, [make_model(files, parameters=parameters, load_dtype=load_dtype)])
    assert " ".join(fits(plan).values()) == expected


def test_with_offload_the_largest_component_must_fit(make_recipe: MakeRecipe, make_model: MakeModel) -> None:
    """Shards of a set are one component, folders of a pipeline are several."""
    pipeline = make_model(
        {
            "transformer/model-00001-of-00002.safetensors": 12 * GB,
            "transformer/model-00002-of-00002.safetensors": 10 * GB,
            "text_encoder/model.safetensors": 9 * GB,
        }
    )
    gpu = {"pools": ["AMPERE_16", "AMPERE_24", "AMPERE_48"], "offload": True}
    plan = size(make_recipe(gpu=gpu, handler={"name": "image_generation"}), [pipeline])
    assert fits(plan) == {"AMPERE_16": "error", "AMPERE_24": "warning", "AMPERE_48": "fine"}
    assert "the largest component, 22.0 GB, does not fit AMPERE_16" in plan.fits[0].sentence
    assert "moves between RAM and VRAM: 22.0 GB at most fits AMPERE_24" in plan.fits[1].sentence


def test_no_pool_that_fits_is_an_error_with_one_that_does(make_recipe: MakeRecipe, wan: ModelFiles) -> None:
    """The error names each pool's reason and the cheapest pool that would do."""
    with pytest.raises(VramTooSmall) as caught:
        size(make_recipe(gpu={"pools": ["AMPERE_16", "AMPERE_24"], "workspace_gb": 10}), [wan])
    assert "does not fit AMPERE_16" in caught.value.what
    assert caught.value.fix == "use AMPERE_80, load a smaller dtype, or set gpu.offload"


def test_pools_are_the_recipes_own_in_its_order(make_recipe: MakeRecipe) -> None:
    """Named pools keep their order."""
    assert gpu_pools(make_recipe(gpu={"pools": ["ADA_80_PRO", "AMPERE_80"]})) == ("ADA_80_PRO", "AMPERE_80")


def test_pools_by_memory_come_cheapest_first(make_recipe: MakeRecipe) -> None:
    """Where only `min_vram_gb` is given, price decides, and a pool without a price comes last."""
    pools = gpu_pools(make_recipe(gpu={"min_vram_gb": 48}))
    assert pools[:2] == ("AMPERE_48", "ADA_48_PRO")
    prices = [POOLS[name].flex_usd_per_s for name in pools]
    assert [p for p in prices if p is not None] == sorted(p for p in prices if p is not None)
    assert gpu_pools(make_recipe(gpu={"min_vram_gb": 24}))[-1] == "ADA_32_PRO"


def test_a_cpu_worker_has_no_pools(make_recipe: MakeRecipe, wan: ModelFiles) -> None:
    """Without `gpu` nothing is judged."""
    assert gpu_pools(make_recipe()) == ()
    assert size(make_recipe(), [wan]).fits == ()


def test_a_gpu_that_nobody_has_and_a_pool_that_is_not_there(make_recipe: MakeRecipe) -> None:
    """Both say what there is."""
    with pytest.raises(VramTooSmall, match="the largest is BLACKWELL_180 with 180 GB"):
        gpu_pools(make_recipe(gpu={"min_vram_gb": 500}))
    with pytest.raises(SizeError) as caught:
        gpu_pools(make_recipe(gpu={"pools": ["AMPER_80"]}))
    assert caught.value.fix == "did you mean AMPERE_80?"


@given(weights=st.integers(1, 300 * GB), more=st.integers(0, 300 * GB), pool=st.sampled_from(sorted(POOLS)))
def test_more_weights_never_fit_better(weights: int, more: int, pool: str) -> None:
    """A verdict only gets worse as the weights grow."""

    def verdict(size_bytes: int) -> int:
        try:
            plan = size(plain(gpu={"pools": [pool, "BLACKWELL_180"]}), [model(size_bytes, "volume")])
        except VramTooSmall:
            return 2
        return ("fine", "warning", "error").index(plan.fits[0].verdict)

    assert verdict(weights + more) >= verdict(weights)
