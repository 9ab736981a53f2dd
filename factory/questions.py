"""Many questions at once, each in a thread of its own; an answer that can't be had is a gap with its reason."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from factory.errors import FactoryError

T = TypeVar("T")


class Answer(Generic[T]):
    """The answer to one question, once it is there. `error` is why there is none."""

    def __init__(self, call: Callable[[], T], wait_s: Callable[[], float]) -> None:
        self._call = call
        self._wait_s = wait_s
        self._value: T | None = None
        self.error: FactoryError | None = None
        self._bug: Exception | None = None
        # A thread that nobody waits for: a service that hangs must not keep the command from ending.
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        try:
            self._value = self._call()
        except FactoryError as error:
            self.error = error
        except Exception as bug:
            self._bug = bug

    def value(self) -> T | None:
        """Wait for the answer; None when it can't be had, or not in time."""
        self._thread.join(max(0.0, self._wait_s()))
        if self._bug:
            raise self._bug
        return self._value

    @property
    def is_late(self) -> bool:
        """Is it still awaited?"""
        return self._thread.is_alive()


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
