"""Weights: where they are looked for, when they are fetched, and what is refused before the first byte."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from worker_app import SeenLog, listed, model

from factory.emulator.faults import Call, Fault
from factory.emulator.hub import create_hub
from factory.emulator.hub_repos import Repositories
from factory.emulator.serve import running
from worker_runtime import bootstrap, volume
from worker_runtime.errors import (
    HubDenied,
    HubFailed,
    HubNotFound,
    HubUnreachable,
    NoSpace,
    StartError,
    StorageUnwritable,
    VolumeMissing,
    WeightsCorrupt,
    WeightsMissing,
)
from worker_runtime.recipe import Model
from worker_runtime.settings import Settings
from worker_runtime.weights import patience, space

FILES = {
    "config.json": b'{"hidden_size": 8}\n',
    "model-00001.safetensors": bytes(range(256)) * 400,
    "sub/odd [name] #1.txt": b"text\n",
    "unlisted.bin": b"never fetched" * 1000,
}


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry at once."""
    monkeypatch.setattr(patience, "PAUSE_S", 0.01)


@pytest.fixture
def hub_folder(tmp_path: Path) -> Path:
    """A hub's folder with one repository."""
    for name, content in FILES.items():
        path = tmp_path / "hub" / "org" / "tiny" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "hub"


@pytest.fixture
def hub(hub_folder: Path) -> Starlette:
    """The hub over that folder."""
    return create_hub(hub_folder)


@pytest.fixture
def url(hub: Starlette) -> Iterator[str]:
    """Its address."""
    with running(hub) as address:
        yield address


@pytest.fixture
def settings(tmp_path: Path, url: str) -> Settings:
    """Settings with a volume that is a plain folder."""
    (tmp_path / "volume").mkdir()
    return Settings(
        volume=tmp_path / "volume",
        may_volume_be_folder=True,
        image_models=tmp_path / "models",
        disk_cache=tmp_path / "disk",
        hub_endpoint=url,
    )


def tiny(hub_folder: Path, **changes: Any) -> Model:
    """Return recipe.json's block for the repository, without the file that the recipe does not select."""
    commit = changes.pop("commit", None) or _commit(hub_folder)
    files = [row for row in listed(hub_folder / "org" / "tiny") if row["path"] != "unlisted.bin"]
    block = {"placement": "volume", "commit": commit, "repo": "org/tiny", "files": files, **changes}
    return Model.model_validate(model(**{"key": "tiny", **block}))


def _commit(hub_folder: Path) -> str:
    repo = Repositories(hub_folder).get("org/tiny")
    assert repo is not None
    return repo.refs["main"][1].sha


def requests(hub: Starlette) -> list[Call]:
    """Return the hub's log."""
    calls: list[Call] = hub.state.calls
    return calls


def plan(hub: Starlette, *faults: Fault) -> None:
    """Let these things go wrong from now on."""
    hub.state.faults.extend(faults)


@pytest.mark.parametrize("placement", ["volume", "disk"])
def test_fetches_exactly_the_listed_files_once(
    placement: str, hub: Starlette, hub_folder: Path, settings: Settings, log: SeenLog
) -> None:
    """The first start fetches the recipe's files and no other; the second asks nothing of the network."""
    wanted = tiny(hub_folder, placement=placement)
    folder = bootstrap.prepare([wanted], settings, log)["tiny"]
    root = settings.volume if placement == "volume" else settings.disk_cache
    assert folder == root / "models" / f"org--tiny@{wanted.commit}"
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert found == {name: content for name, content in FILES.items() if name != "unlisted.bin"}
    assert log.events("fetched")[-1]["bytes"] == sum(f.size_bytes for f in wanted.files)
    before = len(requests(hub))
    assert before > 0
    assert bootstrap.prepare([wanted], settings, log)["tiny"] == folder
    assert len(requests(hub)) == before


def test_the_second_start_needs_no_hub(hub_folder: Path, settings: Settings, log: SeenLog) -> None:
    """With the weights there, a Hub that is gone is not noticed."""
    wanted = tiny(hub_folder)
    bootstrap.prepare([wanted], settings, log)
    gone = Settings(volume=settings.volume, may_volume_be_folder=True, hub_endpoint="http://127.0.0.1:9")
    assert bootstrap.prepare([wanted], gone, log)["tiny"].is_dir()


def test_only_what_is_missing_is_fetched(hub: Starlette, hub_folder: Path, settings: Settings, log: SeenLog) -> None:
    """A file that vanished is fetched again, alone."""
    wanted = tiny(hub_folder)
    folder = bootstrap.prepare([wanted], settings, log)["tiny"]
    (folder / "config.json").resolve().unlink()
    before = len(requests(hub))
    bootstrap.prepare([wanted], settings, log)
    assert (folder / "config.json").read_bytes() == FILES["config.json"]
    assert all("config.json" in call.path for call in requests(hub)[before:])


def test_a_flipped_byte_is_fetched_again(hub: Starlette, hub_folder: Path, settings: Settings, log: SeenLog) -> None:
    """A file that arrives with one wrong byte is never served: it is fetched once more."""
    plan(hub, Fault("flip", path="/_cdn/*model-00001*", method="GET", after_bytes=1000))
    folder = bootstrap.prepare([tiny(hub_folder)], settings, log)["tiny"]
    assert (folder / "model-00001.safetensors").read_bytes() == FILES["model-00001.safetensors"]
    assert log.events("refetch")[0]["path"] == "model-00001.safetensors"


def test_a_file_that_stays_wrong_is_not_served(
    hub: Starlette, hub_folder: Path, settings: Settings, log: SeenLog
) -> None:
    """Wrong twice is an error with the file's name, and the wrong file is gone, so the next start tries again."""
    plan(hub, Fault("flip", path="/_cdn/*model-00001*", method="GET", after_bytes=5, times=2))
    with pytest.raises(WeightsCorrupt, match=r"model-00001\.safetensors of org/tiny arrived twice"):
        bootstrap.prepare([tiny(hub_folder)], settings, log)
    folder = bootstrap.prepare([tiny(hub_folder)], settings, log)["tiny"]
    assert (folder / "model-00001.safetensors").read_bytes() == FILES["model-00001.safetensors"]


def test_what_was_never_published_is_verified_first(hub_folder: Path, settings: Settings, log: SeenLog) -> None:
    """Without the READY marker a file is not trusted for its size: what is wrong is fetched again, alone."""
    wanted = tiny(hub_folder)
    (brought,) = bootstrap.bring([wanted], settings, log)
    brought.settle()
    folder = bootstrap.folder(wanted, settings)
    folder.with_name(folder.name + ".READY").unlink()
    target = folder / "model-00001.safetensors"
    target.write_bytes(b"x" * target.stat().st_size)
    bootstrap.prepare([wanted], settings, log)
    assert target.read_bytes() == FILES["model-00001.safetensors"]
    assert log.events("fetched")[-1]["bytes"] == target.stat().st_size


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", path="*/resolve/*", status=503, times=2, wait_s=0),
        Fault("status", path="/_cdn/*", status=503),
        Fault("status", path="/_cdn/*", status=403),
        Fault("cut", path="/_cdn/*", method="GET", after_bytes=1000),
        Fault("rate_limit", path="*/resolve/*", wait_s=0),
    ],
    ids=["hub-503", "cdn-503", "cdn-403", "cut", "429"],
)
def test_passing_troubles_are_retried(
    fault: Fault, hub: Starlette, hub_folder: Path, settings: Settings, log: SeenLog
) -> None:
    """One bad answer, which ends the client's own download, does not end the start."""
    plan(hub, fault)
    folder = bootstrap.prepare([tiny(hub_folder)], settings, log)["tiny"]
    assert (folder / "model-00001.safetensors").read_bytes() == FILES["model-00001.safetensors"]


def test_troubles_that_stay(hub: Starlette, hub_folder: Path, settings: Settings, log: SeenLog) -> None:
    """A CDN that answers 503 for ever is an error with the number and the file."""
    plan(hub, Fault("status", path="/_cdn/*", status=503, times=-1))
    with pytest.raises(HubFailed, match=r"the Hub answered 503 for org/tiny@\w+ model-00001"):
        bootstrap.prepare([tiny(hub_folder)], dataclasses.replace(settings, fetch_s=1), log)


def test_no_hub_at_all(hub_folder: Path, settings: Settings, log: SeenLog) -> None:
    """A Hub that can't be reached is told apart from one that refuses."""
    gone = dataclasses.replace(settings, hub_endpoint="http://127.0.0.1:9", fetch_s=0.5)
    with pytest.raises(HubUnreachable, match=r"the connection to 127\.0\.0\.1:9 failed \(ConnectionRefusedError\)"):
        bootstrap.prepare([tiny(hub_folder)], gone, log)


@pytest.mark.parametrize(
    ("says", "changes", "error"),
    [
        ({"gated": "manual", "tokens": ["hf_in"]}, {}, HubDenied),
        ({"private": True, "tokens": ["hf_in"]}, {}, HubNotFound),
        ({}, {"repo": "org/nope"}, HubNotFound),
        ({}, {"commit": "d" * 40}, HubNotFound),
    ],
    ids=["gated", "private", "repo", "commit"],
)
def test_what_the_hub_refuses(
    says: dict[str, Any], changes: dict[str, Any], error: type[StartError], hub_folder: Path, settings: Settings,
    log: SeenLog,
) -> None:  # fmt: skip
    """Gated, private and absent repositories end the start at once, each in its own words."""
    wanted = tiny(hub_folder, **changes)
    (hub_folder / "org" / "tiny" / ".hub.json").write_text(json.dumps({"sha": wanted.commit, **says} if says else {}))
    with pytest.raises(error):
        bootstrap.prepare([wanted], settings, log)


def test_no_volume(tmp_path: Path, hub_folder: Path, log: SeenLog) -> None:
    """Without a mount the weights never go to the container's own disk in silence."""
    wanted = tiny(hub_folder)
    with pytest.raises(VolumeMissing, match="there is no such folder"):
        bootstrap.prepare([wanted], Settings(volume=tmp_path / "none"), log)
    (tmp_path / "plain").mkdir()
    with pytest.raises(VolumeMissing, match="nothing is mounted there"):
        bootstrap.prepare([wanted], Settings(volume=tmp_path / "plain"), log)
    assert not list((tmp_path / "plain").iterdir())


def test_too_little_space(
    hub: Starlette, hub_folder: Path, settings: Settings, log: SeenLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole selection's bytes are compared with the free ones before the first is fetched."""
    usage = shutil._ntuple_diskusage(50_000_000_000, 49_990_000_000, 10_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    monkeypatch.setattr(space, "free_bytes", lambda _store: usage.free)
    with pytest.raises(NoSpace) as caught:
        bootstrap.prepare([tiny(hub_folder)], settings, log)
    sentence = f"needs 0.0 GB, 0.0 GB free on {settings.volume} (50.0 GB); grow the volume to 60 GB"
    assert sentence in str(caught.value)
    assert [call.method for call in requests(hub)] == ["HEAD"]  # access, and nothing more


def test_space_is_not_asked_for_what_is_there(
    hub_folder: Path, settings: Settings, log: SeenLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full volume that holds the weights is fine."""
    wanted = tiny(hub_folder)
    bootstrap.prepare([wanted], settings, log)
    monkeypatch.setattr(space, "free_bytes", lambda _store: 0)
    assert bootstrap.prepare([wanted], settings, log)["tiny"].is_dir()


def test_a_place_that_cannot_be_written(hub_folder: Path, log: SeenLog) -> None:
    """A volume that is read-only is told by its path."""
    with pytest.raises(StorageUnwritable, match="/proc can't be written"):
        bootstrap.prepare([tiny(hub_folder)], Settings(volume=Path("/proc"), may_volume_be_folder=True), log)


def test_weights_in_the_image(hub_folder: Path, settings: Settings, log: SeenLog) -> None:
    """Placement image uses /models/KEY as it is, and names the first file that isn't there."""
    wanted = tiny(hub_folder, placement="image")
    shutil.copytree(hub_folder / "org" / "tiny", settings.image_models / "tiny")
    assert bootstrap.prepare([wanted], settings, log)["tiny"] == settings.image_models / "tiny"
    (settings.image_models / "tiny" / "config.json").write_text("{}")
    with pytest.raises(WeightsMissing, match=r"1 of 3 files of org/tiny are not in .*, first config\.json"):
        bootstrap.prepare([wanted], settings, log)


def test_cached_weights(hub: Starlette, hub_folder: Path, settings: Settings, log: SeenLog) -> None:
    """Placement cached finds RunPod's snapshot of the very commit, offline."""
    wanted = tiny(hub_folder, placement="cached")
    with pytest.raises(WeightsMissing, match="set the endpoint's cached model to org/tiny"):
        bootstrap.prepare([wanted], settings, log)
    cache = settings.volume / "huggingface-cache" / "hub" / "models--org--tiny" / "snapshots" / wanted.commit
    shutil.copytree(hub_folder / "org" / "tiny", cache)
    assert bootstrap.prepare([wanted], settings, log)["tiny"] == cache
    assert not requests(hub)


def test_several_models_keep_their_order(hub_folder: Path, settings: Settings, log: SeenLog) -> None:
    """The first model stays first, whatever its placement: it is the handler's model_dir."""
    shutil.copytree(hub_folder / "org" / "tiny", settings.image_models / "one")
    models = [
        tiny(hub_folder, key="one", placement="image"),
        tiny(hub_folder, key="two"),
        tiny(hub_folder, key="three"),
    ]
    assert list(bootstrap.prepare(models, settings, log)) == ["one", "two", "three"]


def test_a_mount_is_known(tmp_path: Path) -> None:
    """/proc is a mount, a fresh folder is none."""
    assert volume.is_mount(Path("/proc")) == os.path.ismount("/proc")
    assert not volume.is_mount(tmp_path)
