"""The lease: exactly one leader at any time, a dead one followed, a live one never."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from worker_runtime.weights import heartbeat, lease
from worker_runtime.weights.heartbeat import Owner
from worker_runtime.weights.lease import Contender, Lease, LeaseLost


def somewhere_else() -> Owner:
    """Return an owner on another host."""
    return dataclasses.replace(Owner.this_process(), kernel="another", host="other")


def contender(folder: Path, owner: Owner | None = None, stale_s: float = 0.4) -> Contender:
    """Return a contender on another host than all others."""
    return Contender(folder, owner or dataclasses.replace(Owner.this_process(), kernel=os.urandom(4).hex()), stale_s)


@contextmanager
def leading(folder: Path, owner: Owner, stale_s: float = 0.4) -> Iterator[Lease]:
    """Lead while the block runs."""
    held = Contender(folder, owner, stale_s).try_to_lead()
    assert held is not None
    held.start()
    try:
        yield held
    finally:
        held.release()


def lead_within(other: Contender, limit_s: float) -> Lease | None:
    """Try again and again."""
    end_s = time.monotonic() + limit_s
    while time.monotonic() < end_s:
        if (held := other.try_to_lead()) is not None:
            return held
        time.sleep(0.02)
    return None


def test_a_live_leader_is_never_robbed(tmp_path: Path) -> None:
    """While it beats nobody else leads, though many try for several stale times; after the release one does."""
    others = [contender(tmp_path) for _ in range(5)]
    with leading(tmp_path, somewhere_else()) as held:
        assert not any(lead_within(other, 0.4) for other in others)
        held.confirm()
        assert others[0].record["owner"]["host"] == "other"
    assert lead_within(others[0], 5) is not None
    assert others[1].try_to_lead() is None


def test_a_lease_of_another_host_goes_stale(tmp_path: Path) -> None:
    """A record that stands still is followed after the time that its owner promised, not before."""
    held = Contender(tmp_path, somewhere_else(), 0.5).try_to_lead()
    assert held is not None  # and never beats
    other = contender(tmp_path, stale_s=60)
    began = time.monotonic()
    follower = lead_within(other, 10)
    assert follower is not None
    assert time.monotonic() - began >= 0.5
    with pytest.raises(LeaseLost):
        held.confirm()
    with pytest.raises(LeaseLost):
        held.check()
    held.release()  # says nothing: the lease is another's
    assert heartbeat.decode((tmp_path / "2").read_bytes())["released"] is False
    follower.release()


@pytest.mark.parametrize("content", [b"", b"{", b"\0" * 1024, b'{"owner":5,"stale_s":"x"}'])
def test_a_broken_record_goes_stale(content: bytes, tmp_path: Path) -> None:
    """A worker killed between making the file and writing it, or a torn record, holds nobody up for ever."""
    (tmp_path / "7").write_bytes(content)
    held = lead_within(contender(tmp_path), 10)
    assert held is not None
    assert held.epoch == 8
    assert sorted(p.name for p in tmp_path.iterdir()) == ["8"]
    held.release()


def test_a_dead_process_of_this_machine_is_seen_at_once(tmp_path: Path) -> None:
    """Where both are in one process namespace nobody waits for the heartbeat of a dead one."""
    code = (
        "from worker_runtime.weights.lease import *; from worker_runtime.weights.heartbeat import Owner; import sys; "
    )
    code += "from pathlib import Path; Contender(Path(sys.argv[1]), Owner.this_process(), 3600).try_to_lead()"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    held = Contender(tmp_path, Owner.this_process(), 3600).try_to_lead()
    assert held is not None
    held.release()


def test_who_is_surely_dead() -> None:
    """Only an owner of the same kernel and namespace, whose process is gone or another one now, is surely dead."""
    me = Owner.this_process()
    alive = me.as_fields()
    assert not me.sees_dead(alive)
    assert me.sees_dead({**alive, "started": "1"})
    assert me.sees_dead({**alive, "pid": 2**22 + 1})
    assert not me.sees_dead({**alive, "started": "1", "kernel": "x"})
    assert not me.sees_dead({**alive, "started": "1", "namespace": "x"})
    for broken in (None, 5, {}, {**alive, "pid": "x"}, {**alive, "pid": None}, {**alive, "started": ""}):
        assert not me.sees_dead(broken)
    assert not dataclasses.replace(me, kernel="").sees_dead({**alive, "kernel": "", "started": "1"})


def test_a_late_contender_does_not_lead_an_epoch_of_the_past(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that slept between looking and creating, while later epochs came and went, notices and withdraws."""
    with leading(tmp_path, Owner.this_process()):
        pass
    sleeper = contender(tmp_path)
    real = lease.highest
    looks = [real(tmp_path)]  # what it saw before it slept
    for _ in range(2):
        with leading(tmp_path, Owner.this_process()):
            pass
    assert sorted(p.name for p in tmp_path.iterdir()) == ["3"]
    monkeypatch.setattr(Contender, "_is_over", lambda _self, _epoch: True)
    monkeypatch.setattr(lease, "highest", lambda folder: looks.pop() if looks else real(folder))
    assert sleeper.try_to_lead() is None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["3"]


def _race(folder: str, barrier: Barrier, rounds: int, results: str) -> None:
    """Contend for a stale lease, many times, in a process of its own."""
    won = []
    for number in range(rounds):
        place = Path(folder) / str(number)
        mine = contender(place, stale_s=0.05)
        mine.try_to_lead()  # takes the first look
        time.sleep(0.06)
        barrier.wait()
        if (held := mine.try_to_lead()) is not None:
            won.append((number, held.epoch))
        barrier.wait()
    Path(results).write_text(json.dumps(won))


def test_takeover_races(tmp_path: Path) -> None:
    """Six processes pounce on each of many stale leases at the same moment: each time exactly one leads."""
    rounds, racers = 25, 6
    for number in range(rounds):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "1").write_bytes(b"of a worker that is gone")
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(racers)
    arguments = [(str(tmp_path), barrier, rounds, str(tmp_path / f"won-{n}")) for n in range(racers)]
    processes = [context.Process(target=_race, args=each) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    won = [tuple(pair) for n in range(racers) for pair in json.loads((tmp_path / f"won-{n}").read_text())]
    assert sorted(number for number, _ in won) == list(range(rounds))
    assert {epoch for _, epoch in won} == {2}


def test_threads_hand_the_lease_on(tmp_path: Path) -> None:
    """Many contenders, each leading for a moment: never two at once, and each gets its turn."""
    inside, most, turns = 0, 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal inside, most, turns
        mine = contender(tmp_path, stale_s=5)
        held = lead_within(mine, 30)
        assert held is not None
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.002)
        held.confirm()
        with lock:
            inside -= 1
            turns += 1
        held.release()

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, turns) == (1, 12)
    assert lease.highest(tmp_path) == 12
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_does_not_stop_the_heartbeat(tmp_path: Path) -> None:
    """A record keeps its size, whatever it says: it is rewritten in place and needs no room."""
    with leading(tmp_path, Owner.this_process()) as held:
        held.progress = lambda: {"done_bytes": 69_000_000_000, "total_bytes": 69_000_000_000, "left_s": 1234567}
        held.beat()
        assert (tmp_path / "1").stat().st_size == heartbeat.RECORD_BYTES
