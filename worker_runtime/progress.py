"""What a job tells its caller while it runs: in order, at most once a second, never after the result.

The SDK's own `progress_update` posts each value from a thread of its own: they overtake each other, and one that comes
after the result leaves the job IN_PROGRESS for ever (runpod 1.12.0, seen 2026-11-23). So the values of a job go one by
one, the newest wins, and the job isn't answered before the last post is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from worker_runtime.events import EventLog

PAUSE_S = 1.0
POST_S = 10.0  # the SDK tries three times, with pauses of 2 and 3 s
MAX_BYTES = 100_000

Post = Callable[[Mapping[str, Any], Any], Awaitable[None]]
_NOTHING = object()


class Channel:
    """The way of one job's progress. Made and closed in the event loop; `offer` comes from anywhere."""

    def __init__(self, job: Mapping[str, Any], post: Post | None, log: EventLog, pause_s: float) -> None:
        self._job = job
        self._post = post
        self._log = log
        self._pause_s = pause_s
        self._loop = asyncio.get_running_loop()
        self._latest: Any = _NOTHING
        self._is_closed = False
        self._closed: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None

    def offer(self, value: Any) -> None:
        """Send `value` when it is its turn, unless a newer one comes first."""
        plain = _plain(value)
        with contextlib.suppress(RuntimeError):  # the loop is over, and the job with it
            self._loop.call_soon_threadsafe(self._take, plain)

    def _take(self, value: Any) -> None:
        if self._is_closed:
            return
        self._latest = value
        if self._task is None:
            self._closed = asyncio.Event()
            self._task = self._loop.create_task(self._send(self._closed))

    async def _send(self, closed: asyncio.Event) -> None:
        while not closed.is_set():
            value, self._latest = self._latest, _NOTHING
            if value is _NOTHING:
                self._task = None  # the next value starts another
                return
            self._log.tell("progress", id=self._job.get("id"), value=value)
            if self._post is not None:
                await self._post(self._job, value)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(closed.wait(), self._pause_s)

    async def close(self) -> None:
        """Drop what waits, and let the post that is under way arrive."""
        self._is_closed = True
        if self._task is None or self._closed is None:
            return
        self._closed.set()
        _, late = await asyncio.wait({self._task}, timeout=POST_S)
        for task in late:
            task.cancel()


class Progress:
    """What handlers get as `progress`: `progress(value)` tells the caller of the job that runs.

    Without `post`, as in the SDK's local modes, it goes to the log only.
    """

    def __init__(self, log: EventLog, post: Post | None = None, pause_s: float = PAUSE_S) -> None:
        self._log = log
        self._post = post
        self._pause_s = pause_s
        self._open: list[Channel] = []

    def __call__(self, value: Any) -> None:
        """Tell the caller; any value that can be JSON. From any thread; nothing happens when no job runs."""
        channel = _current.get() or (self._open[0] if len(self._open) == 1 else None)
        if channel is not None:
            channel.offer(value)

    @contextlib.contextmanager
    def within(self, channel: Channel) -> Iterator[None]:
        """Let what runs here, and in threads that know no job, tell through this channel."""
        token = _current.set(channel)
        self._open.append(channel)
        try:
            yield
        finally:
            self._open.remove(channel)
            with contextlib.suppress(ValueError):  # a stream that was left is closed in another context
                _current.reset(token)

    def channel(self, job: Mapping[str, Any]) -> Channel:
        """Return a new way for a job's progress."""
        return Channel(job, self._post, self._log, self._pause_s)


_current: ContextVar[Channel | None] = ContextVar("progress", default=None)


def _plain(value: Any) -> Any:
    """Return a value as JSON can have it, whatever it is."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_number_or_text)
    except (TypeError, ValueError):
        text = json.dumps(str(value))
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        return f"{text[:1000]}…"
    return json.loads(text.encode("utf-8", "replace"))


def _number_or_text(value: object) -> Any:
    item = getattr(value, "item", None)  # a scalar of numpy or torch
    return item() if callable(item) and getattr(value, "ndim", None) == 0 else str(value)
