"""Space: what doesn't fit is refused with numbers, what nobody uses makes room, and what a live worker has stays."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from weights_site import FILES, MB, TOTAL_BYTES, Site, site
from worker_app import SeenLog

from worker_runtime.errors import NoSpace
from worker_runtime.recipe import Model
from worker_runtime.weights import arriving, fetch, patience, space
from worker_runtime.weights.heartbeat import Owner, encode
from worker_runtime.weights.hub import Hub
from worker_runtime.weights.patience import Limits
from worker_runtime.weights.store import Store, directory, write_whole

Bring = Callable[..., fetch.Brought]
OLD = "0" * 40


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pause shortly between attempts."""
    monkeypatch.setattr(patience, "PAUSE_S", 0.02)
    monkeypatch.setattr(space, "MARGIN_BYTES", 100_000)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Site]:
    """A hub and a volume."""
    with site(tmp_path) as found:
        yield found


@pytest.fixture
def small_disk(here: Site) -> Iterator[Callable[[int], None]]:
    """A volume of its own, in memory, of so many MiB; calling it again resizes it."""
    mounted = False

    def size(mebibytes: int) -> None:
        nonlocal mounted
        options = f"{'remount,' if mounted else ''}size={mebibytes}m"
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(here.volume)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"this user may not mount a tmpfs ({done.stderr.strip()}): run it as root")
        mounted = True

    yield size
    if mounted:
        subprocess.run(["umount", "--lazy", str(here.volume)], check=True)


@pytest.fixture
def bring(here: Site, log: SeenLog) -> Bring:
    """Bring models to the volume, up to the READY marker."""

    def run(*models: Model, recipe: str = "test") -> fetch.Brought:
        limits = Limits(connections=2, range_bytes=MB, quiet_s=10, total_s=30)
        how = fetch.How(Hub(here.url, None), limits=limits, dead_s=0.5)
        brought = fetch.bring(here.store, recipe, models or [here.model()], how, log)
        brought.settle()
        return brought

    return run


def add_model(store: Store, name: str, *, is_ready: bool = True, megabytes: int = 4) -> Path:
    """Put another model's folder into the store."""
    folder = store.models / f"{name}@{OLD}"
    folder.mkdir(parents=True)
    (folder / "w.bin").write_bytes(os.urandom(megabytes * MB))
    if is_ready:
        rows = {"w.bin": {"size": megabytes * MB, "digest": "sha256:" + "0" * 64}}
        write_whole(store.models / f"{folder.name}.READY", {"repo": "x/y", "commit": OLD, "files": rows})
    return folder


def test_a_full_disk_before(here: Site, small_disk: Callable[[int], None], bring: Bring) -> None:
    """What doesn't fit is refused before the first byte, with the numbers; nothing of it is left."""
    small_disk(10)
    with pytest.raises(NoSpace) as caught:
        bring()
    needed, total = (TOTAL_BYTES + 100_000) / 1e9, 10 * MB / 1e9
    assert f"needs {needed:.1f} GB, {total:.1f} GB free on {here.volume} ({total:.1f} GB); grow" in str(caught.value)
    assert here.sent_bytes() == 0
    assert not list(here.store.models.iterdir())
    small_disk(30)
    bring().leave()
    here.demand_whole(here.model())


def test_a_disk_that_fills_meanwhile(
    here: Site, small_disk: Callable[[int], None], bring: Bring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quota that is met only when it is hit ends the start; after the volume has grown only the rest is fetched."""
    small_disk(12)
    monkeypatch.setattr(space, "free_bytes", lambda _store: 10**12)  # as a volume whose quota statvfs doesn't know
    monkeypatch.setattr(arriving, "_allocate", os.ftruncate)  # and that can't reserve
    with pytest.raises(NoSpace, match=r"ran full while the weights came, 0\.0 GB free on .*; grow the volume"):
        bring()
    before = here.sent_bytes()
    assert 0 < before < TOTAL_BYTES
    small_disk(30)
    bring().leave()
    here.demand_whole(here.model())
    assert here.sent_bytes() <= TOTAL_BYTES + 2 * MB + 3000


def test_a_reservation_that_fails_is_given_back(
    here: Site, small_disk: Callable[[int], None], bring: Bring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the space is gone although statvfs saw it, nothing is fetched and nothing stays reserved."""
    small_disk(12)
    monkeypatch.setattr(space, "free_bytes", lambda _store: 10**12)
    with pytest.raises(NoSpace, match=r"needs 0\.0 GB"):
        bring()
    assert here.sent_bytes() == 0
    assert not list(here.volume.rglob("*.safetensors"))


def test_what_nobody_uses_makes_room(here: Site, small_disk: Callable[[int], None], bring: Bring) -> None:
    """Other partial downloads go first, then a model that no recipe names and no worker reads; others stay."""
    small_disk(27)
    partial = add_model(here.store, "a--partial", is_ready=False)
    partial.rename(partial.with_name(partial.name + ".partial"))
    unused = add_model(here.store, "a--unused")
    used = add_model(here.store, "a--used")
    read = add_model(here.store, "a--read")
    write_whole(here.store.control / "recipes" / "other.json", {"recipe": "other", "models": [used.name]})
    with _reading(here.store, read.name, is_alive=True):
        bring().leave()
    names = {path.name for path in here.store.models.iterdir()}
    assert used.name in names
    assert read.name in names
    assert f"{read.name}.READY" in names
    assert not {f"{partial.name}.partial", unused.name, f"{unused.name}.READY"} & names
    assert not [name for name in names if name.startswith(".trash")]
    assert not here.store.missing(here.model())


def test_a_dead_reader_protects_nothing(here: Site, small_disk: Callable[[int], None], bring: Bring) -> None:
    """The record of a worker that was killed on another host counts until it was watched long enough, no longer."""
    small_disk(20)
    read = add_model(here.store, "a--read")
    with _reading(here.store, read.name, is_alive=False):
        bring().leave()
    assert not read.exists()


def test_a_live_readers_model_is_never_the_room(here: Site, small_disk: Callable[[int], None], bring: Bring) -> None:
    """When only a live worker's model could make room, the start fails, and that model is ready as before."""
    small_disk(20)
    read = add_model(here.store, "a--read")
    with _reading(here.store, read.name, is_alive=True), pytest.raises(NoSpace):
        bring()
    assert (here.store.models / f"{read.name}.READY").is_file()
    assert len((read / "w.bin").read_bytes()) == 4 * MB


@contextmanager
def _reading(store: Store, name: str, *, is_alive: bool) -> Iterator[None]:
    """Have a worker of another host that reads a model, and beats quickly or not at all."""
    owner = Owner("reader", "other", 1, "1", "another kernel", "another namespace")
    path = store.control / "workers" / "reader.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    stop = threading.Event()

    def beat() -> None:
        beats = 0
        while True:
            beats += 1
            record = encode({"owner": owner.as_fields(), "beat": beats, "models": [name]})
            path.write_bytes(record)
            if not is_alive or stop.wait(0.05):
                return

    thread = threading.Thread(target=beat)
    thread.start()
    while not path.exists():
        time.sleep(0.01)
    yield
    stop.set()
    thread.join()


def test_nothing_goes_while_there_is_room(here: Site, bring: Bring) -> None:
    """Models and partial downloads of others stay where they are as long as nobody needs the space."""
    unused = add_model(here.store, "a--unused")
    partial = add_model(here.store, "a--partial", is_ready=False)
    partial = partial.rename(partial.with_name(partial.name + ".partial"))
    bring().leave()
    assert unused.is_dir()
    assert partial.is_dir()


def test_what_is_stale_for_long_goes_without_need(here: Site, bring: Bring) -> None:
    """A partial download that nobody touched for a week, trash and forgotten drafts are removed by the next leader."""
    partial = add_model(here.store, "a--partial", is_ready=False)
    partial = partial.rename(partial.with_name(partial.name + ".partial"))
    trash = add_model(here.store, ".trash-1", is_ready=False)
    (here.store.control / "recipes").mkdir(parents=True)
    draft = here.store.control / "recipes" / ".trash-draft"
    draft.write_text("{")
    week_ago = here.volume.stat().st_mtime - 8 * 86_400
    for path in (draft, *partial.iterdir(), partial):
        os.utime(path, (week_ago, week_ago))
    bring().leave()
    assert not partial.exists()
    assert not trash.exists()
    assert not draft.exists()
    here.demand_whole(here.model())


def test_two_recipes_keep_each_others_files(here: Site, bring: Bring) -> None:
    """A second selection of the same commit adds its files, and touches none that is ready."""
    one = here.model("config.json", "model-00001.safetensors")
    two = here.model("config.json", "model-00002.safetensors")
    bring(one, recipe="one").leave()
    folder = here.store.folder(one)
    stamps = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.iterdir()}
    bring(two, recipe="two").leave()
    assert not here.store.missing(one)
    assert not here.store.missing(two)
    assert stamps == {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in stamps}
    assert here.sent_bytes() == sum(len(FILES[f"model-0000{n}.safetensors"]) for n in (1, 2)) + len(
        FILES["config.json"]
    )


def test_a_ready_file_that_is_gone(here: Site, bring: Bring) -> None:
    """A file that somebody removed or cut short is fetched again, alone, and the marker never claims it meanwhile."""
    wanted = here.model()
    bring().leave()
    folder = here.store.folder(wanted)
    (folder / "text/vocab.txt").unlink()
    with (folder / "model-00002.safetensors").open("r+b") as stream:
        stream.truncate(100)
    before = here.sent_bytes()
    bring().leave()
    here.demand_whole(wanted)
    assert here.sent_bytes() - before == len(FILES["model-00002.safetensors"]) + len(FILES["text/vocab.txt"])


def test_equal_content_is_stored_once(tmp_path: Path, log: SeenLog) -> None:
    """A file under two names is fetched once and linked, as the sizes of the disks assume."""
    twins = {"a.safetensors": FILES["model-00002.safetensors"], "b/c.safetensors": FILES["model-00002.safetensors"]}
    with site(tmp_path, twins) as here:
        wanted = here.model()
        fetch.bring(here.store, "test", [wanted], fetch.How(Hub(here.url, None)), log).leave()
        assert here.sent_bytes() == 6 * MB
        one, two = (here.store.folder(wanted) / name for name in twins)
        assert one.stat().st_ino == two.stat().st_ino
        two.unlink()
        fetch.bring(here.store, "test", [wanted], fetch.How(Hub(here.url, None)), log).leave()
        assert here.sent_bytes() == 6 * MB
        assert two.read_bytes() == one.read_bytes()


def test_a_warm_start_of_a_thousand_files(tmp_path: Path, log: SeenLog) -> None:
    """With READY there nothing is asked of the network, no lease is taken, and nothing is hashed."""
    store = Store(tmp_path)
    rows = [{"path": f"{n % 10}/{n}.bin", "size_bytes": n, "digest": "sha256:" + "0" * 64} for n in range(1000)]
    block = {"key": "m", "repo": "a/b", "commit": "c" * 40, "placement": "volume", "files": rows}
    wanted = Model.model_validate(block)
    for file in wanted.files:
        path = store.folder(wanted) / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(file.size_bytes))
    store.mark_ready(wanted, {file.path: file for file in wanted.files})
    gone = fetch.How(Hub("http://127.0.0.1:9", None))
    fetch.bring(store, "test", [wanted], gone, log).leave()
    assert not (store.control / "lease").exists()
    assert store.folders_of_recipes() == {directory(wanted)}
    assert not log.events()
