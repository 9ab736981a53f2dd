"""Following workers whose connections fail for good, and questions that fail beside others that don't."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import pytest
from fake_cloud import FakeCloud

from factory.account import CloudWorker, Endpoint, EndpointSpec, LogLine
from factory.errors import CloudRefused, CloudUnreachable, EndpointNotFound, FactoryError, Interrupted
from factory.overseeing.asking import Asking
from factory.overseeing.logs import WorkerLines
from factory.overview.log_lines import Taken

ENDPOINT = Endpoint("ep", EndpointSpec("demo", "org/demo:1", 20, pools=("ADA_24",)), is_queue=True)


def line(number: int) -> LogLine:
    """The line of that number, with an id."""
    ts = f"2026-11-25T00:00:{number:02}Z"
    return LogLine(ts, "container", f"line {number}", id=f"{ts}/{number}")


@dataclass
class Flaky(FakeCloud):
    """A cloud whose connections to a log each give some lines, and then fail or end."""

    connections: list[tuple[list[LogLine], FactoryError | None]] = field(default_factory=list)

    def logs(self, endpoint_id: str, worker_id: str, *, tail: int = 100, follow: bool = False) -> Iterator[LogLine]:
        """Give what the next connection has; the last one comes again and again."""
        lines, error = self.connections.pop(0) if len(self.connections) > 1 else self.connections[0]
        yield from lines
        if error:
            raise error


def cloud(*connections: tuple[list[LogLine], FactoryError | None]) -> Flaky:
    """A cloud with one worker."""
    return Flaky(held_workers={"ep": (CloudWorker("w", "RUNNING", False),)}, connections=list(connections))


def follow(lines: WorkerLines, number: int) -> list[Taken]:
    """Return the first lines that come, and what else came in the same moments."""
    found: list[Taken] = []
    for batch in lines.coming():
        found += batch
        if len(found) >= number:
            return found
    raise AssertionError("following has no end")


def test_a_reader_that_failed_is_begun_anew() -> None:
    """The failure is named once, what was read before isn't repeated, and lines go on."""
    broken = CloudUnreachable("no connection", where="RunPod")
    at = cloud(([line(1), line(2)], broken), ([line(1), line(2), line(3)], broken), ([line(3), line(4)], None))
    lines = WorkerLines(at, ENDPOINT, look_every_s=0.02)
    assert [taken.line.line for taken in follow(lines, 4)] == ["line 1", "line 2", "line 3", "line 4"]
    assert [gap.what for gap in lines.gaps] == ["the log of worker w"]


def test_a_worker_that_went_is_no_gap() -> None:
    """RunPod knows it no more: its lines went with it."""
    gone = CloudRefused("no such worker", where="worker w")
    lines = WorkerLines(cloud(([line(1)], gone)), ENDPOINT, look_every_s=0.02)
    assert len(follow(lines, 1)) == 1 and lines.gaps == ()


def test_the_first_look_must_succeed() -> None:
    """Nothing to follow at all is an error, not an endless silence."""

    class Closed(Flaky):
        def workers(self, endpoint_id: str) -> tuple[CloudWorker, ...]:
            raise CloudRefused("no such endpoint", where="endpoint ep")

    with pytest.raises(CloudRefused):
        next(WorkerLines(Closed(), ENDPOINT).coming())
    with pytest.raises(EndpointNotFound, match="no worker x \\(there are w\\)"):
        next(WorkerLines(cloud(([], None)), ENDPOINT, worker="x").coming())


def test_a_question_that_fails_is_a_gap_beside_its_neighbours() -> None:
    """Refusals are named in order; Ctrl-C, and a bug of ours, are not swallowed."""
    asking = Asking(at_once=2)

    def fails(error: BaseException) -> int:
        raise error

    good = [asking.ask(f"number {n}", partial(int, n)) for n in range(20)]
    bad = [asking.ask(what, partial(fails, CloudUnreachable("x"))) for what in ("b", "a")]
    assert [one.result() for one in good] == list(range(20))
    assert [one.result() for one in bad] == [None, None] and [gap.what for gap in asking.gaps] == ["a", "b"]
    for error in (Interrupted("x"), ZeroDivisionError()):
        with pytest.raises(type(error)):
            asking.ask("c", partial(fails, error)).result()
