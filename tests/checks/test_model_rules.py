"""The rules that know the models' files: second copies, shards, tokens, start-up times; and VRAM, told by `size`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.checks import check, findings_from_fits
from factory.checks.formats import _lines, _redundant
from factory.checks.rules import MODEL_RULES
from factory.recipe import RecipeFile
from factory.records import ModelFile, ModelFiles, PoolFit

MakeRecipe = Callable[[str], RecipeFile]
MakeModel = Callable[..., ModelFiles]
GB = 1_000_000_000

# Sizes as the Hub lists them, read 2026-11-23.
FLUX = {
    "model_index.json": 536,
    "ae.safetensors": 335_304_388,
    "flux1-dev.safetensors": 23_802_932_552,
    "text_encoder/model.safetensors": 246_144_352,
    "text_encoder_2/model-00001-of-00002.safetensors": 4_994_582_224,
    "text_encoder_2/model-00002-of-00002.safetensors": 4_530_066_360,
    "text_encoder_2/model.safetensors.index.json": 19_885,
    "transformer/diffusion_pytorch_model-00001-of-00003.safetensors": 9_983_040_304,
    "transformer/diffusion_pytorch_model-00002-of-00003.safetensors": 9_949_328_904,
    "transformer/diffusion_pytorch_model-00003-of-00003.safetensors": 3_870_584_832,
    "transformer/diffusion_pytorch_model.safetensors.index.json": 121_262,
    "vae/diffusion_pytorch_model.safetensors": 167_666_902,
}
WAN = {
    **{f"diffusion_pytorch_model-0000{i}-of-00006.safetensors": 9_839_059_744 for i in range(1, 7)},
    "diffusion_pytorch_model.safetensors.index.json": 96_805,
    "models_t5_umt5-xxl-enc-bf16.pth": 11_361_920_418,
    "Wan2.1_VAE.pth": 507_609_880,
    "google/umt5-xxl/spiece.model": 4_548_313,
}
WHISPER = {
    "config.json": 1_000,
    "model.safetensors": 3_087_130_976,
    "model.fp32-00001-of-00002.safetensors": 4_993_448_880,
    "model.fp32-00002-of-00002.safetensors": 1_180_663_192,
    "pytorch_model.bin": 3_087_386_991,
    "flax_model.msgpack": 6_173_639_000,
}
LLAMA = {
    **{f"model-0000{i}-of-00004.safetensors": 4 * GB for i in range(1, 5)},
    "original/consolidated.00.pth": 16 * GB,
    "original/params.json": 220,
}


@pytest.mark.parametrize(
    ("files", "dtype", "sentence", "fix"),
    [
        (
            FLUX,
            "bf16",
            "24.1 GB of 57.9 GB are second copies of selected weights (safetensors)",
            "add to exclude: ['ae.safetensors', 'flux1-dev.safetensors']",
        ),
        (
            WHISPER,
            None,
            "15.4 GB of 18.5 GB are second copies of selected weights (flax, fp32 safetensors, torch)",
            "add to exclude: ['*.msgpack', 'model.fp32-*.safetensors', '*.bin']",
        ),
        (
            LLAMA,
            "bf16",
            "16.0 GB of 32.0 GB are second copies of selected weights (original torch)",
            "add to exclude: ['original/*']",
        ),
        (
            {
                "unet/diffusion_pytorch_model.safetensors": 10 * GB,
                "unet/diffusion_pytorch_model.fp16.safetensors": 5 * GB,
            },
            "fp16",
            "10.0 GB of 15.0 GB are second copies of selected weights (safetensors)",
            "add to exclude: ['unet/diffusion_pytorch_model.safetensors']",
        ),
        (
            {
                "unet/diffusion_pytorch_model.safetensors": 10 * GB,
                "unet/diffusion_pytorch_model.fp16.safetensors": 5 * GB,
            },
            None,
            "5.0 GB of 15.0 GB are second copies of selected weights (fp16 safetensors)",
            "add to exclude: ['*.fp16*']",
        ),
        (
            {"model.safetensors": 91_000_000, "onnx/model.onnx": 90_000_000, "onnx/model_O4.onnx": 45_000_000},
            None,
            "135 MB of 226 MB are second copies of selected weights (onnx)",
            "add to exclude: ['onnx/*']",
        ),
        (
            {"m-Q4_K_M.gguf": 4 * GB, "m-Q8_0-00001-of-00002.gguf": 4 * GB, "m-Q8_0-00002-of-00002.gguf": 4 * GB},
            None,
            "8.0 GB of 12.0 GB are second copies of selected weights (q8_0 gguf)",
            "add to exclude: ['m-Q8_0-*.gguf']",
        ),
        (
            {"consolidated.safetensors": 14 * GB, **{f"model-0000{i}-of-00003.safetensors": 5 * GB for i in (1, 2, 3)}},
            None,
            "14.0 GB of 29.0 GB are second copies of selected weights (consolidated safetensors)",
            "add to exclude: ['consolidated.safetensors']",
        ),
    ],
)
def test_second_copies_of_weights_are_named_with_the_lines_that_leave_them_out(
    recipe: MakeRecipe, model: MakeModel, files: Mapping[str, int], dtype: str | None, sentence: str, fix: str
) -> None:
    """Formats, precisions, single files beside folders, and quantisations: how much, which, and what to write."""
    (found,) = check(recipe(""), [model(files, load_dtype=dtype, placement="image")])
    assert (found.rule, found.severity, found.sentence, found.fix) == ("formats", "warning", sentence, fix)
    assert found.where == "r.yaml:2: model.exclude"


@pytest.mark.parametrize(
    "files",
    [
        WAN,
        {path: size for path, size in FLUX.items() if path not in ("ae.safetensors", "flux1-dev.safetensors")},
        {"model.safetensors": GB, "1_Pooling/config.json": 190, "2_Dense/model.safetensors": 3_000_000},
        {"preview/step18500.ckpt": 5 * GB},
        {"model-Q4_K_M.gguf": GB, "mmproj-F16.gguf": GB},
        {"model.safetensors": GB, "pytorch_model.bin.index.json": 20_000},
        {"model.safetensors": GB, "training_args.bin": 5_000_000},
        {
            "model_index.json": 5,
            "flux1-dev.safetensors": 23 * GB,
            "ae.safetensors": GB,
            "text_encoder/model.safetensors": GB,
        },
        {"onnx/model.onnx": GB, "onnx/model_quantized.onnx": GB // 4},
    ],
)
def test_different_weights_are_no_copies(recipe: MakeRecipe, model: MakeModel, files: Mapping[str, int]) -> None:
    """Several components, models of several files and single formats pass without a word."""
    assert check(recipe(""), [model(files, placement="image")]) == ()


PATHS = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", "onnx/", "original/", "unet/", "vae/", "a[b]/"]),
        st.sampled_from(["model", "pytorch_model", "diffusion_pytorch_model", "x", "consolidated", "m-Q4_0", "m*"]),
        st.sampled_from(["", ".fp16", "-00001-of-00002", "-00002-of-00002", ".fp16-00001-of-00002"]),
        st.sampled_from([".safetensors", ".bin", ".onnx", ".gguf", ".msgpack", ".json"]),
    ),
)


@given(st.sets(PATHS | st.just("model_index.json"), max_size=12), st.booleans())
def test_the_lines_exclude_exactly_the_second_copies(paths: set[str], keep_half: bool) -> None:
    """Whatever the files: the lines match the second copies and nothing else."""
    selection = ModelFiles(
        "a/b", "b", "main", "0" * 40, tuple(ModelFile(p, GB, f"sha256:{p}") for p in sorted(paths)), "volume", 0
    )
    redundant = _redundant(selection, keep_half=keep_half)
    lines = _lines(selection, redundant)
    left = [f for f in selection.files if not any(fnmatchcase(f.path, line) for line in lines)]
    assert {f.path for f in selection.files} - {f.path for f in left} == {f.path for f in redundant}
    assert not redundant or any(not f.path.endswith(".json") for f in left)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            {"a-00001-of-00003.safetensors": 1, "a-00003-of-00003.safetensors": 1},
            "of 3 shards a-00002-of-00003.safetensors is not selected",
        ),
        ({"x/a-00002-of-00004.bin": 1}, "of 4 shards x/a-00001-of-00004.bin and 2 more is not selected"),
        (
            {"model.safetensors.index.json": 1, "config.json": 1},
            "model.safetensors.index.json names files of which none is selected",
        ),
    ],
)
def test_shards_that_are_missing(recipe: MakeRecipe, model: MakeModel, files: Mapping[str, int], sentence: str) -> None:
    """An incomplete set, and an index without its files, are errors at the model."""
    (found,) = check(recipe(""), [model(files)])
    assert (found.rule, found.severity, found.where, found.sentence) == (
        "missing-shards",
        "error",
        "r.yaml:2: model",
        sentence,
    )


@pytest.mark.parametrize(
    ("text", "gated", "placement", "is_found"),
    [
        ("", "auto", "volume", True),
        ("", "manual", "disk", True),
        ("", "no", "volume", False),
        ("", "auto", "image", False),
        ("secrets: [HF_TOKEN]", "auto", "volume", False),
        ("env: {HF_TOKEN: '{{ RUNPOD_SECRET_HF_TOKEN }}'}", "auto", "volume", False),
    ],
)
def test_a_gated_model_needs_a_token_where_the_worker_downloads_it(
    recipe: MakeRecipe, model: MakeModel, text: str, gated: str, placement: str, is_found: bool
) -> None:
    """In the image the weights come from the builder; elsewhere the worker needs HF_TOKEN."""
    found = check(recipe(text), [model({"model.safetensors": 1}, gated=gated, placement=placement)])
    assert [finding.rule for finding in found] == (["gated-token"] if is_found else [])


def test_a_first_start_that_outlasts_runpods_patience_is_told_with_the_setting(
    recipe: MakeRecipe, model: MakeModel
) -> None:
    """70.9 GB take 9 minutes at 1 Gbit/s and RunPod waits 7; the setting that helps is named, and silences the rule."""
    (found,) = check(recipe(""), [model(WAN)])
    assert (found.rule, found.where) == ("init-timeout", "r.yaml: env.RUNPOD_INIT_TIMEOUT")
    assert found.sentence.startswith("the first start downloads 70.9 GB, 9 minutes at 1 Gbit/s")
    assert found.fix == "write env: {RUNPOD_INIT_TIMEOUT: '900'}"
    assert check(recipe("env: {RUNPOD_INIT_TIMEOUT: '900'}"), [model(WAN)]) == ()
    assert check(recipe(""), [model(WAN, placement="image")]) == ()


def test_model_rules_need_models(recipe: MakeRecipe) -> None:
    """Without the models' files only the offline rules run."""
    assert check(recipe("")) == ()
    assert {rule.id for rule in MODEL_RULES} == {"formats", "missing-shards", "gated-token", "init-timeout"}


def fit(pool: str, verdict: str) -> PoolFit:
    """Return a fit with the verdict."""
    return PoolFit(pool, 24, 1, 1, 1, verdict, f"{pool} is {verdict}")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("verdicts", "severities"),
    [
        (["fine", "fine"], []),
        (["warning", "fine"], ["warning"]),
        (["error", "fine"], ["warning"]),
        (["error", "warning"], ["warning", "warning"]),
        (["error", "error"], ["error", "error"]),
    ],
)
def test_fits_become_findings(recipe: MakeRecipe, verdicts: list[str], severities: list[str]) -> None:
    """One pool that is too small is a warning, since RunPod may choose it; all of them are errors."""
    file = recipe("gpu: [ADA_24, AMPERE_48]")
    found = findings_from_fits([fit("ADA_24", verdicts[0]), fit("AMPERE_48", verdicts[1])], file)
    assert [finding.severity for finding in found] == severities
    assert all(finding.rule == "vram" and finding.where.startswith("r.yaml:1: gpu.") for finding in found)
