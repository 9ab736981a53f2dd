"""Many questions at once, in threads that Ctrl-C leaves behind; a question that fails is a gap."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from factory.errors import FactoryError, Interrupted
from factory.overview.gap import Gap
from factory.questions import in_thread

T = TypeVar("T")
AT_ONCE = 16


class Asking:
    """Asks questions, at most `at_once` at a time.

    Its threads are daemons: a command that was interrupted ends at once, whatever RunPod is about to answer.
    """

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._places = threading.BoundedSemaphore(at_once)
        self._lock = threading.Lock()
        self._gaps: list[Gap] = []

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What could not be had so far, by name: threads miss things in any order."""
        with self._lock:
            return tuple(sorted(self._gaps, key=lambda gap: gap.what))

    def ask(self, what: str, question: Callable[[], T]) -> Future[T | None]:
        """Begin a question; its result is None, and a gap named `what`, when it raises FactoryError."""
        return self.start(lambda: self.here(what, question))

    def start(self, question: Callable[[], T]) -> Future[T]:
        """Begin a question whose errors are its result's."""

        def answer() -> T:
            with self._places:
                return question()

        return in_thread(answer)

    def here(self, what: str, question: Callable[[], T]) -> T | None:
        """Ask in this thread."""
        try:
            return question()
        except Interrupted:
            raise
        except FactoryError as error:
            self.add(what, error)
            return None

    def add(self, what: str, error: FactoryError) -> None:
        """Name something that could not be had."""
        with self._lock:
            self._gaps.append(Gap(what, error))
