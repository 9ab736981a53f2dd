"""`prefill` against a real S3 server and the emulated hub, held against the worker's own code on the same folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fetch_worker import order, run
from volume_stage import PART_BYTES, Stage, stage
from weights_site import FILES, TOTAL_BYTES

from factory.emulator.faults import FOREVER, Fault
from factory.errors import AccessDenied, FactoryError, HubFailed, StoreFull, StoreMissing, VolumeBusy
from factory.volume import layout
from factory.volume.layout import Place
from worker_runtime.weights.heartbeat import encode
from worker_runtime.weights.store import directory

LARGE = "model-00001.safetensors"


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Stage]:
    """An empty volume, and a hub with one model."""
    with stage(tmp_path) as opened:
        yield opened


def test_a_worker_takes_what_was_prefilled_as_its_own(volume: Stage) -> None:
    """All files are right to the last byte; the worker's code finds the model READY and asks the Hub for nothing."""
    filled = volume.fill()
    assert (filled.files, filled.total_bytes, filled.sent_bytes) == (len(FILES), TOTAL_BYTES, TOTAL_BYTES)
    volume_site = volume.site
    demand_whole(volume)
    assert volume.store.folders_of_recipes() == {directory(volume_site.model())}
    before = len(volume_site.calls)
    code, events = run(order(volume.store.root, volume_site.url, [volume_site.block()]))
    assert code == 0 and events[-1]["event"] == "done", events
    assert len(volume_site.calls) == before


def test_the_marker_is_the_workers_own_to_the_byte(volume: Stage, tmp_path: Path) -> None:
    """Both sides write the same marker and recipe record for the same model."""
    volume.fill()
    model = volume.site.model()
    marker = volume.store.models / (directory(model) + ".READY")
    record = volume.store.control / "recipes" / "demo.json"
    ours = marker.read_bytes(), record.read_bytes()
    volume.store.mark_ready(model, {file.path: file for file in model.files})
    record.unlink()
    volume.store.record_recipe("demo", [model])
    assert (marker.read_bytes(), record.read_bytes()) == ours


def test_factory_reads_what_a_worker_made(volume: Stage) -> None:
    """A model that a worker brought is READY for factory too: nothing is sent, nothing fetched."""
    code, _ = run(order(volume.store.root, volume.site.url, [volume.site.block()]))
    assert code == 0
    before = volume.site.sent_bytes()
    filled = volume.fill()
    assert (filled.sent_bytes, filled.ready_bytes) == (0, TOTAL_BYTES)
    assert volume.site.sent_bytes() == before


def test_a_second_selection_of_one_commit_joins_the_first(volume: Stage) -> None:
    """READY lists the union, and what was ready is not sent again."""
    volume.fill(volume.files("config.json", LARGE))
    assert [file.path for file in volume.store.missing(volume.site.model("config.json", LARGE))] == []
    filled = volume.fill()
    assert filled.sent_bytes == TOTAL_BYTES - len(FILES["config.json"]) - len(FILES[LARGE])
    demand_whole(volume)


def test_what_lies_there_unmarked_is_read_not_sent(volume: Stage) -> None:
    """Without its marker (as after a kill) a right file is hashed where it lies; a wrong one is replaced."""
    volume.fill()
    volume.door.delete(f"models/{directory(volume.site.model())}.READY")
    flip(volume.there(LARGE), 7_000_001)
    filled = volume.fill()
    assert filled.sent_bytes == len(FILES[LARGE])
    demand_whole(volume)


@pytest.mark.parametrize("path", [LARGE, "config.json"])
def test_a_flipped_byte_is_found_and_mended(volume: Stage, path: str) -> None:
    """verify names the file and changes nothing; prefill believes the marker unless told to check."""
    volume.fill()
    assert volume.verify().wrong == ()
    flip(volume.there(path), 5)
    (wrong,) = volume.verify().wrong
    assert wrong.path.endswith(path) and wrong.state == "wrong digest"
    assert volume.fill().sent_bytes == 0
    assert volume.fill(checks_ready=True).sent_bytes == len(FILES[path])
    assert volume.verify().wrong == ()
    demand_whole(volume)


def test_verify_tells_what_is_wrong_with_each_file(volume: Stage) -> None:
    """Absent, too short, and right but not marked are three things."""
    volume.fill()
    place = Place("org/m", volume.site.model().commit)
    volume.door.delete(place.folder + "config.json")
    volume.door.put(place.folder + LARGE, b"short")
    listed = layout.ready(volume.door, place)
    layout.mark_ready(volume.door, place, [file for path, file in listed.items() if path != "text/vocab.txt"])
    states = {wrong.path.rpartition("@")[2].partition("/")[2]: wrong.state for wrong in volume.verify().wrong}
    assert states == {"config.json": "absent", LARGE: "wrong size", "text/vocab.txt": "not marked"}


def test_a_cut_connection_goes_on_where_it_broke(volume: Stage) -> None:
    """The Hub hangs up in the middle of a file three times: each byte is sent once all the same."""
    volume.site.plan(Fault("cut", times=3, path=f"/_cdn*{LARGE}", after_bytes=3 * PART_BYTES + 17))
    assert volume.fill().sent_bytes == TOTAL_BYTES
    demand_whole(volume)
    assert volume.site.sent_bytes() < TOTAL_BYTES + 4 * PART_BYTES


def test_a_byte_that_flips_on_its_way_never_becomes_a_file(volume: Stage) -> None:
    """One damaged transfer is repeated; two are an error, and nothing of the file is to be seen on the volume."""
    volume.site.plan(Fault("flip", path=f"/_cdn*{LARGE}", after_bytes=4_000_000))
    volume.fill()
    demand_whole(volume)
    volume.door.delete(f"models/{directory(volume.site.model())}/{LARGE}")
    volume.site.plan(Fault("flip", times=FOREVER, path=f"/_cdn*{LARGE}", after_bytes=4_000_000))
    with pytest.raises(HubFailed, match="arrived damaged twice"):
        volume.fill()
    assert not volume.there(LARGE).exists()
    assert [file.path for file in volume.store.missing(volume.site.model())] == [LARGE]


def test_a_page_instead_of_the_file_is_no_file(volume: Stage) -> None:
    """A login page that answers 200 is refused by its length."""
    volume.site.plan(Fault("html", times=FOREVER, path=f"*{LARGE}"))
    with pytest.raises(HubFailed, match="something else than the file"):
        volume.fill()


def test_memory_stays_in_its_budget(volume: Stage) -> None:
    """However many files and parts there are, no more than the budget is in memory at once."""
    filled = volume.fill(part_bytes=300_000, budget_bytes=1_000_000)
    assert 600_000 <= filled.peak_bytes <= 1_000_000
    demand_whole(volume)


def test_equal_content_is_sent_once(tmp_path: Path) -> None:
    """A twin is copied on the volume itself."""
    with stage(tmp_path) as opened:
        (opened.site.folder / "twin.safetensors").write_bytes(FILES[LARGE])
        filled = opened.fill()
        assert filled.sent_bytes == TOTAL_BYTES
        assert opened.there("twin.safetensors").read_bytes() == FILES[LARGE]
        assert not opened.store.missing(opened.site.model())


def test_a_gated_model_leaves_nothing_behind(tmp_path: Path) -> None:
    """Without access the sentence is the Hub's, and the volume stays empty."""
    with stage(tmp_path, gated="manual") as opened:
        with pytest.raises(AccessDenied, match="gated"):
            opened.fill()
        assert [path for path in opened.store.root.rglob("*") if path.is_file()] == []


def test_a_volume_that_is_too_small_is_refused_before_the_first_byte(volume: Stage) -> None:
    """The sentence has the numbers, and the size to grow to."""
    volume.volume = replace(volume.volume, size_gb=0)
    with pytest.raises(
        StoreFull, match=r"needs 0\.0 GB, and 0\.0 of 0 GB hold models.*factory volumes grow outputs 10"
    ):
        volume.fill()
    assert volume.site.sent_bytes() == 0


def test_a_recipe_without_weights_on_a_volume_has_nothing_to_fill(volume: Stage) -> None:
    """Placement `disk` and `image` aren't this command's."""
    with pytest.raises(StoreMissing, match="no model of it lies on a network volume"):
        volume.fill(volume.files(placement="disk"))


# --- beside a worker ---------------------------------------------------------------------------------------------
def lease(volume: Stage, **says: object) -> Path:
    """Write a worker's lease."""
    path = volume.store.control / "lease" / "12"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode({"owner": {"host": "w"}, "stale_s": 1, **says}))
    return path


def test_a_worker_that_fetches_is_not_disturbed(volume: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease whose record changes is a live worker's: VolumeBusy, and nothing is written."""
    path = lease(volume, beat=1)
    real = layout.read_json

    def beating(*arguments: object) -> object:
        found = real(*arguments)  # type: ignore[arg-type]
        lease(volume, beat=path.stat().st_mtime_ns)
        return found

    monkeypatch.setattr(layout, "read_json", beating)
    with pytest.raises(VolumeBusy, match="a worker is fetching"):
        volume.fill()
    assert not volume.store.models.exists()


@pytest.mark.parametrize("says", [{"beat": 7}, {"beat": 7, "released": True}])
def test_a_lease_of_the_past_is_no_hindrance(volume: Stage, says: dict[str, object]) -> None:
    """A worker that died, or is done, doesn't keep the volume."""
    lease(volume, **says)
    volume.fill()
    demand_whole(volume)


def test_a_worker_that_was_quicker_keeps_its_files(volume: Stage) -> None:
    """A large file that became READY while it was sent is not replaced under a worker that has it open."""
    whole = volume.files(LARGE)
    done = False

    class Late(type(volume.door)):  # type: ignore[misc]
        def parts(self, path: str, upload_id: str) -> None:
            raise AssertionError("there is no earlier upload")

        def begin(self, path: str) -> str:
            nonlocal done
            code, _ = run(order(volume.store.root, volume.site.url, [volume.site.block(LARGE)]))
            assert code == 0
            done = True
            return str(super().begin(path))

    late = Late("outputs", "EU-RO-1", volume.s3.endpoint_url, *volume.door._keys)
    inode = None
    try:
        volume.fill(whole, door=late)
        inode = volume.there(LARGE).stat().st_ino
    except FactoryError as error:  # pragma: no cover
        raise AssertionError(str(error)) from error
    assert done and inode == volume.there(LARGE).stat().st_ino
    assert volume.s3.requests("CompleteMultipartUpload") == 0
    assert not volume.store.missing(volume.site.model(LARGE))


# --- what must hold ----------------------------------------------------------------------------------------------
def flip(path: Path, position: int) -> None:
    """Invert one byte."""
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)
        file.seek(position)
        file.write(bytes([byte[0] ^ 0xFF]))


def demand_whole(volume: Stage) -> None:
    """Demand that the model is READY by the worker's own code, right to the last byte, with nothing else beside it."""
    wanted = volume.site.model()
    assert not volume.store.missing(wanted)
    for file in wanted.files:
        content = volume.there(file.path).read_bytes()
        assert hashlib.sha256(content).digest() == hashlib.sha256(FILES[file.path]).digest(), file.path
    assert {path.name for path in volume.store.models.iterdir()} == {directory(wanted), directory(wanted) + ".READY"}
