"""The one thread in which a handler's `load` and every sync call run, so that the event loop lives meanwhile.

One thread for all, because libraries keep state per thread (torch's grad mode, its current device). A thread can't be
killed; but an exception can be raised in it, which arrives at its next Python instruction: between two steps of a
diffusion loop, say, and not within one long call of a C library.
"""

from __future__ import annotations

import contextvars
import ctypes
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class Interrupted(BaseException):
    """Raised in the running call to end it. No Exception, so that a handler's `except Exception` lets it through."""


class HandlerThread:
    """Runs calls one after the other, each in a copy of the context that submitted it."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[tuple[Future[Any], contextvars.Context, Callable[[], Any]]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._current: Future[Any] | None = None
        self._thread = threading.Thread(target=self._work, name="handler", daemon=True)
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        """Whether a call is running."""
        return self._current is not None

    def submit(self, call: Callable[[], Any]) -> Future[Any]:
        """Run `call` after those before it. The future may hold any exception, SystemExit and Interrupted too."""
        future: Future[Any] = Future()
        self._calls.put((future, contextvars.copy_context(), call))
        return future

    def interrupt(self, future: Future[Any]) -> None:
        """Raise Interrupted in this call if it runs, drop it if it waits; nothing if it is over."""
        if future.cancel():
            return
        with self._lock:
            if self._current is future:
                _raise_in(self._thread, Interrupted)

    def _work(self) -> None:
        while True:
            future, context, call = self._calls.get()
            if not future.set_running_or_notify_cancel():
                continue
            value: Any = None
            error: BaseException | None = None
            self._current = future
            try:
                try:
                    value = context.run(call)
                except BaseException as raised:
                    error = raised
                self._close()
            except Interrupted as late:  # it arrived when the call was over already
                self._close()
                error = late
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)
            del future, context, call, value, error  # what a job held must not live until the next one

    def _close(self) -> None:
        """From here on no interruption arrives."""
        with self._lock:
            self._current = None
            _raise_in(self._thread, None)


def _raise_in(thread: threading.Thread, kind: type[BaseException] | None) -> None:
    """Raise an exception in a thread at its next Python instruction; None takes back one that hasn't arrived."""
    target = None if kind is None else ctypes.py_object(kind)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), target)
