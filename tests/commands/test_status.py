"""`factory status` as a user types it, over both APIs, on accounts in several states."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from forked_cli import ForkedCli, forked_cli
from runpod_box import Emulated, an_endpoint, emulated
from sights import Desk, submit

from factory.account import JobResult
from factory.emulator.faults import FOREVER, Fault
from factory.emulator.runpod.box import Box
from factory.emulator.runpod.clock import RealClock
from factory.emulator.runpod.launch_inline import InlineLauncher
from factory.emulator.runpod.troubles import Crash, EndpointGone, Throttled
from factory.ledger import Ledger


def answer(job_input: Any) -> Any:
    """Fail when asked to."""
    if "fail" in job_input:
        raise ValueError(job_input["fail"])
    return job_input


@pytest.fixture(scope="module")
def cli() -> Iterator[ForkedCli]:
    """What processes are forked from."""
    with forked_cli() as forks:
        yield forks


@pytest.fixture(scope="module")
def served() -> Iterator[Emulated]:
    """An account with workers that answer at once, on the real clock."""
    with emulated(clock=RealClock(), launcher=InlineLauncher(answer)) as box:
        yield box


@pytest.fixture(params=["rest", "graphql"])
def desk(served: Emulated, cli: ForkedCli, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Desk]:
    """The account, empty, over one of the APIs."""
    served.call(lambda box: box.troubles.clear())
    served.empty()
    yield Desk(served, cli, tmp_path, api=request.param)
    served.call(lambda box: box.troubles.clear())


def endpoint(desk: Desk, name: str = "demo", **fields: object) -> str:
    """Make an endpoint, and return its id."""
    draft = an_endpoint(name, scaler_value=0.5, **{"idle_timeout_s": 600, **fields})
    return desk.runpod.call(lambda box: box.world.create_endpoint(draft)).id


def until(desk: Desk, holds: Callable[[Box], object]) -> None:
    """Wait until something holds in the box."""
    deadline = time.monotonic() + 20
    while not desk.runpod.call(holds):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def status(desk: Desk, *arguments: str) -> dict[str, Any]:
    """What `factory status … --json` prints."""
    done = desk.run("status", *arguments, "--json")
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def test_a_serving_endpoint(desk: Desk) -> None:
    """Worker, queue, release and money of one that answers; a failed job's sentence comes without its wrapping."""
    endpoint_id = endpoint(desk, workers_min=1)
    desk.runpod.call(lambda box: submit(box, endpoint_id, fail="no prompt"))
    until(desk, lambda box: box.jobs.counts(endpoint_id)["failed"])
    (one,) = status(desk, "demo")["endpoints"]
    assert (one["name"], one["id"], one["pools"]) == ("demo", endpoint_id, ["ADA_24"])
    assert one["worker_count"] == 1 and one["on_version"] == 1 and one["version"] == 1
    assert one["states"][0]["state"] == "idle"
    assert one["jobs"]["failed"] == 1 and one["oldest_wait"] is None
    assert [(f["state"], f["sentence"]) for f in one["failures"]] == [("FAILED", "ValueError: no prompt")]
    until(desk, lambda box: box.world.now() - (box.fleet.workers(endpoint_id)[0].started_at or 0) > 1.1)
    assert status(desk, "demo")["endpoints"][0]["usd_per_h"] == pytest.approx(1.1, abs=0.2)
    assert isinstance(one["usd_24h"], float)
    text = desk.run("status", "demo").out
    assert "1 failed" in text and "no prompt" in text and "version 1" in text and "an hour now" in text


def test_a_queue_without_a_gpu_says_so(desk: Desk) -> None:
    """Throttled means no GPU; how long the oldest job waits comes from the ledger of this machine."""
    desk.runpod.call(lambda box: box.troubles.add(Throttled("demo")))
    endpoint_id = endpoint(desk)
    job_id = desk.runpod.call(lambda box: submit(box, endpoint_id, a=1))
    Ledger(desk.folder / "home" / "jobs.sqlite").add(endpoint_id, "demo", JobResult(job_id, "IN_QUEUE"))
    until(desk, lambda box: box.fleet.counts(endpoint_id)["throttled"])
    (one,) = status(desk, "demo")["endpoints"]
    assert one["jobs"]["inQueue"] == 1 and one["oldest_wait"]["said_by"] == "this machine's ledger"
    assert one["verdict"] == "no free GPU" and one["usd_per_h"] == 0
    assert "1 throttled: no free GPU of these pools there" in desk.run("status", "demo").out


def test_workers_that_crash_are_not_called_capacity(desk: Desk) -> None:
    """Unhealthy workers and a waiting job: crashing, not starting."""
    desk.runpod.call(lambda box: box.troubles.add(Crash("demo", exit_code=139)))
    endpoint_id = endpoint(desk)
    desk.runpod.call(lambda box: submit(box, endpoint_id, a=1))
    until(desk, lambda box: box.fleet.counts(endpoint_id)["unhealthy"])
    (one,) = status(desk)["endpoints"]
    if one["states"][0]["state"] == "unhealthy":  # between two tries it is, for a moment, starting anew
        assert one["verdict"] == "crashing"


def test_an_account_is_a_line_an_endpoint(desk: Desk) -> None:
    """Sorted by name, with what sleeps and what is off; nothing is asked of an endpoint that has no workers."""
    for name, fields in (("zeta", {}), ("alpha", {"workers_max": 0})):
        endpoint(desk, name, **fields)
    desk.runpod.calls.clear()
    done = desk.run("status")
    assert done.code == 0 and done.err == ""
    assert [line.split()[0] for line in done.out.splitlines()[2:]] == ["alpha", "zeta"]
    assert "off: workers max is 0" in done.out and "asleep: the next job starts a worker" in done.out
    assert re.search(r"balance \$\d+", done.out)
    assert len([c for c in desk.runpod.calls if c.path.startswith(("/v2/serverless", "/graphql"))]) <= 3


def test_an_empty_account(desk: Desk) -> None:
    """No endpoint is no error."""
    done = desk.run("status")
    assert (done.code, done.err) == (0, "") and "no endpoints" in done.out


def test_a_recipe_means_its_endpoint(desk: Desk) -> None:
    """By file, by name, by id: the same endpoint; named twice it is shown once."""
    (desk.folder / "demo.yaml").write_text("name: demo\nimage: {repository: acme/demo}\nhandler: echo\n")
    endpoint_id = endpoint(desk)
    assert [one["id"] for one in status(desk, "demo.yaml", "demo", endpoint_id)["endpoints"]] == [endpoint_id]


def test_what_fails_is_named_and_the_rest_is_shown(desk: Desk) -> None:
    """The bill, or one endpoint's queue, that can't be had is said on stderr; its exit code is the command's."""
    endpoint(desk)
    desk.runpod.faults.append(Fault("status", FOREVER, "/v2/billing/*", status=500))
    done = desk.run("status")
    assert done.code == 83 and "demo" in done.out and "not shown: the bill of the last 24 hours: " in done.err
    desk.runpod.faults.clear()
    desk.runpod.call(lambda box: box.troubles.add(EndpointGone("demo")))
    done = desk.run("status", "--json")
    assert done.code == 95 and "not shown: the queue of demo" in done.err
    record = json.loads(done.out)
    assert record["endpoints"][0]["jobs"] == {} and record["gaps"][0]["error"]["code"] == "endpoint_not_found"


def test_an_unknown_name_does_not_hide_the_others(desk: Desk) -> None:
    """The endpoint that is there is shown, the other is exit code 95."""
    endpoint(desk)
    done = desk.run("status", "demo", "other")
    assert done.code == 95 and "demo" in done.out and "no endpoint other (there are demo)" in done.err


def test_no_list_of_endpoints(desk: Desk) -> None:
    """The money is shown even so."""
    path = "/v2/serverless" if desk.api == "rest" else "/graphql"
    desk.runpod.faults.append(Fault("status", FOREVER, path, status=403, containing="query Endpoints"))
    if desk.api == "rest":
        desk.runpod.faults[-1].containing = ""
    done = desk.run("status")
    assert done.code == 81 and "balance $" in done.out and "not shown: the endpoints" in done.err


def test_watch_looks_again_until_ctrl_c(desk: Desk) -> None:
    """Into a pipe it prints one look after the other, and ends with 130."""
    endpoint(desk)
    process = desk.start("status", "--watch", "--json")
    process.until(lambda: '"endpoints"' in (process.folder / "out").read_text(), "its first look")
    os.kill(process.pid, signal.SIGINT)
    done = process.wait(10)
    assert done.code == 130 and "Traceback" not in done.err
    first = json.loads(done.out.splitlines()[0])
    assert first["endpoints"][0]["name"] == "demo" and first["calls"] == 3


def test_watch_redraws_on_a_terminal(desk: Desk) -> None:
    """The whole view is drawn on a terminal; Ctrl-C gives it back with the cursor on, and 130."""
    endpoint(desk)
    primary, secondary = pty.openpty()
    env = desk.env | {"TERM": "xterm-256color", "COLUMNS": "160"}
    command = [sys.executable, "-m", "factory", "status", "--watch"]
    with subprocess.Popen(command, stdout=secondary, stderr=subprocess.PIPE, env=env, cwd=desk.folder) as process:
        os.close(secondary)
        shown = b""
        while b"asleep" not in shown:
            shown += os.read(primary, 65536)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        shown += os.read(primary, 65536)
        assert process.stderr and b"Traceback" not in process.stderr.read()
    os.close(primary)
    assert b"\x1b[?25l" in shown and shown.rindex(b"\x1b[?25h") > shown.rindex(b"asleep")
