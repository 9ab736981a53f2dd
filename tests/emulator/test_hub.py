"""The emulated hub, seen by the unmodified huggingface_hub client over loopback."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile, RepoFolder
from huggingface_hub.utils import httpx
from starlette.applications import Starlette

from factory.emulator.faults import Call
from factory.emulator.hub import create_hub
from factory.emulator.hub_repos import Repositories
from factory.emulator.serve import running

TOKEN = "hf_let_in"
CONFIG = b'{"hidden_size": 8}\n'
WEIGHTS = bytes(range(256)) * 100
OTHER_COMMIT = "b" * 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an open, a gated and a private repository."""
    for name, says in (
        ("open", {"licence": "mit", "refs": {"v1.0": {"type": "tag", "sha": OTHER_COMMIT, "files": []}}}),
        ("gated", {"gated": "manual", "tokens": [TOKEN]}),
        ("private", {"private": True, "tokens": [TOKEN]}),
    ):
        repo = tmp_path / "org" / name
        (repo / "sub").mkdir(parents=True)
        (repo / "config.json").write_bytes(CONFIG)
        (repo / "sub" / "model.safetensors").write_bytes(WEIGHTS)
        (repo / ".hub.json").write_text(json.dumps(says))
    return tmp_path


@pytest.fixture
def app(folder: Path) -> Starlette:
    """The hub over that folder."""
    return create_hub(folder)


def calls(app: Starlette) -> list[Call]:
    """Return the hub's log."""
    log: list[Call] = app.state.calls
    return log


def write(folder: Path, repo: str, **says: Any) -> None:
    """Describe a repository by its .hub.json alone."""
    (folder / repo).mkdir(parents=True, exist_ok=True)
    (folder / repo / ".hub.json").write_text(json.dumps(says))


def test_model_info_says_what_is_known(url: str) -> None:
    """The client reads commit, access, licence and storage of a repository."""
    info = HfApi(url, token=False).model_info("org/open", expand=["sha", "gated", "private", "usedStorage", "cardData"])
    assert len(info.sha or "") == 40
    assert (info.gated, info.private, info.used_storage) == (False, False, len(CONFIG) + len(WEIGHTS))
    assert info.card_data is not None
    assert info.card_data["license"] == "mit"


def test_unknown_expand_is_refused(url: str) -> None:
    """A property that the Hub does not know is a 400, not silence."""
    answer = httpx.get(f"{url}/api/models/org/open?expand=colour")
    assert answer.status_code == 400
    assert "colour" in answer.json()["error"]


def test_tree_has_git_and_lfs_digests(url: str) -> None:
    """Small files carry their git blob id, weights the sha256 of their content, folders are listed too."""
    entries = {e.path: e for e in HfApi(url, token=False).list_repo_tree("org/open", recursive=True)}
    config, weights = entries["config.json"], entries["sub/model.safetensors"]
    assert isinstance(entries["sub"], RepoFolder)
    assert isinstance(config, RepoFile)
    assert config.blob_id == hashlib.sha1(b"blob %d\0" % len(CONFIG) + CONFIG).hexdigest()
    assert isinstance(weights, RepoFile)
    assert weights.lfs is not None
    assert (weights.lfs.sha256, weights.lfs.size) == (hashlib.sha256(WEIGHTS).hexdigest(), len(WEIGHTS))


def test_tree_of_a_subfolder_and_without_recursion(url: str) -> None:
    """A tree can start in a folder and stop at its own level; expanded entries carry the last commit."""
    api = HfApi(url, token=False)
    assert [e.path for e in api.list_repo_tree("org/open")] == ["config.json", "sub"]
    below = list(api.list_repo_tree("org/open", "sub", expand=True))
    assert [e.path for e in below] == ["sub/model.safetensors"]
    assert below[0].last_commit is not None
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree("org/open", "nowhere"))


@pytest.mark.parametrize(("count", "pages"), [(1, 1), (1_000, 1), (1_001, 2), (2_500, 3)])
def test_tree_comes_in_pages_of_1000(tmp_path: Path, count: int, pages: int) -> None:
    """The client follows the Link header until it has every entry, 1,000 a page."""
    files = [{"path": f"f{i:05}", "size": i, "git_sha1": "0" * 40} for i in range(count)]
    write(tmp_path, "org/many", files=files)
    app = create_hub(tmp_path)
    with running(app) as url:
        listed = list(HfApi(url, token=False).list_repo_tree("org/many", recursive=True))
    assert [e.path for e in listed] == [f["path"] for f in files]
    assert len(calls(app)) == pages


def test_paths_info_gives_the_asked_paths_alone(url: str) -> None:
    """POST paths-info answers for the paths that exist."""
    found = HfApi(url, token=False).get_paths_info("org/open", ["config.json", "absent"])
    assert [e.path for e in found] == ["config.json"]


def test_refs_and_revisions(url: str) -> None:
    """Branches, tags and commits are revisions; anything else is RevisionNotFound."""
    api = HfApi(url, token=False)
    refs = api.list_repo_refs("org/open")
    assert ([b.name for b in refs.branches], [t.name for t in refs.tags]) == (["main"], ["v1.0"])
    assert api.model_info("org/open", revision="v1.0").sha == OTHER_COMMIT
    commit = api.model_info("org/open").sha
    assert api.model_info("org/open", revision=commit).sha == commit
    with pytest.raises(RevisionNotFoundError):
        api.model_info("org/open", revision="absent")


def test_commit_is_a_function_of_the_content(folder: Path) -> None:
    """Two folders with equal files have the same commit; another byte is another commit, seen at once."""
    repositories = Repositories(folder)

    def commit(repo: str) -> str:
        found = repositories.get(repo)
        assert found is not None
        return found.refs["main"][1].sha

    before = commit("org/gated")
    assert before == commit("org/private")
    (folder / "org/gated/config.json").write_bytes(CONFIG + b" ")
    assert commit("org/gated") != before


def test_download_equals_the_folder(url: str, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A snapshot has every byte, and its notes none of ours."""
    target = tmp_path_factory.mktemp("snapshot")
    snapshot_download("org/open", endpoint=url, token=False, local_dir=target)
    assert (target / "config.json").read_bytes() == CONFIG
    assert (target / "sub/model.safetensors").read_bytes() == WEIGHTS
    assert not (target / ".hub.json").exists()


def test_real_model_downloads_byte_for_byte(minilm_folder: Path, tmp_path: Path) -> None:
    """The unmodified client fetches the real all-MiniLM-L6-v2 through a linked folder, and verifies its checksums."""
    (tmp_path / "models/sentence-transformers").mkdir(parents=True)
    (tmp_path / "models/sentence-transformers/all-MiniLM-L6-v2").symlink_to(minilm_folder)
    with running(create_hub(tmp_path / "models")) as url:
        repo, target = "sentence-transformers/all-MiniLM-L6-v2", tmp_path / "target"
        snapshot_download(repo, endpoint=url, token=False, local_dir=target)
        verified = HfApi(url, token=False).verify_repo_checksums(repo, local_dir=target)
    files = [f.relative_to(minilm_folder) for f in minilm_folder.rglob("*") if f.is_file()]
    assert verified.checked_count == len(files)
    assert not verified.mismatches
    for file in files:
        assert _sha256(target / file) == _sha256(minilm_folder / file)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def test_token_never_goes_to_the_other_origin(app: Starlette, url: str, tmp_path: Path) -> None:
    """Weights come from another origin, and the client leaves its token at home; the log would show it."""
    snapshot_download("org/gated", endpoint=url, token=TOKEN, local_dir=tmp_path / "got")
    assert (tmp_path / "got/sub/model.safetensors").read_bytes() == WEIGHTS
    at_home = {c.host.split(":")[0] for c in calls(app) if not c.path.startswith("/_cdn")}
    away = [c for c in calls(app) if c.path.startswith("/_cdn")]
    assert {c.host.split(":")[0] for c in away} == {"localhost"} != at_home
    assert not any(c.has_token for c in away)
    assert all(c.has_token for c in calls(app) if "/resolve/" in c.path)


def test_the_log_would_show_a_leaked_token(app: Starlette, url: str) -> None:
    """A client that sends its token to the other origin is found out: the check above can fail."""
    resolve = f"{url}/org/gated/resolve/main/sub/model.safetensors"
    sent = {"Authorization": f"Bearer {TOKEN}"}
    signed = httpx.get(resolve, headers=sent).headers["location"]
    assert httpx.get(signed, headers=sent).status_code == 200
    assert calls(app)[-1].has_token


@pytest.mark.parametrize(
    ("repo", "token", "raised"),
    [
        ("org/absent", False, RepositoryNotFoundError),
        ("org/absent", TOKEN, RepositoryNotFoundError),
        ("org/private", False, RepositoryNotFoundError),
        ("org/private", "hf_other", RepositoryNotFoundError),
        ("org/gated", False, GatedRepoError),
        ("org/gated", "hf_other", GatedRepoError),
    ],
)
def test_access(url: str, tmp_path: Path, repo: str, token: str | bool, raised: type[Exception]) -> None:
    """Who is not let in gets the client's own error, for content as the Hub does it."""
    with pytest.raises(raised):
        HfApi(url, token=token).hf_hub_download(repo, "config.json", local_dir=tmp_path / "got")


def test_listing_of_a_gated_repository_is_public(url: str) -> None:
    """Sizes of a gated repository can be read by anyone; a private one is listed for its tokens alone."""
    assert len(list(HfApi(url, token=False).list_repo_tree("org/gated", recursive=True))) == 3
    assert len(list(HfApi(url, token=TOKEN).list_repo_tree("org/private", recursive=True))) == 3


def test_search_hides_private_repositories(url: str) -> None:
    """Search matches part of the name, and shows a private repository to its tokens alone."""
    assert [m.id for m in HfApi(url, token=False).list_models(search="PRIV")] == []
    assert [m.id for m in HfApi(url, token=TOKEN).list_models(search="PRIV")] == ["org/private"]
    assert len(list(HfApi(url, token=False).list_models(author="org", limit=1))) == 1


def test_invalid_token(folder: Path) -> None:
    """Where the valid tokens are given, any other is refused with the sentence that the client knows."""
    with running(create_hub(folder, tokens=frozenset({TOKEN}))) as url:
        assert HfApi(url, token=TOKEN).whoami()["type"] == "user"
        with pytest.raises(HfHubHTTPError) as raised:
            HfApi(url, token="hf_unknown").model_info("org/open")
    assert raised.value.response.status_code == 401
    assert not isinstance(raised.value, RepositoryNotFoundError)


def test_head_and_ranges(url: str) -> None:
    """HEAD tells size and digest without a body; a range gives just that part, of small files and of weights."""
    small = f"{url}/org/open/resolve/main/config.json"
    head = httpx.head(small)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(CONFIG)), b"")
    part = httpx.get(small, headers={"Range": "bytes=2-5"})
    assert (part.status_code, part.content) == (206, CONFIG[2:6])
    large = f"{url}/org/open/resolve/main/sub/model.safetensors"
    head = httpx.head(large)
    assert (head.status_code, head.headers["x-linked-size"]) == (302, str(len(WEIGHTS)))
    assert head.headers["x-linked-etag"].strip('"') == hashlib.sha256(WEIGHTS).hexdigest()
    part = httpx.get(large, headers={"Range": "bytes=100-"}, follow_redirects=True)
    assert (part.status_code, part.content) == (206, WEIGHTS[100:])
    assert httpx.get(small, headers={"Range": "bytes=999-"}).status_code == 416


@pytest.mark.parametrize(
    "path",
    [
        "/org/open/resolve/main/../private/config.json",
        "/org/open/resolve/main/%2e%2e/private/config.json",
        "/org/open/resolve/main/..%2fprivate%2fconfig.json",
        "/org/open/resolve/main/%2fetc%2fpasswd",
        "/org/open/resolve/main/.hub.json",
        "/org/../org/private/resolve/main/config.json",
        "/api/models/%2e%2e/open",
        "/api/models/org/%2e%2e",
        "/_cdn/org/private/main/config.json",
    ],
)
def test_no_way_out_of_the_folder(url: str, path: str) -> None:
    """Paths that climb, that are absolute, that name our own file or lack a signature get no content."""
    answer = httpx.get(httpx.URL(url).copy_with(raw_path=path.encode()), follow_redirects=True)
    assert answer.status_code in (401, 403, 404)
    assert CONFIG not in answer.content


def test_listed_file_has_a_header_and_no_content(tmp_path: Path) -> None:
    """A 4 GB file that is only listed costs nothing; its safetensors header can be read, its content is a clear 404."""
    file = {"path": "model.safetensors", "size": 4_000_001_008, "sha256": "a" * 64}
    write(
        tmp_path, "org/listed", files=[file], headers={"model.safetensors": {"F32": 900_000_000, "BF16": 200_000_000}}
    )
    with running(create_hub(tmp_path)) as url:
        api = HfApi(url, token=False)
        metadata = api.parse_safetensors_file_metadata("org/listed", "model.safetensors")
        assert metadata.parameter_count == {"F32": 900_000_000, "BF16": 200_000_000}
        with pytest.raises(EntryNotFoundError, match="only listed"):
            api.hf_hub_download("org/listed", "model.safetensors", local_dir=tmp_path / "got")


def test_two_branches_may_hold_different_files(tmp_path: Path) -> None:
    """A revision lists its own files under its own commit, also when its name has a slash."""
    old = {"path": "model-f32.bin", "size": 8, "sha256": "a" * 64}
    new = {"path": "model-bf16.bin", "size": 4, "sha256": "b" * 64}
    write(tmp_path, "org/two", files=[old], refs={"refs/pr/1": {"files": [new]}})
    with running(create_hub(tmp_path)) as url:
        api = HfApi(url, token=False)
        assert [e.path for e in api.list_repo_tree("org/two", revision="refs/pr/1")] == ["model-bf16.bin"]
        assert api.model_info("org/two", revision="refs/pr/1").sha != api.model_info("org/two").sha


@pytest.mark.parametrize(
    ("says", "sentence"),
    [
        ("{", "JSONDecodeError"),
        ('{"sha": "main"}', "no commit"),
        ('{"files": [{"path": "../x", "size": 1, "git_sha1": "' + "0" * 40 + '"}]}', "no path inside"),
        ('{"files": [{"path": "x", "size": 1, "sha256": "abc"}]}', "no sha256"),
        ('{"files": [{"path": "x", "size": 1}]}', "git_sha1"),
        ('{"files": [{"path": "x", "size": 9, "sha256": "' + "0" * 64 + '"}], "headers": {"x": {"F32": 9}}}', "header"),
    ],
)
def test_bad_description_names_its_file(tmp_path: Path, says: str, sentence: str) -> None:
    """A .hub.json that can't be is a 500 which names the file and the reason."""
    (tmp_path / "org/bad").mkdir(parents=True)
    (tmp_path / "org/bad/.hub.json").write_text(says)
    with running(create_hub(tmp_path)) as url:
        answer = httpx.get(f"{url}/api/models/org/bad")
    assert answer.status_code == 500
    assert str(tmp_path / "org/bad/.hub.json") in answer.json()["error"]
    assert sentence in answer.json()["error"]


def test_no_folder_is_said_at_once(tmp_path: Path) -> None:
    """A hub over a folder that isn't there can't be made."""
    with pytest.raises(NotADirectoryError, match="holds no repositories"):
        create_hub(tmp_path / "absent")


@pytest.mark.parametrize(
    ("repo", "size_bytes"),
    [
        ("Wan-AI/Wan2.1-T2V-14B", 69_045_158_826),
        ("black-forest-labs/FLUX.1-dev", 57_884_436_543),
        ("sentence-transformers/all-MiniLM-L6-v2", 91_618_861),
    ],
)
def test_listed_fixtures_have_the_true_sizes(repo: str, size_bytes: int) -> None:
    """The fixture folder lists the real repositories' exact bytes."""
    found = Repositories(Path(__file__).parents[1] / "fixtures/hub").get(repo)
    assert found is not None
    assert sum(f.size for f in found.refs["main"][1].files.values()) == size_bytes
