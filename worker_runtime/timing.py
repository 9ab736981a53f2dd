"""Where a job's time goes: waiting in this worker, inputs, inference, outputs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal

from worker_runtime.inputs import MediaReader
from worker_runtime.media_types import Kind

Span = Literal["queue", "inputs", "inference", "outputs"]
SPANS: tuple[Span, ...] = ("queue", "inputs", "inference", "outputs")
ASKED_BY = "factory_timing"
"""The key of a job, beside `input`, that asks for the block of times in the result."""

_current: ContextVar[Timing | None] = ContextVar("timing", default=None)


class Timing:
    """One job's seconds. A span within another, such as inputs that are read in mid-inference, is taken out of it."""

    def __init__(self, job: Mapping[str, Any], waited_s: float = 0.0) -> None:
        self.is_asked = job.get(ASKED_BY) is True
        self._start = time.perf_counter() - waited_s
        self._spent_s = dict.fromkeys(SPANS, 0.0)
        self._spent_s["queue"] = waited_s
        _current.set(self)

    @contextmanager
    def span(self, name: Span) -> Iterator[None]:
        """Count what is within to `name`."""
        start, others = time.perf_counter(), sum(self._spent_s.values())
        try:
            yield
        finally:
            inner_s = sum(self._spent_s.values()) - others
            self._spent_s[name] += max(0.0, time.perf_counter() - start - inner_s)

    @property
    def seconds(self) -> float:
        """All seconds so far, waiting included."""
        return round(time.perf_counter() - self._start, 3)

    def as_fields(self) -> dict[str, float]:
        """Return `{"queue_s", "inputs_s", "inference_s", "outputs_s"}`."""
        return {f"{name}_s": round(spent_s, 3) for name, spent_s in self._spent_s.items()}


class TimedMedia(MediaReader):
    """Reads media inputs, and counts the time to the job's inputs."""

    def read(self, media: str, *kinds: Kind) -> bytes:
        """Return the bytes behind `media`. Raises InputUnreadable and InputRefused."""
        with _inputs():
            return super().read(media, *kinds)

    def files(self, media: Sequence[str], *kinds: Kind) -> list[Path]:
        """Write each into the job's folder. Raises InputUnreadable, InputRefused, and RuntimeError outside a job."""
        with _inputs():
            return super().files(media, *kinds)


@contextmanager
def _inputs() -> Iterator[None]:
    timing = _current.get()
    if timing is None:
        yield
        return
    with timing.span("inputs"):
        yield
