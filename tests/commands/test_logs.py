"""`factory logs` as a user types it: several workers, lines that come, connections that break, lines that are kept."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from forked_cli import Done, ForkedCli, Process, forked_cli
from runpod_box import Emulated, an_endpoint, emulated
from sights import Desk

from factory.emulator.faults import Fault
from factory.emulator.runpod.box import Box
from factory.emulator.runpod.clock import RealClock
from factory.emulator.runpod.launch_inline import InlineLauncher
from factory.emulator.runpod.launcher import Handle, LogSource, Order, Say


class Talking(InlineLauncher):
    """Workers that print what a test wants; `says` by worker id, in the order in which they started."""

    def __init__(self) -> None:
        super().__init__()
        self.says: dict[str, Say] = {}

    async def start(self, order: Order, say: Say) -> Handle:
        """Start a worker, and keep its voice."""
        self.says[order.worker.id] = say
        return await super().start(order, say)


TALKING = Talking()


@pytest.fixture(scope="module")
def cli() -> Iterator[ForkedCli]:
    """What processes are forked from."""
    with forked_cli() as forks:
        yield forks


@pytest.fixture(scope="module")
def served() -> Iterator[Emulated]:
    """An account on the real clock."""
    with emulated(clock=RealClock(), launcher=TALKING) as box:
        yield box


@pytest.fixture
def desk(served: Emulated, cli: ForkedCli, tmp_path: Path) -> Iterator[Desk]:
    """The account, without an endpoint."""
    served.empty()
    TALKING.says.clear()
    yield Desk(served, cli, tmp_path)


def workers(desk: Desk, number: int) -> list[str]:
    """Have an endpoint with so many workers, and return their ids."""
    desk.runpod.call(lambda box: box.world.create_endpoint(an_endpoint("demo", workers_min=number, workers_max=5)))
    until(lambda: len(TALKING.says) == number)
    return list(TALKING.says)


def until(holds: Callable[[], object], deadline_s: float = 20) -> None:
    """Wait until something holds."""
    end = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def say(desk: Desk, worker: str, *lines: str, source: LogSource = "container") -> None:
    """Let a worker print lines."""
    for line in lines:
        time.sleep(0.002)  # RunPod's times have milliseconds: so that no two are alike
        desk.runpod.call(partial(_say, worker, source, line))


def _say(worker: str, source: LogSource, line: str, _box: Box) -> None:
    TALKING.says[worker](source, line)


def interrupt(process: Process) -> Done:
    """Press Ctrl-C, and return what the process left."""
    os.kill(process.pid, signal.SIGINT)
    return process.wait(10)


def printed(process: Process) -> str:
    """What it has printed so far."""
    return (process.folder / "out").read_text()


@pytest.mark.parametrize("api", ["rest", "graphql"])
def test_lines_of_several_workers_are_one_story(desk: Desk, api: str) -> None:
    """Merged by time, each with its worker; the runtime's events in words."""
    desk.api = api
    first, second = workers(desk, 2)
    say(desk, first, '{"event": "phase", "phase": "weights", "seconds": 12.3}')
    say(desk, second, "plain words")
    say(desk, first, '{"requestId": "j1", "message": "Started.", "level": "INFO"}')
    done = desk.run("logs", "demo", "--source", "container")
    assert done.code == 0, done.err
    assert [line.split(" ", 2)[2] for line in done.out.splitlines()] == [
        f"{first} weights took 12 s",
        f"{second} plain words",
        f"{first} info [j1] Started.",
    ]


def test_json_is_each_line_as_it_came(desk: Desk) -> None:
    """One object a line, with RunPod's id of it."""
    (worker,) = workers(desk, 1)
    event = '{"event": "phase", "phase": "load", "seconds": 1}'
    say(desk, worker, event)
    rows = [json.loads(line) for line in desk.run("logs", "demo", "--json").out.splitlines()]
    assert rows[0]["source"] == "system" and rows[-1]["line"] == event
    assert rows[-1]["worker"] == worker and rows[-1]["id"].startswith(rows[-1]["ts"])


ASKED: list[tuple[list[str], list[str]]] = [
    (["--source", "system", "--grep", "create"], ["create container localhost:5000/org/worker:1"]),
    (["--grep", "lin. [23]$"], ["line 2", "line 3"]),
    (["--grep", "line", "--tail", "1"], ["line 3"]),
    (["--tail", "2"], ["line 2", "line 3"]),
    (["--since", "2000-01-01T00:00:00Z", "--source", "container"], ["line 1", "line 2", "line 3"]),
    (["--since", "1h", "--grep", "line 1"], ["line 1"]),
    (["--since", "2100-01-01"], []),
]


def test_what_is_asked_for_is_shown(desk: Desk) -> None:
    """By source, pattern, time and number."""
    (worker,) = workers(desk, 1)
    say(desk, worker, "line 1", "line 2", "line 3")
    for (arguments, shown), process in [(asked, desk.start("logs", "demo", *asked[0])) for asked in ASKED]:
        done = process.wait()
        assert (done.code, done.err) == (0, ""), arguments
        assert [line.split(" ", 3)[3] for line in done.out.splitlines()] == shown, arguments


def test_one_worker_by_the_beginning_of_its_id(desk: Desk) -> None:
    """Another's lines stay out; an id that nobody has is an error that names those there are."""
    first, second = workers(desk, 2)
    say(desk, first, "mine")
    say(desk, second, "other")
    done = desk.run("logs", "demo", "--worker", first[:-1], "--source", "container")
    assert "mine" in done.out and "other" not in done.out
    gone = desk.run("logs", "demo", "--worker", "zzz")
    assert gone.code == 95 and "no worker zzz" in gone.err and first in gone.err


@pytest.mark.parametrize(("option", "value"), [("--since", "yesterday"), ("--grep", "(")])
def test_each_slip_is_a_sentence(desk: Desk, option: str, value: str) -> None:
    """A time or pattern that is none is said before anything is asked."""
    done = desk.run("logs", "demo", option, value)
    assert done.code == 3 and f"{option}: {value!r} is no" in done.err


def test_nobody_has_said_anything(desk: Desk) -> None:
    """An endpoint that sleeps has no lines, and that is no error; an unknown one is."""
    desk.runpod.call(lambda box: box.world.create_endpoint(an_endpoint("demo")))
    done = desk.run("logs", "demo")
    assert (done.code, done.out) == (0, "") and "no line" in done.err
    assert desk.run("logs", "other").code == 95


def test_a_log_that_cannot_be_read_does_not_hide_the_others(desk: Desk) -> None:
    """The rest is shown, the gap named, and its exit code the command's."""
    first, second = workers(desk, 2)
    say(desk, second, "still here")
    desk.runpod.faults.append(Fault("status", path=f"/v2/serverless/*/workers/{first}/logs", status=500))
    done = desk.run("logs", "demo")
    assert done.code == 83 and "still here" in done.out and f"the log of worker {first}" in done.err


def test_lines_are_kept_each_once(desk: Desk) -> None:
    """A file a worker; a second run adds what is new alone, also to a file whose last line a kill cut off."""
    (worker,) = workers(desk, 1)
    path = desk.folder / "kept" / f"{worker}.jsonl"
    say(desk, worker, "line 1")
    done = desk.run("logs", "demo", "--save", "kept", "--grep", "nothing of this")
    assert done.out == "" and "kept 3 new lines in kept" in done.err
    path.write_bytes(path.read_bytes()[:-5])
    say(desk, worker, "line 2")
    assert "kept 2 new lines" in desk.run("logs", "demo", "--save", "kept").err
    assert "kept 0 new lines" in desk.run("logs", "demo", "--save", "kept").err
    rows = path.read_text().splitlines()
    assert len(rows) == 5 and [json.loads(row)["line"] for row in rows[3:]] == ["line 1", "line 2"]


def test_a_folder_that_cannot_be_written(desk: Desk) -> None:
    """It is said in a sentence."""
    workers(desk, 1)
    (desk.folder / "kept").write_text("a file")
    done = desk.run("logs", "demo", "--save", "kept/in")
    assert done.code == 3 and "can't be written" in done.err and "choose another --save" in done.err


def test_following_goes_on_through_a_broken_connection_and_new_workers(desk: Desk) -> None:
    """Lines come as they are said, each once; a worker that starts meanwhile joins; Ctrl-C ends with 130."""
    (first,) = workers(desk, 1)
    endpoint_id = next(iter(desk.runpod.box.world.endpoints))
    desk.runpod.faults.append(Fault("cut", path="/v2/serverless/*/logs", after_bytes=300))
    process = desk.start("logs", "demo", "--follow", "--save", "kept")
    process.until(lambda: "create container" in printed(process), "the first line")
    for number in range(20):
        say(desk, first, f"line {number}")
    process.until(lambda: "line 19" in printed(process), "the lines after the cut")

    def grow(box: object) -> None:
        held = desk.runpod.box.world.endpoints[endpoint_id]
        held.workers_min = 2

    desk.runpod.call(grow)
    until(lambda: len(TALKING.says) == 2)
    second = list(TALKING.says)[1]
    say(desk, second, "I am new")
    process.until(lambda: "I am new" in printed(process), "the new worker's line")
    done = interrupt(process)
    assert done.code == 130 and "Traceback" not in done.err and "kept " in done.err
    for number in range(20):
        assert done.out.count(f"line {number}\n") == 1
    assert (desk.folder / "kept" / f"{second}.jsonl").read_text().count("I am new") == 1


def test_following_an_endpoint_that_sleeps(desk: Desk) -> None:
    """It says that it waits, and shows the first worker when one comes."""
    desk.runpod.call(lambda box: box.world.create_endpoint(an_endpoint("demo")))
    process = desk.start("logs", "demo", "-f")
    process.until(lambda: "waiting for one" in process.err, "saying that it waits")
    endpoint_id = next(iter(desk.runpod.box.world.endpoints))
    desk.runpod.call(lambda box: setattr(box.world.endpoints[endpoint_id], "workers_min", 1))
    process.until(lambda: "create container" in printed(process), "the first worker's line")
    assert interrupt(process).code == 130
