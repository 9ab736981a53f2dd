"""The thread of the handler, and how a call in it is ended."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import CancelledError
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from worker_runtime.handler_thread import HandlerThread, Interrupted
from worker_runtime.handlers.command_process import Process

word: ContextVar[str] = ContextVar("word", default="")


@pytest.fixture
def thread() -> HandlerThread:
    """A thread."""
    return HandlerThread()


def test_calls_run_in_one_thread_in_their_context(thread: HandlerThread) -> None:
    """All calls have the same thread, which isn't the main one, and see the context that submitted them."""
    word.set("here")
    first, second = (thread.submit(lambda: (threading.get_ident(), word.get())) for _ in range(2))
    assert first.result(10) == second.result(10)
    assert first.result() == (first.result()[0], "here")
    assert first.result()[0] != threading.get_ident()


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt()])
def test_any_exception_is_the_futures(error: BaseException, thread: HandlerThread) -> None:
    """Whatever a call raises, the thread lives on."""

    def fail() -> None:
        raise error

    assert thread.submit(fail).exception(10) is error
    assert thread.submit(lambda: 1).result(10) == 1


def test_a_python_loop_is_interrupted(thread: HandlerThread) -> None:
    """A running call ends at its next instruction, past `except Exception`; the thread lives on."""
    running = threading.Event()

    def loop() -> None:
        while True:
            try:
                running.set()
                time.sleep(0.001)
            except Exception:
                continue

    future = thread.submit(loop)
    assert running.wait(10)
    assert thread.is_busy
    thread.interrupt(future)
    assert isinstance(future.exception(10), Interrupted)
    assert thread.submit(lambda: 1).result(10) == 1
    assert not thread.is_busy


def test_a_call_that_waits_is_dropped(thread: HandlerThread) -> None:
    """What has not begun never runs."""
    gate, ran = threading.Event(), []
    thread.submit(gate.wait)
    waiting = thread.submit(lambda: ran.append(1))
    thread.interrupt(waiting)
    gate.set()
    with pytest.raises(CancelledError):
        waiting.result(10)
    thread.submit(lambda: None).result(10)
    assert ran == []


def test_an_interruption_hits_its_own_call_only(thread: HandlerThread) -> None:
    """However late it comes, an interruption ends its call or nothing: the next call always ends by itself."""
    for _ in range(300):
        first: Any = thread.submit(lambda: sum(range(200)))
        second = thread.submit(lambda: sum(range(200)))
        thread.interrupt(first)
        assert second.result(10) == 19900
        assert first.cancelled() or isinstance(first.exception(10), Interrupted | None)


def test_a_program_of_an_interrupted_call_ends(thread: HandlerThread, tmp_path: Path) -> None:
    """What a `command` job runs is ended with it, in the time that the runtime gives an interrupted handler."""
    told = threading.Event()
    process = Process(
        # A moment before it tells: an interruption that meets the start of a thread may be lost to that thread, because
        # the new one carries its maker's identity until it runs (CPython 3.11, seen 2026-11-25). Then the worker is
        # replaced instead.
        ["sh", "-c", "trap '' TERM; echo $$ > pid; sleep 0.5; echo 1%; while :; do sleep 0.1; done"],
        cwd=tmp_path,
        environment=dict(os.environ),
        progress=r"(\d+)%",
        on_progress=lambda _: told.set(),
    )
    future = thread.submit(lambda: process.run(600))
    assert told.wait(10)
    thread.interrupt(future)
    assert isinstance(future.exception(10), Interrupted)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
