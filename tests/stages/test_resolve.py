"""resolve: exact files at one commit, for as few calls as the Hub allows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.utils import filter_repo_objects
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from factory.clients.huggingface import HuggingFaceHub
from factory.emulator.faults import FOREVER, Call, Fault
from factory.emulator.hub import create_hub
from factory.emulator.serve import running
from factory.errors import AccessDenied, HubFailed, HubUnreachable, NothingSelected, RepoNotFound, UnexpectedSize
from factory.ports import ModelHub
from factory.recipe.model import Recipe
from factory.records import GB, ModelFile, ModelFiles, Progress, RepoInfo, Tell
from factory.stages.resolve import resolve, select

FIXTURES = Path(__file__).parents[1] / "fixtures/hub"
TOKEN = "hf_let_in"


def recipe(*models: Mapping[str, Any]) -> Recipe:
    """Return a recipe with these models."""
    return Recipe.model_validate(
        {"name": "some-model", "models": models, "image": {"repository": "me/it"}, "handler": {"name": "echo"}}
    )


@contextmanager
def hub_over(app: Starlette, token: str | None = None) -> Iterator[ModelHub]:
    """Serve the hub and connect to it."""
    with running(app) as url:
        yield HuggingFaceHub(url, token, patience_s=10, first_wait_s=0.01)


def api_calls(app: Starlette) -> int:
    """Count the calls to the Hub itself (a redirect to the CDN is no call of its API)."""
    calls: list[Call] = app.state.calls
    return sum(not call.path.startswith("/_cdn") for call in calls)


def write(folder: Path, repo: str, **says: Any) -> None:
    """Describe a repository by its .hub.json."""
    (folder / repo).mkdir(parents=True, exist_ok=True)
    (folder / repo / ".hub.json").write_text(json.dumps(says))


class ListedHub:
    """A hub in memory: one repository, its files, what its heads hold."""

    def __init__(
        self,
        files: Mapping[str, int],
        *,
        info: RepoInfo | None = None,
        heads: Mapping[str, Mapping[str, int]] | None = None,
        is_closed: bool = False,
    ) -> None:
        self._info = info or RepoInfo("org/name", "c" * 40)
        self._files = files
        self._heads = heads or {}
        self._is_closed = is_closed
        self.probed: list[str] = []

    def info(self, repo: str, revision: str) -> RepoInfo:
        """Return the one repository."""
        return self._info

    def files(self, repo: str, commit: str) -> Iterator[ModelFile]:
        """Yield its files, each with its own content."""
        for path, size in self._files.items():
            yield ModelFile(path, size, f"sha256:{hashlib.sha256(path.encode()).hexdigest()}")

    def probe(self, repo: str, commit: str, path: str) -> Mapping[str, int]:
        """Return a head."""
        self.probed.append(path)
        if self._is_closed:
            raise AccessDenied("the repository is gated", where=repo)
        if path.endswith(".safetensors") and path not in self._heads:
            raise HubFailed("no header", where=repo)
        return self._heads.get(path, {})

    def suggest(self, repo: str) -> tuple[str, ...]:
        """Return nothing."""
        return ()

    def download(self, repo: str, commit: str, files: Iterable[ModelFile], folder: Path, tell: Tell) -> None:
        """Refuse: resolve reads, it does not download."""
        raise AssertionError("resolve must not download")


def resolve_one(hub: ModelHub, **model: Any) -> ModelFiles:
    """Resolve a recipe of one model."""
    (files,) = resolve(recipe({"repo": "org/name", **model}), hub)
    return files


# --- true repositories -----------------------------------------------------------------------------------------------
def test_wan_is_69_gb() -> None:
    """Wan2.1-T2V-14B is 69.0 GB, whatever its page says: F32 safetensors, with the parameters from a header."""
    app = create_hub(FIXTURES)
    with hub_over(app) as hub:
        (wan,) = resolve(recipe({"repo": "Wan-AI/Wan2.1-T2V-14B", "dtype": "bf16", "expect_gb": 69}), hub)
    assert (wan.size_bytes, wan.unique_bytes, wan.repo_bytes) == (69_045_158_826,) * 3
    assert (wan.placement, wan.load_dtype, wan.licence) == ("volume", "bf16", "apache-2.0")
    assert wan.parameters.keys() == {"F32"}
    assert wan.parameters["F32"] == pytest.approx(14_288_491_584, rel=1e-6)
    assert (wan.parameters_source, wan.is_readable) == ("header", True)
    assert api_calls(app) == 3


def test_wan_is_not_26_gb() -> None:
    """The ~26 GB of the model's page is refused with the true number."""
    with hub_over(create_hub(FIXTURES)) as hub, pytest.raises(UnexpectedSize) as raised:
        resolve(recipe({"repo": "Wan-AI/Wan2.1-T2V-14B", "expect_gb": 26}), hub)
    assert str(raised.value) == (
        "models[0] (Wan-AI/Wan2.1-T2V-14B): the selection is 69.05 GB, and the recipe expects 26 GB; "
        "set expect_gb: 69, or narrow include and exclude"
    )
    assert raised.value.details == {"true_bytes": 69_045_158_826, "expect_gb": 26}


def test_flux_without_its_second_copy_of_the_transformer() -> None:
    """Excluding the single file leaves the 33.7 GB that diffusers needs of FLUX.1-dev's 57.9."""
    app = create_hub(FIXTURES)
    patterns = {"exclude": ["flux1-dev.safetensors", "ae.safetensors", "*.jpg"]}
    with hub_over(app, "hf_let_in_to_flux") as hub:
        (flux,) = resolve(recipe({"repo": "black-forest-labs/FLUX.1-dev", **patterns, "expect_gb": 33.7}), hub)
    assert flux.repo_bytes == 57_884_436_543
    assert flux.size_bytes == pytest.approx(33.745e9, rel=1e-3)
    assert (flux.gated, flux.is_readable, flux.placement) == ("auto", True, "volume")
    assert flux.parameters["BF16"] == pytest.approx(flux.size_bytes / 2, rel=1e-3)


def test_gated_listing_is_sized_without_access() -> None:
    """A gated repository is sized all the same; that its files can't be read is a warning with the page to ask at."""
    with hub_over(create_hub(FIXTURES)) as hub:
        (flux,) = resolve(recipe({"repo": "black-forest-labs/FLUX.1-dev"}), hub)
    assert flux.size_bytes == 57_884_436_543
    assert flux.is_readable is False
    assert (flux.parameters, flux.parameters_source) == ({}, "file sizes")
    assert len(flux.warnings) == 1
    assert "ask for access at" in flux.warnings[0]


def test_qwen_takes_its_parameters_from_the_index() -> None:
    """Where the Hub's index counts what is selected, no header is read: two calls in all."""
    app = create_hub(FIXTURES)
    with hub_over(app) as hub:
        (qwen,) = resolve(recipe({"repo": "Qwen/Qwen2.5-7B-Instruct"}), hub)
    assert (qwen.parameters, qwen.parameters_source) == ({"BF16": 7_615_616_512}, "index")
    assert qwen.is_readable is None
    assert api_calls(app) == 2


# --- calls -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("count", "folders", "calls"),
    [(10, 0, 3), (1_000, 0, 3), (1_000, 10, 4), (50_000, 0, 52), (50_000, 500, 53)],
)
def test_calls_for_many_files(tmp_path: Path, count: int, folders: int, calls: int) -> None:
    """One call for the commit, one per 1,000 entries, one head: 50,000 files are right, and take 52."""
    paths = [f"{i % folders:03}/f{i:05}.safetensors" if folders else f"f{i:05}.safetensors" for i in range(count)]
    files = [{"path": p, "size": 1_000 + i, "sha256": f"{i:064x}"} for i, p in enumerate(paths)]
    write(tmp_path, "org/many", files=files, headers={paths[-1]: {"F32": 100}})
    app = create_hub(tmp_path)
    with hub_over(app) as hub:
        (many,) = resolve(recipe({"repo": "org/many"}), hub)
    assert len(many.files) == count
    assert many.size_bytes == many.unique_bytes == sum(1_000 + i for i in range(count))
    assert api_calls(app) == calls == 1 + -(-(count + folders) // 1_000) + 1


def test_models_of_one_repository_share_the_calls(tmp_path: Path) -> None:
    """Two models that take different files of one revision cost no more than one."""
    listed = [{"path": f"{p}.safetensors", "size": 1_000, "sha256": p * 64} for p in "ab"]
    write(tmp_path, "org/both", files=listed, headers={"a.safetensors": {"F32": 100}, "b.safetensors": {"F32": 100}})
    app = create_hub(tmp_path)
    models = [{"repo": "org/both", "name": p, "include": [f"{p}.*"]} for p in "ab"]
    with hub_over(app) as hub:
        found = resolve(recipe(*models), hub)
    assert [(m.key, [f.path for f in m.files]) for m in found] == [("a", ["a.safetensors"]), ("b", ["b.safetensors"])]
    assert api_calls(app) == 1 + 1 + 2


def test_a_moving_branch_is_read_at_one_commit(tmp_path: Path) -> None:
    """The listing is asked for by the commit, not by the branch, so a push in between changes nothing."""
    write(tmp_path, "org/name", files=[{"path": "a.bin", "size": 1, "sha256": "a" * 64}])
    app = create_hub(tmp_path)
    with hub_over(app) as hub:
        (found,) = resolve(recipe({"repo": "org/name"}), hub)
    paths = [call.path for call in app.state.calls]
    assert paths[1] == f"/api/models/org/name/tree/{found.commit}"
    assert (found.revision, len(found.commit)) == ("main", 40)


def test_equal_content_counts_once(tmp_path: Path) -> None:
    """One file under two paths is two downloads into a folder, and one blob."""
    twins = [{"path": p, "size": 50, "sha256": "a" * 64} for p in ("one.bin", "copy/one.bin")]
    write(tmp_path, "org/name", files=[*twins, {"path": "c.json", "size": 3, "git_sha1": "b" * 40}])
    with hub_over(create_hub(tmp_path)) as hub:
        (found,) = resolve(recipe({"repo": "org/name"}), hub)
    assert (found.size_bytes, found.unique_bytes) == (103, 53)


# --- selection ---------------------------------------------------------------------------------------------------
NAMES = st.text("abAB.-_/\\[]!*? \n", min_size=1, max_size=12)
PATTERNS = st.lists(NAMES, max_size=3)


@given(paths=st.lists(NAMES, max_size=8), include=PATTERNS, exclude=PATTERNS)
def test_selection_is_the_clients_own(paths: list[str], include: list[str], exclude: list[str]) -> None:
    """What is sized is what the worker's download takes: the same as huggingface_hub's filter, for any pattern."""
    ours = [f.path for f in select([ModelFile(p, 1, p) for p in paths], include, exclude)]
    assert ours == list(filter_repo_objects(paths, allow_patterns=include or None, ignore_patterns=exclude))


@pytest.mark.parametrize(
    ("include", "exclude", "chosen"),
    [
        ([], [], ["README.md", "model.safetensors", "onnx/model.onnx", "unet/a.fp16.safetensors"]),
        (["*.safetensors"], [], ["model.safetensors", "unet/a.fp16.safetensors"]),
        (["unet/"], [], ["unet/a.fp16.safetensors"]),
        (["*.safetensors"], ["*.fp16.*"], ["model.safetensors"]),
        ([], ["onnx/*", "*.md"], ["model.safetensors", "unet/a.fp16.safetensors"]),
    ],
)
def test_selection(include: list[str], exclude: list[str], chosen: list[str]) -> None:
    """Patterns cross folders, a final slash takes a folder, exclude wins."""
    files = {"README.md": 1, "model.safetensors": 1, "onnx/model.onnx": 1, "unet/a.fp16.safetensors": 1}
    hub = ListedHub(files, heads={"model.safetensors": {}, "unet/a.fp16.safetensors": {}})
    assert [f.path for f in resolve_one(hub, include=include, exclude=exclude).files] == chosen


def test_nothing_selected_names_the_nearest_paths() -> None:
    """A pattern that misses gets the paths that it may have meant."""
    hub = ListedHub({"preview/step18500.ckpt": 9, "README.md": 1})
    with pytest.raises(NothingSelected) as raised:
        resolve_one(hub, include=["preview/step18000.ckpt"])
    assert str(raised.value) == (
        "models[0] (org/name): include and exclude leave none of the 2 files; "
        "the nearest paths are preview/step18500.ckpt"
    )
    with pytest.raises(NothingSelected, match=r"the nearest paths are preview/step18500.ckpt, README.md"):
        resolve_one(hub, exclude=["*"])


def test_empty_repository() -> None:
    """A repository without files is said to be one."""
    with pytest.raises(NothingSelected, match="has no files at main"):
        resolve_one(ListedHub({}))


@pytest.mark.parametrize(
    ("paths", "missing"),
    [
        (["m-00001-of-00003.safetensors", "m-00003-of-00003.safetensors"], ["m-00002-of-00003.safetensors"]),
        (["a/m-00002-of-00002.bin"], ["a/m-00001-of-00002.bin"]),
        (["m-00000-of-00003.bin"], ["m-00001-of-00003.bin", "m-00002-of-00003.bin"]),
        (["m-00001-of-00001.bin", "m.fp16-00001-of-00002.bin"], ["m.fp16-00002-of-00002.bin"]),
        (["m-00001-of-00002.safetensors", "m-00002-of-00002.bin"], ["m-00002-of-00002.safetensors"]),
    ],
)
def test_missing_shards_are_listed(paths: list[str], missing: list[str]) -> None:
    """A set that lacks shards is refused with the names of those it lacks; a set counts from 1, or from 0."""
    with pytest.raises(NothingSelected) as raised:
        resolve_one(ListedHub(dict.fromkeys(paths, 1)))
    found: Any = raised.value.details["missing"]
    assert found[: len(missing)] == missing
    assert f"shards are missing: {missing[0]}" in str(raised.value)
    assert "the upload is incomplete" in str(raised.value)


@pytest.mark.parametrize(
    "paths",
    [
        [f"m-0000{i}-of-00003.safetensors" for i in (1, 2, 3)],
        [f"m-0000{i}-of-00003.bin" for i in (0, 1, 2)],
        ["m.safetensors", "2-of-3.txt", "one-of-a-kind.bin"],
    ],
)
def test_whole_sets_pass(paths: list[str]) -> None:
    """A complete set, and names that only look a little like one, pass."""
    assert len(resolve_one(ListedHub(dict.fromkeys(paths, 1))).files) == len(paths)


def test_shards_that_the_patterns_leave_out() -> None:
    """When the repository has the missing shard, the patterns are to blame, and many are counted, not listed."""
    paths = [f"m-{i:05}-of-00020.safetensors" for i in range(1, 21)]
    with pytest.raises(NothingSelected, match=r"and 14 more; let include and exclude take the whole set"):
        resolve_one(ListedHub(dict.fromkeys(paths, 1)), include=[paths[0]])


@pytest.mark.parametrize(
    ("true_gb", "expect_gb", "is_fine"),
    [(100, 100, True), (104.9, 100, True), (95.1, 100, True), (105.1, 100, False), (94.9, 100, False)],
)
def test_expected_size_may_differ_by_5_percent(true_gb: float, expect_gb: float, is_fine: bool) -> None:
    """`expect_gb` fails beyond 5 %, in both directions."""
    hub = ListedHub({"a.bin": round(true_gb * GB)})
    if is_fine:
        assert resolve_one(hub, expect_gb=expect_gb).size_bytes == round(true_gb * GB)
    else:
        with pytest.raises(UnexpectedSize, match=f"is {true_gb} GB, and the recipe expects {expect_gb} GB"):
            resolve_one(hub, expect_gb=expect_gb)


# --- placement -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("size_bytes", "info", "asked", "placement"),
    [
        (2 * GB, {}, "auto", "image"),
        (2 * GB + 1, {}, "auto", "volume"),
        (1, {"gated": "auto"}, "auto", "volume"),
        (1, {"is_private": True}, "auto", "volume"),
        (90 * GB, {}, "image", "image"),
        (1, {}, "disk", "disk"),
        (1, {"gated": "manual"}, "cached", "cached"),
    ],
)
def test_placement(size_bytes: int, info: dict[str, Any], asked: str, placement: str) -> None:
    """`auto` puts up to 2 GB of what anyone may read into the image, all else on the volume; a word given stands."""
    hub = ListedHub({"a.bin": size_bytes}, info=RepoInfo("org/name", "c" * 40, **info))
    assert resolve_one(hub, placement=asked).placement == placement


# --- parameters ------------------------------------------------------------------------------------------------------
def test_mixed_formats_count_safetensors_alone() -> None:
    """Parameters cover the safetensors of the selection; what a .pth holds is told by its size."""
    hub = ListedHub({"a.safetensors": 4_000, "t5.pth": 90_000}, heads={"a.safetensors": {"F32": 990}})
    found = resolve_one(hub)
    assert (found.parameters, found.parameters_source) == ({"F32": 990}, "header")
    assert hub.probed == ["a.safetensors"]


def test_pickles_alone_are_not_probed() -> None:
    """A public repository of .ckpt files has no header to read and no gate to try."""
    hub = ListedHub({"preview/step18500.ckpt": 28 * GB})
    found = resolve_one(hub)
    assert (found.parameters, found.parameters_source, found.is_readable) == ({}, "file sizes", None)
    assert hub.probed == []


def test_largest_header_stands_for_all() -> None:
    """The largest file's share of each dtype, scaled to the bytes of all."""
    heads = {"big.safetensors": {"F32": 1_000, "BF16": 500}}
    found = resolve_one(ListedHub({"big.safetensors": 5_000, "small.safetensors": 2_500}, heads=heads))
    assert found.parameters == {"F32": 1_500, "BF16": 750}


@pytest.mark.parametrize(
    ("index", "source"),
    [
        ({"F32": 1_000}, "index"),
        ({"BF16": 1_995}, "index"),
        ({"F32": 500}, "header"),
        ({"BF16": 1_000}, "header"),
        ({"Q4_K": 1_000}, "header"),
        ({}, "header"),
    ],
)
def test_index_is_trusted_when_it_is_about_the_selection(index: dict[str, int], source: str) -> None:
    """The Hub's index counts for a selection of its own bytes; a part, another copy or an unknown type is read."""
    info = RepoInfo("org/name", "c" * 40, parameters=index)
    found = resolve_one(ListedHub({"a.safetensors": 4_000}, info=info, heads={"a.safetensors": {"F32": 990}}))
    assert found.parameters_source == source
    assert found.parameters == (index if source == "index" else {"F32": 990})


def test_gate_is_tried_even_when_the_index_knows_all() -> None:
    """Listing a gated repository proves nothing, so its content is tried."""
    info = RepoInfo("org/name", "c" * 40, gated="manual", parameters={"F32": 1_000})
    closed = resolve_one(ListedHub({"a.safetensors": 4_000}, info=info, is_closed=True))
    assert (closed.is_readable, closed.parameters) == (False, {"F32": 1_000})
    heads = {"a.safetensors": {"F32": 990}}
    assert resolve_one(ListedHub({"a.safetensors": 4_000}, info=info, heads=heads)).is_readable is True


def test_unreadable_header_is_a_warning() -> None:
    """A header that can't be read costs an exact count, not the size."""
    found = resolve_one(ListedHub({"a.safetensors": 4_000}))
    assert (found.size_bytes, found.parameters_source) == (4_000, "file sizes")
    assert found.warnings == ("parameters are estimated from file sizes: org/name: no header",)


# --- errors and progress ---------------------------------------------------------------------------------------------
def test_absent_repository_is_told(tmp_path: Path) -> None:
    """The hub's own sentence comes through, and the step is told as failed."""
    told: list[Progress] = []
    with hub_over(create_hub(tmp_path)) as hub, pytest.raises(RepoNotFound, match="org/absent: no such repository"):
        resolve(recipe({"repo": "org/absent"}), hub, told.append)
    assert [p.state for p in told] == ["started", "failed"]


def test_page_that_stays_broken_is_an_error(tmp_path: Path) -> None:
    """A listing that ends in mid-way is never taken for a whole one."""
    paths = [f"{i:05}" + "x" * 100 * (i >= 1_000) for i in range(2_000)]  # so that the second page is the larger
    write(tmp_path, "org/many", files=[{"path": p, "size": 1, "git_sha1": "0" * 40} for p in paths])
    app = create_hub(tmp_path, faults=[Fault("cut", FOREVER, "*/tree/*", after_bytes=150_000)])
    with hub_over(app) as hub, pytest.raises(HubUnreachable, match="no connection to the Hub"):
        resolve(recipe({"repo": "org/many"}), hub)
    assert any("cursor=1000" in call.query for call in app.state.calls)


def test_progress_counts_the_files() -> None:
    """The step's last word is the commit and the number of files."""
    told: list[Progress] = []
    resolve(recipe({"repo": "org/name"}), ListedHub({"a.bin": 1, "b.bin": 2}), told.append)
    assert [p.state for p in told] == ["started", "done"]
    assert told[-1].text == "org/name@cccccccc: 2 files"


def test_recipe_without_models() -> None:
    """An echo has nothing to resolve."""
    assert resolve(recipe(), ListedHub({})) == ()
