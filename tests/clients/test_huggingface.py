"""The Hub's client against the emulated hub: what it reads, what it costs, and the one sentence for each failure."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from starlette.applications import Starlette

from factory.clients.huggingface import HuggingFaceHub
from factory.clients.huggingface_answers import licence, model_file, parameters
from factory.emulator.faults import FOREVER, Call, Fault
from factory.emulator.hub import create_hub
from factory.emulator.serve import running
from factory.errors import (
    AccessDenied,
    FactoryError,
    HubFailed,
    HubRateLimited,
    HubUnreachable,
    RepoNotFound,
    ResolveError,
    RevisionNotFound,
    SettingsError,
)
from factory.records import ModelFile, Progress, tell_nobody

TOKEN = "hf_let_in"
CONFIG = b'{"hidden_size": 8}\n'
WEIGHTS = bytes(range(256)) * 100
REPO = "org/model"


@pytest.fixture(autouse=True)
def no_token_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the environment's token nor the logged-in user's may reach a test."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))


def write(folder: Path, repo: str, **says: Any) -> None:
    """Describe a repository by its .hub.json."""
    (folder / repo).mkdir(parents=True, exist_ok=True)
    (folder / repo / ".hub.json").write_text(json.dumps(says))


@pytest.fixture
def app(tmp_path: Path) -> Starlette:
    """A hub with an open, a gated and a private repository, and one with a large header."""
    folder = tmp_path / "hub"
    index = {"parameters": {"F32": 100}, "total": 100}
    refs = {"v1.0": {"type": "tag", "files": []}}
    write(folder, REPO, licence="mit", safetensors=index, refs=refs)
    write(folder, "org/gated", gated="manual", tokens=[TOKEN])
    write(folder, "org/private", private=True, tokens=[TOKEN])
    for name in (REPO, "org/gated", "org/private"):
        (folder / name / "sub").mkdir()
        (folder / name / "config.json").write_bytes(CONFIG)
        (folder / name / "sub/weights.bin").write_bytes(WEIGHTS)
    listed = {"path": "model.safetensors", "size": 4_000_000_000, "sha256": "a" * 64}
    counts = {"F32": 900_000_000, "BF16": 199_900_000}  # leaves a header of 200 kB
    write(folder, "org/listed", files=[listed], headers={"model.safetensors": counts})
    return create_hub(folder)


@pytest.fixture
def url(app: Starlette) -> Iterator[str]:
    """Its address."""
    with running(app) as address:
        yield address


def connect(url: str, token: str | None = None, **options: float) -> HuggingFaceHub:
    """Return the client, in a hurry."""
    return HuggingFaceHub(url, token, **{"timeout_s": 5, "patience_s": 20, "first_wait_s": 0.01, **options})


def calls(app: Starlette) -> list[Call]:
    """Return the hub's log."""
    log: list[Call] = app.state.calls
    return log


# --- what it reads ---------------------------------------------------------------------------------------------------
def test_info_takes_one_call(app: Starlette, url: str) -> None:
    """Commit, access, licence and parameters come in one call."""
    info = connect(url).info(REPO, "main")
    assert len(info.commit) == 40
    assert (info.repo, info.gated, info.is_private, info.licence) == (REPO, "no", False, "mit")
    assert info.parameters == {"F32": 100}
    assert len(calls(app)) == 1


def test_no_list_of_coding_agents_is_asked_for(app: Starlette, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """huggingface_hub 2.4.0 asks for one, to name in its User-Agent who is at work."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", False)
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr("huggingface_hub.utils._detect_agent._registry", None)
    monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", f"{constants.HF_TOKEN_PATH}-agents")
    connect(url).info(REPO, "main")
    assert [call.path for call in calls(app)] == [f"/api/models/{REPO}/revision/main"]


def test_info_of_a_gated_and_of_a_private_repository(url: str) -> None:
    """Gates show without access; a private repository shows to its token."""
    assert connect(url).info("org/gated", "main").gated == "manual"
    assert connect(url, TOKEN).info("org/private", "main").is_private


def test_files_have_sizes_and_digests(app: Starlette, url: str) -> None:
    """Small files are named by their git blob, weights by their sha256; folders are no files."""
    hub = connect(url)
    files = {f.path: f for f in hub.files(REPO, hub.info(REPO, "main").commit)}
    assert files.keys() == {"config.json", "sub/weights.bin"}
    assert files["config.json"].digest.startswith("git-sha1:")
    assert files["sub/weights.bin"].digest.startswith("sha256:")
    assert files["sub/weights.bin"].size_bytes == len(WEIGHTS)
    assert len(calls(app)) == 2


def test_next_page_is_asked_of_our_endpoint_alone(tmp_path: Path) -> None:
    """Of the Link header only the query counts: a mirror that names another host gets no token sent there."""
    files = [{"path": f"f{i:05}", "size": i, "git_sha1": "0" * 40} for i in range(2_001)]
    write(tmp_path, "org/many", files=files)
    app = create_hub(tmp_path)

    async def lies(scope: Any, receive: Any, send: Any) -> None:
        async def rename(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    (k, v.replace(b"127.0.0.1", b"hub.invalid") if k == b"link" else v) for k, v in message["headers"]
                ]
            await send(message)

        await app(scope, receive, rename)

    with running(lies) as url:
        assert len(list(connect(url, TOKEN).files("org/many", "main"))) == 2_001
    assert len(calls(app)) == 3


def test_probe_reads_a_header_longer_than_the_first_read(app: Starlette, url: str) -> None:
    """A header of 200 kB takes a second read, of the header alone; the token stays at home."""
    assert connect(url, TOKEN).probe("org/listed", "main", "model.safetensors") == {
        "F32": 900_000_000,
        "BF16": 199_900_000,
    }
    asked = [c for c in calls(app) if not c.path.startswith("/_cdn")]
    assert len(asked) == 2
    assert sum(c.sent_bytes for c in calls(app)) < 400_000
    assert not any(c.has_token for c in calls(app) if c.path.startswith("/_cdn"))


def test_probe_of_another_format_proves_access_alone(app: Starlette, url: str) -> None:
    """A .bin file says nothing of its parameters; a few bytes prove that it may be read."""
    assert connect(url).probe(REPO, "main", "sub/weights.bin") == {}
    assert sum(c.sent_bytes for c in calls(app)) == 8


def test_probe_does_not_read_on_when_ranges_are_ignored(tmp_path: Path) -> None:
    """A server that answers a range with the whole file is left after the header."""
    (tmp_path / "org/big").mkdir(parents=True)
    header = json.dumps({"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}).encode()
    content = len(header).to_bytes(8, "little") + header + bytes(30_000_000)
    (tmp_path / "org/big/model.safetensors").write_bytes(content)
    app = create_hub(tmp_path)

    async def no_ranges(scope: Any, receive: Any, send: Any) -> None:
        headers = [(k, v) for k, v in scope.get("headers", []) if k != b"range"]
        await app({**scope, "headers": headers}, receive, send)

    with running(no_ranges) as url:
        assert connect(url).probe("org/big", "main", "model.safetensors") == {"F32": 6}


@pytest.mark.parametrize(
    ("content", "size"),
    [(b"\xff" * 200, 200), (b"", 0), ((20).to_bytes(8, "little") + b"[1, 2, 3, 4, 5, 6]  ", 28)],
    ids=["absurd length", "empty", "not a mapping"],
)
def test_probe_of_a_broken_header(tmp_path: Path, content: bytes, size: int) -> None:
    """A file that only calls itself safetensors is one sentence with its path."""
    (tmp_path / "org/bad").mkdir(parents=True)
    (tmp_path / "org/bad/model.safetensors").write_bytes(content)
    with running(create_hub(tmp_path)) as url, pytest.raises(ResolveError) as raised:
        connect(url).probe("org/bad", "main", "model.safetensors")
    assert "model.safetensors" in str(raised.value) or size == 0


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("org/modle", ("org/model",)),
        ("org/model-v2", ("org/model",)),
        ("ogr/model", ("org/model",)),
        ("nobody/unlike-anything", ()),
    ],
)
def test_suggest(url: str, asked: str, found: tuple[str, ...]) -> None:
    """A name close to a real one leads to it; a wild one to nothing."""
    assert connect(url).suggest(asked)[:1] == found


def test_suggest_is_silent_where_there_is_no_search(app: Starlette, url: str) -> None:
    """A hub that can't be searched costs a suggestion, no error."""
    app.state.faults.append(Fault("status", times=FOREVER, status=404, path="/api/models"))
    assert connect(url).suggest("org/modle") == ()


# --- what goes wrong -------------------------------------------------------------------------------------------------
Case = tuple[Callable[[HuggingFaceHub], object], str | None, type[FactoryError], str]

REFUSED: dict[str, Case] = {
    "absent": (
        lambda hub: hub.info("org/modle", "main"),
        None,
        RepoNotFound,
        "org/modle: no such repository on the Hub, or a private one; "
        "did you mean 'org/model'? (set HF_TOKEN if it is private)",
    ),
    "absent, with a token": (
        lambda hub: hub.info("who/zzzzzz", "main"),
        "hf_other",
        RepoNotFound,
        "who/zzzzzz: no such repository on the Hub, or a private one that this token can't see; "
        "check the name, or use a token that may read it",
    ),
    "private": (
        lambda hub: hub.files("org/private", "main"),
        None,
        RepoNotFound,
        "org/private: no such repository on the Hub, or a private one; "
        "check the name, or set HF_TOKEN if it is private",
    ),
    "gated": (
        lambda hub: hub.probe("org/gated", "main", "config.json"),
        None,
        AccessDenied,
        "org/gated: the repository is gated, and no token was sent; "
        "ask for access at {url}/org/gated, then set HF_TOKEN",
    ),
    "gated, not let in": (
        lambda hub: hub.probe("org/gated", "main", "sub/weights.bin"),
        "hf_other",
        AccessDenied,
        "org/gated: the repository is gated, and this token has not been let in; ask for access at {url}/org/gated",
    ),
    "revision": (
        lambda hub: hub.info(REPO, "v2.0"),
        None,
        RevisionNotFound,
        "org/model: the repository has no branch, tag or commit 'v2.0'; use one of main, v1.0, or a full commit id",
    ),
    "no content": (
        lambda hub: hub.probe("org/listed", "main", "absent.bin"),
        None,
        HubFailed,
        "org/listed: the Hub lists a file and has no content for it: Entry not found: absent.bin",
    ),
}


def consume(result: object) -> None:
    """Run an iterator to its end."""
    if isinstance(result, Iterator):
        for _ in result:
            pass


@pytest.mark.parametrize(("call", "token", "raised", "sentence"), REFUSED.values(), ids=REFUSED)
def test_refusals(
    url: str, call: Callable[[HuggingFaceHub], object], token: str | None, raised: type[FactoryError], sentence: str
) -> None:
    """Each refusal is one sentence, with what to do; the token is in none."""
    with pytest.raises(raised) as error:
        consume(call(connect(url, token)))
    assert str(error.value) == sentence.format(url=url)
    assert type(error.value) is raised


def test_invalid_token(tmp_path: Path) -> None:
    """A token that the Hub does not know is said so, though the repository is public, and is never shown."""
    write(tmp_path, REPO)
    with running(create_hub(tmp_path, tokens=frozenset({TOKEN}))) as url, pytest.raises(AccessDenied) as raised:
        connect(url, "hf_stale").info(REPO, "main")
    assert str(raised.value).startswith(f"{url}: the Hub does not know this token; make a new token at")
    assert "hf_stale" not in repr(raised.value.as_record())


@pytest.mark.parametrize(
    ("fault", "raised", "sentence"),
    [
        (
            Fault("rate_limit", FOREVER, wait_s=300),
            HubRateLimited,
            "{url}: the Hub's rate limit is reached, and frees itself in 301 s; "
            "wait 301 s, or set HF_TOKEN: a token has twice the limit",
        ),
        (
            Fault("status", FOREVER, status=503),
            HubFailed,
            "{url}: the Hub answers 503 again and again: played fault; "
            "try again in some minutes; see https://status.huggingface.co",
        ),
        (
            Fault("html", FOREVER),
            HubFailed,
            "{url}: what answers is not the Hub's API (text/html); "
            "check HF_ENDPOINT, and whether a proxy or login page stands between",
        ),
        (
            Fault("status", FOREVER, status=404),
            HubFailed,
            "{url}: what answers is not the Hub's API (404 without the Hub's X-Error-Code: played fault); "
            "check HF_ENDPOINT, and whether a proxy or login page stands between",
        ),
        (
            Fault("status", FOREVER, status=403),
            AccessDenied,
            "org/model: the Hub forbids it (403): played fault; set HF_TOKEN",
        ),
        (Fault("status", FOREVER, status=418), HubFailed, "org/model: the Hub answers 418: played fault"),
        (
            Fault("cut", FOREVER),
            HubUnreachable,
            "{url}: no connection to the Hub (peer closed connection without sending complete message body "
            "(received 0 bytes, expected N)); check the network and the proxy, or set HF_ENDPOINT to a mirror",
        ),
        (
            Fault("stall", FOREVER, wait_s=9),
            HubUnreachable,
            "{url}: no connection to the Hub (timed out); "
            "check the network and the proxy, or set HF_ENDPOINT to a mirror",
        ),
    ],
    ids=lambda value: f"{value.kind}-{value.status}" if isinstance(value, Fault) else "",
)
def test_lasting_faults(app: Starlette, url: str, fault: Fault, raised: type[FactoryError], sentence: str) -> None:
    """A fault that outlasts the patience is one sentence with the numbers found."""
    app.state.faults.append(fault)
    hub = connect(url, timeout_s=0.2 if fault.kind == "stall" else 5, patience_s=2)
    with pytest.raises(raised) as error:
        hub.info(REPO, "main")
    assert re.sub(r"expected \d+", "expected N", str(error.value)) == sentence.format(url=url)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", 3, status=503),
        Fault("status", 1, status=500),
        Fault("rate_limit", 1, wait_s=0),
        Fault("cut", 2),
        Fault("stall", 1, wait_s=9),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
@pytest.mark.parametrize("path", ["/api/models/org/model/revision/*", "*/tree/*", "*/resolve/*"])
def test_passing_faults_are_overcome(app: Starlette, url: str, fault: Fault, path: str) -> None:
    """A fault that passes leaves no trace: on the first call, which the client never retries, on a page, on content."""
    app.state.faults.append(Fault(fault.kind, fault.times, path, status=fault.status, wait_s=fault.wait_s))
    hub = connect(url, timeout_s=0.3)
    commit = hub.info(REPO, "main").commit
    assert len(list(hub.files(REPO, commit))) == 2
    assert hub.probe(REPO, commit, "config.json") == {}
    assert app.state.faults[0].times == 0


def test_expired_address_of_the_cdn_is_asked_anew(app: Starlette, url: str) -> None:
    """A 403 of the other origin means that its signed address ran out; the Hub gives a fresh one."""
    app.state.faults.append(Fault("status", 1, "/_cdn/*", status=403))
    assert connect(url).probe(REPO, "main", "sub/weights.bin") == {}


def test_nobody_listens() -> None:
    """Where nothing listens, the sentence names the endpoint, without the password in it."""
    with pytest.raises(HubUnreachable) as raised:
        connect("http://me:secret@127.0.0.1:9", patience_s=0.5).info(REPO, "main")
    assert str(raised.value).startswith(
        "http://127.0.0.1:9: no connection to the Hub ([Errno 111] Connection refused);"
    )
    assert "secret" not in repr(raised.value.as_record())


def test_offline_mode_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """HF_HUB_OFFLINE is the user's own switch: it is named, and nothing is tried."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubUnreachable, match=r"HF_HUB_OFFLINE .* is set.*; unset it"):
        connect(url).info(REPO, "main")


@pytest.mark.parametrize("endpoint", ["huggingface.co", "ftp://hub", "http://", ""])
def test_endpoint_must_be_an_address(endpoint: str) -> None:
    """An endpoint that is no http address fails at once, by the setting's name."""
    with pytest.raises(SettingsError, match="HF_ENDPOINT: not an http"):
        HuggingFaceHub(endpoint)


def test_broken_token_is_not_shown(url: str) -> None:
    """A token with a line break in it (copied with its neighbour) is refused by name, unseen."""
    with pytest.raises(SettingsError) as raised:
        connect(url, "hf_one\nhf_two")
    assert str(raised.value).startswith("HF_TOKEN: the token holds characters that no token has")
    assert "hf_one" not in repr(raised.value.as_record())


# --- downloads -------------------------------------------------------------------------------------------------------
def listing(url: str, repo: str = REPO, token: str | None = None) -> tuple[HuggingFaceHub, str, list[ModelFile]]:
    """Return a client, the commit and its files."""
    hub = connect(url, token)
    commit = hub.info(repo, "main").commit
    return hub, commit, list(hub.files(repo, commit))


def below(folder: Path) -> set[str]:
    """Return the paths of every file in a folder."""
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_download_lays_the_files_alone(app: Starlette, url: str, tmp_path: Path) -> None:
    """The folder holds the files and nothing of the client's; progress reaches each file's size."""
    hub, commit, files = listing(url)
    told: list[Progress] = []
    hub.download(REPO, commit, files, tmp_path / "got", told.append)
    assert below(tmp_path / "got") == {"config.json", "sub/weights.bin"}
    assert (tmp_path / "got/sub/weights.bin").read_bytes() == WEIGHTS
    done = {p.key: p.current for p in told if p.state == "done"}
    assert done == {f.path: f.size_bytes for f in files}
    asked = len(calls(app))
    hub.download(REPO, commit, files, tmp_path / "got", tell_nobody)
    assert len(calls(app)) == asked  # all there and right: nothing is asked


def test_download_mends_a_changed_file(url: str, tmp_path: Path) -> None:
    """A file of the right size and other content is fetched again."""
    hub, commit, files = listing(url)
    (tmp_path / "got/sub").mkdir(parents=True)
    (tmp_path / "got/sub/weights.bin").write_bytes(WEIGHTS[:-1] + b"x")
    hub.download(REPO, commit, files, tmp_path / "got", tell_nobody)
    assert (tmp_path / "got/sub/weights.bin").read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    "fault",
    [
        Fault("flip", 1, after_bytes=500),
        Fault("cut", 2, after_bytes=500),
        Fault("status", 2, status=503),
        Fault("status", 1, status=403),
        Fault("rate_limit", 1, wait_s=0),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
def test_download_survives(app: Starlette, url: str, tmp_path: Path, fault: Fault) -> None:
    """A byte that flips, a cut, a 503 or an expired address on the CDN, once or twice, leaves the right files."""
    hub, commit, files = listing(url)
    app.state.faults.append(
        Fault(fault.kind, fault.times, "/_cdn/*", "GET", fault.status, fault.wait_s, fault.after_bytes)
    )
    hub.download(REPO, commit, files, tmp_path / "got", tell_nobody)
    assert (tmp_path / "got/sub/weights.bin").read_bytes() == WEIGHTS
    assert app.state.faults[0].times == 0


def test_download_damaged_for_good(app: Starlette, url: str, tmp_path: Path) -> None:
    """A file that arrives wrong twice is an error, and is not left lying there."""
    hub, commit, files = listing(url)
    app.state.faults.append(Fault("flip", FOREVER, "/_cdn/*"))
    with pytest.raises(HubFailed, match=r"sub/weights.bin arrived damaged twice \(expected sha256:"):
        hub.download(REPO, commit, files, tmp_path / "got", tell_nobody)
    assert "sub/weights.bin" not in below(tmp_path / "got")


def test_download_stops_as_a_whole(app: Starlette, url: str, tmp_path: Path) -> None:
    """Ctrl-C in mid-download ends the other files too, and leaves no half file."""
    hub, commit, files = listing(url)
    app.state.faults.append(Fault("stall", FOREVER, "*/resolve/*/config.json", "GET", wait_s=1))

    def interrupt(progress: Progress) -> None:
        if progress.key == "sub/weights.bin":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hub.download(REPO, commit, files[::-1], tmp_path / "got", interrupt)
    assert not {p for p in below(tmp_path / "got") if not p.startswith(".cache/") or p.endswith(".incomplete")}


def test_download_of_a_gated_repository(app: Starlette, url: str, tmp_path: Path) -> None:
    """With a token that is let in the files come, and the token stays at home; without, it is one sentence."""
    hub, commit, files = listing(url, "org/gated", TOKEN)
    hub.download("org/gated", commit, files, tmp_path / "got", tell_nobody)
    assert below(tmp_path / "got") == {"config.json", "sub/weights.bin"}
    assert not any(c.has_token for c in calls(app) if c.path.startswith("/_cdn"))
    with pytest.raises(AccessDenied, match="no token was sent"):
        connect(url).download("org/gated", commit, files, tmp_path / "none", tell_nobody)


def test_download_where_the_hub_is_down(app: Starlette, url: str, tmp_path: Path) -> None:
    """The client's "can't be found locally" is told as what it is: the Hub's 503."""
    hub, commit, files = listing(url)
    app.state.faults.append(Fault("status", FOREVER, "*/resolve/*", status=418))
    with pytest.raises(HubFailed, match="the Hub answers 418"):
        hub.download(REPO, commit, files, tmp_path / "got", tell_nobody)


def test_download_into_a_place_that_can_not_be_written(url: str, tmp_path: Path) -> None:
    """A folder that can't be is named, with the fix."""
    hub, commit, files = listing(url)
    (tmp_path / "got").mkdir()
    (tmp_path / "got/sub").write_text("a file where a folder must be")
    with pytest.raises(ResolveError, match=r"got: can't write there .*; free some space"):
        hub.download(REPO, commit, files, tmp_path / "got", tell_nobody)


# --- answers ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("says", "name"),
    [
        ({"cardData": {"license": "mit"}}, "mit"),
        ({"cardData": {"license": ["mit", "apache-2.0"]}}, "mit, apache-2.0"),
        ({"cardData": {"license": "other", "license_name": "flux-1-dev-non-commercial-license"}}, None),
        ({"cardData": {"license": "other"}, "tags": ["license:other"]}, "other"),
        ({"tags": ["pytorch", "license:openrail++"]}, "openrail++"),
        ({"cardData": None, "tags": None}, None),
        ({}, None),
    ],
)
def test_licence(says: dict[str, Any], name: str | None) -> None:
    """The licence comes from the model card, else from the tags; an own licence by its own name."""
    expected = says["cardData"]["license_name"] if "license_name" in (says.get("cardData") or {}) else name
    assert licence(says) == expected


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x"])
def test_path_outside_the_repository_is_no_file(path: str) -> None:
    """A listing can't name a place outside the folder that it is laid into."""
    with pytest.raises(ValueError, match="outside"):
        model_file({"path": path, "size": 1, "oid": "0" * 40})


def test_dots_inside_a_name_are_fine() -> None:
    """Two dots within a name climb nowhere."""
    assert model_file({"path": "a/b..c", "size": 1, "oid": "0"}).path == "a/b..c"


def test_parameters_are_counted_by_dtype() -> None:
    """Shapes multiply, scalars count one, metadata is no tensor."""
    header = {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [2, 3]},
        "b": {"dtype": "F32", "shape": []},
        "c": {"dtype": "BF16", "shape": [4]},
    }
    assert parameters(json.dumps(header).encode()) == {"F32": 7, "BF16": 4}


def test_retries_are_silent(tmp_path: Path) -> None:
    """Where nobody set up logging, a fault that passes prints nothing: neither stamina's words nor the client's."""
    write(tmp_path, REPO)
    app = create_hub(tmp_path, faults=[Fault("status", 2)])
    code = """
import sys
from factory.clients.huggingface import HuggingFaceHub
print(HuggingFaceHub(sys.argv[1]).info("org/model", "main").repo)
"""
    with running(app) as url:
        run = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, timeout=60, check=True)
    assert (run.stdout, run.stderr) == ("org/model\n", "")
    assert [call.status for call in calls(app)] == [503, 503, 200]
