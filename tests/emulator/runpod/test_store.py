"""What outlives the emulator."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import stat
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from runpod_box import a_template, an_endpoint

from factory.emulator.runpod.catalogue import Catalogue
from factory.emulator.runpod.clock import StepClock
from factory.emulator.runpod.entities import Container, Cpu, Job, Person
from factory.emulator.runpod.store import StateInUse, Store
from factory.emulator.runpod.world import World

FOREIGN = '{"id": "v1", "name": "n", "size_gb": 10, "data_center": "EU-RO-1", "colour": "red"}'


def test_everything_comes_back_as_it_was(tmp_path: Path) -> None:
    """A whole account, closed and opened again, is equal, nested entities and all."""
    store = Store(tmp_path)
    world = World(StepClock(), Catalogue.snapshot(), store)
    volume = world.create_volume("weights", 100, "EU-RO-1")
    login = world.create_login("dockerhub", "user", "password")
    world.create_secret("HF", "hf_x", "for the Hub")
    world.create_template(a_template(container=Container("i", "run", 20, {"A": "ä"}, ["80/http"], login.id)))
    made = world.create_endpoint(an_endpoint(volume_ids=[volume.id]))
    world.update_endpoint(made.id, an_endpoint(volume_ids=[volume.id], container=Container("other")))
    world.create_endpoint(an_endpoint("cpu", pools=[], cpus=[Cpu("cpu3c", 2)]))
    world.set_person(balance_usd=12.5, worker_quota=20)
    store.close()

    again = World(StepClock(), Catalogue.snapshot(), Store(tmp_path))
    for held in ("volumes", "templates", "endpoints", "logins", "secrets", "person"):
        assert getattr(again, held) == getattr(world, held)
    assert list(again.endpoints) == list(world.endpoints)


def test_jobs_come_back_oldest_first(tmp_path: Path) -> None:
    """The order is that of the first put, whatever changes later; a deleted one is gone."""
    store = Store(tmp_path)
    jobs = [Job(f"job-{n}", "ep", {"input": {"n": n}}, False, float(n), float(n)) for n in (3, 1, 2)]
    for job in jobs:
        store.put("job", job)
    jobs[0].status, jobs[0].output, jobs[0].stream = "COMPLETED", {"deep": [{"a": None}]}, [1, {"b": "ü"}]
    store.put("job", jobs[0])
    store.delete("job", jobs[1].id)
    store.delete("job", "never there")
    store.close()
    assert Store(tmp_path).load("job") == [jobs[0], jobs[2]]


def test_other_versions_fields_do_no_harm(tmp_path: Path) -> None:
    """A field that this version doesn't know is dropped, and a missing one has its default."""
    Store(tmp_path).close()
    with sqlite3.connect(tmp_path / "state.sqlite") as db:
        db.execute("INSERT INTO entity VALUES ('volume', 'v1', ?)", (FOREIGN,))
    (volume,) = Store(tmp_path).load("volume")
    assert (volume.size_gb, volume.tier) == (10, "STANDARD")


def test_a_folder_has_one_emulator(tmp_path: Path) -> None:
    """A second one is refused while the first is there, and let in after it."""
    first = Store(tmp_path)
    with pytest.raises(StateInUse, match="another emulator"):
        Store(tmp_path)
    first.close()
    Store(tmp_path).close()


def test_passwords_are_not_for_everybody(tmp_path: Path) -> None:
    """The file can be read by its owner only."""
    Store(tmp_path).close()
    assert stat.S_IMODE((tmp_path / "state.sqlite").stat().st_mode) == 0o600


def test_what_is_no_state_is_an_error(tmp_path: Path) -> None:
    """A file that isn't ours is not overwritten."""
    (tmp_path / "state.sqlite").write_text("not a database, and long enough to be looked at" * 30)
    with pytest.raises(sqlite3.DatabaseError):
        Store(tmp_path)


def test_person_given_wins_over_the_stored_one(tmp_path: Path) -> None:
    """A balance on the command line is for this account; without one it goes on where it was."""
    for person, expected in ((Person(balance_usd=5), 5), (None, 5), (Person(balance_usd=7), 7)):
        store = Store(tmp_path)
        assert World(StepClock(), Catalogue.snapshot(), store, person).person.balance_usd == expected
        store.close()


def test_kill_loses_nothing_that_was_put(tmp_path: Path) -> None:
    """A process that is killed (SIGKILL) after a put leaves it behind, and the folder free."""
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    process = context.Process(target=_put_until_killed, args=(tmp_path, its))
    process.start()
    last = 0
    while last < 200:
        last = ours.recv()
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    while ours.poll():
        last = ours.recv()
    found = {job.id for job in Store(tmp_path).load("job")}
    assert {f"job-{n}" for n in range(last + 1)} <= found


def _put_until_killed(folder: Path, told: Connection) -> None:
    store = Store(folder)
    for n in range(1_000_000):
        store.put("job", Job(f"job-{n}", "ep", {"input": {"n": n}}, False, 0.0, 0.0))
        told.send(n)
