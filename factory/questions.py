"""Many questions at once, each in a thread of its own; an answer that can't be had is a gap with its reason."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Generic, TypeVar

from factory.errors import FactoryError

T = TypeVar("T")


def in_thread(question: Callable[[], T]) -> Future[T]:
    """Begin a question in a thread that nobody waits for: a service that hangs must not keep the command from ending.

    The future has the answer, or what the question raised.
    """
    future: Future[T] = Future()

    def answer() -> None:
        try:
            future.set_result(question())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=answer, name="asking", daemon=True).start()
    return future


class Answer(Generic[T]):
    """The answer to one question, once it is there. `wait_s` says how long it may still take."""

    def __init__(self, call: Callable[[], T], wait_s: Callable[[], float]) -> None:
        self._future = in_thread(call)
        self._wait_s = wait_s

    def value(self) -> T | None:
        """Wait for the answer; None when it can't be had, or not in time. Raises what is no FactoryError: a bug."""
        wait([self._future], max(0.0, self._wait_s()))
        return None if self.is_late or self.error else self._future.result()

    @property
    def error(self) -> FactoryError | None:
        """Why there is no answer; None while it is awaited."""
        error = None if self.is_late else self._future.exception()
        return error if isinstance(error, FactoryError) else None

    @property
    def is_late(self) -> bool:
        """Is it still awaited?"""
        return not self._future.done()


class Asking:
    """Asks, and notes what can't be had in `gaps`: what was asked → why there is no answer."""

    def __init__(self, limit_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._end = now() + limit_s
        self._limit_s = limit_s
        self._asked: dict[str, Answer[object]] = {}
        self._noted: dict[str, str] = {}

    def ask(self, what: str, call: Callable[[], T]) -> Answer[T]:
        """Begin to ask. `what` names the question in `gaps`."""
        answer = Answer(call, lambda: self._end - self._now())
        self._asked[what] = answer  # type: ignore[assignment]  # only its error is looked at
        return answer

    def note(self, what: str, why: str) -> None:
        """Note a gap that is no failed question."""
        self._noted[what] = why

    @property
    def gaps(self) -> dict[str, str]:
        """What could not be had so far."""
        failed = {what: str(answer.error) for what, answer in self._asked.items() if answer.error}
        late = {what: f"no answer within {self._limit_s:g} s" for what, a in self._asked.items() if a.is_late}
        return failed | late | self._noted
