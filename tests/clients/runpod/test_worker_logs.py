"""A worker's log lines: what is there, what comes, and a connection that breaks on the way."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest
from runpod_box import KEY, Emulated, an_endpoint, emulated
from scripted_site import Step, scripted

from factory.account import LogLine
from factory.clients.runpod.transport import RunPodClient
from factory.clients.runpod.worker_logs import EMPTY_TRIES, WorkerLogs
from factory.emulator.runpod.clock import RealClock
from factory.emulator.runpod.launch_inline import InlineLauncher
from factory.errors import CloudDenied, CloudFailed, CloudRefused, CloudUnreachable, ProvisionError


def event(number: int, source: str = "container") -> str:
    """One event as RunPod sends it."""
    data = {"ts": f"2026-11-25T00:00:0{number}Z", "source": source, "line": f"line {number}"}
    return f"id: 2026-11-25T00:00:0{number}Z/{number:012}\ndata: {json.dumps(data)}\n\n"


def events(*numbers: int, ends: str = "whole") -> Step:
    """A stream of events that ends, or is cut in its second half."""
    body = "".join(event(number) for number in numbers) + (": dead weight\n" * 40 if ends == "cut" else "")
    return Step(200, body.encode(), (("Content-Type", "text/event-stream"),), ends)


def logs(url: str, slept: list[float] | None = None) -> WorkerLogs:
    """A reader that doesn't sleep."""
    pauses = [] if slept is None else slept
    return WorkerLogs(RunPodClient(url, KEY, patience_s=1.0), quiet_s=1.0, sleep=pauses.append)


def lines(found: Iterator[LogLine]) -> list[str]:
    """The texts of lines."""
    return [line.line for line in found]


GONE = Step(404, {"title": "Not Found", "status": 404, "detail": "worker not found"})


def test_lines_are_read() -> None:
    """Without follow the last lines come, with time and source; what is no line is passed over."""
    body = f": hello\n\ndata: ping\n\n{event(1)}data: {{}}\n\n{event(2, 'system')}"
    page = Step(200, body.encode(), (("Content-Type", "text/event-stream; charset=utf-8"),))
    with scripted(page) as site:
        found = list(logs(site.url).read("ep", "w", tail=9000))
    assert found == [
        LogLine("2026-11-25T00:00:01Z", "container", "line 1"),
        LogLine("2026-11-25T00:00:02Z", "system", "line 2"),
    ]
    assert [asked.path for asked in site.asked] == ["/v2/serverless/ep/workers/w/logs?tail=5000"]


def test_as_many_lines_as_asked() -> None:
    """Without follow no more than `tail` lines come, whatever the server sends."""
    with scripted(events(1, 2, 3)) as site:
        assert lines(logs(site.url).read("ep", "w", tail=2)) == ["line 1", "line 2"]


def test_following_goes_on_where_it_broke_off() -> None:
    """A broken or ended connection is taken up by the id of the last line; that line isn't shown twice."""
    with scripted(events(1, 2, ends="cut"), events(2, 3), events(), GONE) as site:
        assert lines(logs(site.url).read("ep", "w", follow=True)) == ["line 1", "line 2", "line 3"]
    heads = [asked.headers.get("last-event-id") for asked in site.asked]
    last = "2026-11-25T00:00:03Z/000000000003"
    assert heads == [None, "2026-11-25T00:00:02Z/000000000002", last, last]


def test_following_ends_when_nothing_comes_any_more() -> None:
    """Connections that end at once, without a line, are not opened for ever; the pauses grow."""
    slept: list[float] = []
    with scripted(events()) as site:
        assert lines(logs(site.url, slept).read("ep", "w", follow=True)) == []
    assert len(site.asked) == EMPTY_TRIES
    assert slept == sorted(slept)


@pytest.mark.parametrize(
    ("step", "error", "words"),
    [
        (GONE, CloudRefused, "worker w of endpoint ep: RunPod refuses: worker not found (HTTP 404)"),
        (Step(401), CloudDenied, "RUNPOD_API_KEY"),
        (Step(200, b"<html><title>Hello</title>"), CloudFailed, "found a web page: Hello"),
        (Step(ends="hang_up"), CloudUnreachable, "the connection broke"),
    ],
)
def test_no_logs(step: Step, error: type[ProvisionError], words: str) -> None:
    """A refusal is one sentence, as a connection that breaks is where nobody follows."""
    for follow in (False, True) if step.ends == "whole" else (False,):
        with scripted(step) as site, pytest.raises(error) as caught:
            list(logs(site.url).read("ep", "w", follow=follow))
        assert words in str(caught.value)


@pytest.fixture
def runpod() -> Iterator[Emulated]:
    """RunPod with workers that answer at once."""
    with emulated(clock=RealClock(), launcher=InlineLauncher()) as box:
        yield box


def test_a_real_workers_lines(runpod: Emulated) -> None:
    """Against the emulator: the lines that are there, then those that come, until the worker is gone."""
    endpoint = runpod.call(lambda box: box.world.create_endpoint(an_endpoint(workers_min=1)))
    is_there = threading.Event()
    while not (workers := runpod.call(lambda box: box.fleet.workers(endpoint.id))):
        is_there.wait(0.02)
    worker = workers[0]
    there = lines(logs(runpod.url).read(endpoint.id, worker.id))
    assert there
    followed = logs(runpod.url).read(endpoint.id, worker.id, follow=True)
    assert [next(followed).line for _ in there] == there
    runpod.call(lambda box: box.world.delete_endpoint(endpoint.id))
    assert lines(followed) == ["stop container: the endpoint is deleted"]
