"""The worker's log: one JSON object per line, so that `factory verify`, `diagnose` and people can read it."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, TextIO

from worker_runtime.errors import WorkerError
from worker_runtime.redaction import redact

Phase = Literal["import", "weights", "load", "ready"]

current_job: ContextVar[str | None] = ContextVar("current_job", default=None)
"""The id of the job that this code runs for; events that have no `id` get it as `job`."""


class EventLog:
    """Writes events to stdout, or to the stream it was given. A line is written whole, and flushed.

    What looks like a secret, and the `secrets` that are known, never reach the log.
    """

    def __init__(self, stream: TextIO | None = None, *, secrets: Iterable[str] = ()) -> None:
        self._stream = stream
        self.secrets = tuple(secrets)
        self._lock = threading.Lock()
        # A process forked in the middle of a line would have the lock for ever taken.
        os.register_at_fork(
            before=self._lock.acquire, after_in_parent=self._lock.release, after_in_child=self._lock.release
        )

    def tell(self, event: str, **fields: object) -> None:
        """Write one event. Values that JSON doesn't know are written as their `str`."""
        job = current_job.get()
        if job is not None and "id" not in fields:
            fields["job"] = job
        struck = {name: self.strike(value) for name, value in fields.items()}
        line = json.dumps({"event": event, **struck}, ensure_ascii=False)
        stream = self._stream or sys.stdout
        with self._lock:
            stream.write(line.encode("utf-8", "replace").decode() + "\n")  # a lone surrogate must not kill the log
            stream.flush()

    def strike(self, value: Any) -> Any:
        """Return a value as plain JSON, without secrets."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, dict):
            return {redact(str(key), self.secrets): self.strike(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.strike(item) for item in value]
        return redact(str(value), self.secrets)

    def failed(self, error: WorkerError, **fields: object) -> None:
        """Write the line that says why the worker could not start."""
        self.tell("failed", **error.as_fields(), **fields)

    @contextmanager
    def phase(self, phase: Phase, since: float | None = None) -> Iterator[None]:
        """Time a phase of the start, from now or from `since`, and write its line when it ends well."""
        start = time.perf_counter() if since is None else since
        yield
        self.tell("phase", phase=phase, seconds=round(time.perf_counter() - start, 3))
