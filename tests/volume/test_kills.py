"""SIGKILL in the middle of a prefill: the next run sends only what had not arrived, and a worker finds all READY."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import prefill_process
import pytest
from volume_stage import PART_BYTES, Stage, stage
from weights_site import FILES, TOTAL_BYTES

from factory.clients.huggingface import READ_BYTES
from factory.emulator.faults import FOREVER, Fault
from factory.volume.layout import Place
from worker_runtime.weights.store import directory

LARGE = "model-00001.safetensors"
ARRIVED = 5  # parts of the large file


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Stage]:
    """An empty volume, and a hub with one model."""
    with stage(tmp_path) as opened:
        yield opened


def kill_in_the_middle(volume: Stage, *paths: str) -> None:
    """Run a prefill whose large file stands still after some parts, and kill it there."""
    stands_still_at = ARRIVED * PART_BYTES + READ_BYTES  # the Hub's client hands on pieces of that size
    volume.site.plan(Fault("stall", times=FOREVER, path=f"/_cdn*{LARGE}", after_bytes=stands_still_at, wait_s=120))
    process = prefill_process.start(volume.site.url, volume.s3.endpoint_url, volume.files(*paths), PART_BYTES)
    try:
        until(lambda: len(arrived(volume)) == ARRIVED and process.poll() is None)
    finally:
        process.kill()
        process.wait()
    volume.site.app.state.faults.clear()


def arrived(volume: Stage) -> dict[int, str]:
    """Return the parts of the large file that the server has."""
    place = Place("org/m", volume.site.model().commit)
    note = volume.store.root / f"{place.uploads}{LARGE}.json"
    if not note.exists() or not (text := note.read_text()):
        return {}
    return dict(volume.door.parts(place.folder + LARGE, json.loads(text)["upload_id"]) or {})


def until(condition: Callable[[], bool], deadline_s: float = 60) -> None:
    """Wait for it."""
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, "too late"
        time.sleep(0.05)


def test_parts_that_arrived_are_not_sent_again(volume: Stage) -> None:
    """After SIGKILL nothing of the file is to be seen; the next run keeps its parts and sends the others."""
    kill_in_the_middle(volume, LARGE)
    assert not volume.there(LARGE).exists()
    filled = volume.fill(volume.files(LARGE))
    assert filled.kept_bytes == ARRIVED * PART_BYTES
    assert filled.sent_bytes == len(FILES[LARGE]) - filled.kept_bytes
    assert volume.there(LARGE).read_bytes() == FILES[LARGE]
    assert not volume.store.missing(volume.site.model(LARGE))
    wanted = directory(volume.site.model())
    assert {path.name for path in volume.store.models.iterdir()} == {wanted, wanted + ".READY"}


def test_files_that_were_complete_are_believed(volume: Stage) -> None:
    """A large file that was whole before the kill is in the marker, and a small one is read where it lies."""
    kill_in_the_middle(volume)
    filled = volume.fill()
    assert filled.sent_bytes + filled.kept_bytes + filled.ready_bytes == TOTAL_BYTES
    assert filled.kept_bytes >= ARRIVED * PART_BYTES
    assert not volume.store.missing(volume.site.model())


def test_parts_of_another_content_are_not_believed(volume: Stage) -> None:
    """A part counts as arrived only when its tag is that of the Hub's bytes; else the file comes anew, whole."""
    kill_in_the_middle(volume, LARGE)
    place = Place("org/m", volume.site.model().commit)
    path, note = place.folder + LARGE, f"{place.uploads}{LARGE}.json"
    says = json.loads((volume.store.root / note).read_text())
    other = volume.door.begin(path)
    volume.door.send_part(path, other, 1, b"x" * PART_BYTES)
    volume.door.put(note, json.dumps({**says, "upload_id": other}).encode())
    filled = volume.fill(volume.files(LARGE))
    assert (filled.kept_bytes, filled.sent_bytes) == (0, len(FILES[LARGE]))
    assert volume.there(LARGE).read_bytes() == FILES[LARGE]
    assert volume.door.parts(path, other) is None


def test_an_upload_that_the_server_forgot_begins_anew(volume: Stage) -> None:
    """A note without its upload costs nothing but the bytes."""
    kill_in_the_middle(volume, LARGE)
    place = Place("org/m", volume.site.model().commit)
    note = json.loads((volume.store.root / f"{place.uploads}{LARGE}.json").read_text())
    volume.door.abort(place.folder + LARGE, note["upload_id"])
    filled = volume.fill(volume.files(LARGE))
    assert (filled.kept_bytes, filled.sent_bytes) == (0, len(FILES[LARGE]))
    assert not volume.store.missing(volume.site.model(LARGE))
