"""The worker's log: one JSON object per line, so that `factory verify` and people can both read it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TextIO

from worker_runtime.errors import WorkerError

Phase = Literal["import", "weights", "load", "ready"]


class EventLog:
    """Writes events to stdout, or to the stream it was given. A line is written whole, and flushed."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def tell(self, event: str, **fields: object) -> None:
        """Write one event. Values that JSON doesn't know are written as their `str`."""
        line = json.dumps({"event": event, **fields}, ensure_ascii=False, default=str)
        stream = self._stream or sys.stdout
        stream.write(line.encode("utf-8", "replace").decode() + "\n")  # a lone surrogate must not kill the log
        stream.flush()

    def failed(self, error: WorkerError) -> None:
        """Write the line that says why the worker could not start."""
        self.tell("failed", **error.as_fields())

    @contextmanager
    def phase(self, phase: Phase, since: float | None = None) -> Iterator[None]:
        """Time a phase of the start, from now or from `since`, and write its line when it ends well."""
        start = time.perf_counter() if since is None else since
        yield
        self.tell("phase", phase=phase, seconds=round(time.perf_counter() - start, 3))
