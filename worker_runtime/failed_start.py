"""A worker that could not start says so to every job, for a while, and then ends.

A start-up crash is invisible on RunPod: the container is started again and again, and the jobs wait IN_QUEUE for hours.
So the worker joins the queue all the same, fails each job with the reason, asks to be replaced, and exits after a
bounded number of jobs or seconds.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

from worker_runtime.errors import WorkerError
from worker_runtime.events import EventLog


def _stop() -> None:
    """Ask the SDK to stop: it posts the running job's answer first, then its loop ends."""
    os.kill(os.getpid(), signal.SIGTERM)


class FailedStart:
    """Answers every job with the error of the start."""

    def __init__(self, error: WorkerError, log: EventLog, *, max_jobs: int, max_s: float) -> None:
        self._error = error
        self._log = log
        self._jobs_left = max_jobs
        self._timer = threading.Timer(max_s, _stop)
        self._timer.daemon = True

    def begin(self) -> None:
        """Start to count the seconds."""
        self._timer.start()

    async def answer(self, job: dict[str, Any]) -> dict[str, Any]:
        """Fail one job, and stop the worker after the last one that it may answer."""
        self._jobs_left -= 1
        self._log.tell("job", id=job.get("id"), status="failed", **self._error.as_fields())
        if self._jobs_left <= 0:
            _stop()
        return {"error": str(self._error), "refresh_worker": True}
