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

from worker_runtime.errors import StartError, WorkerError
from worker_runtime.events import EventLog
from worker_runtime.redaction import redact


def _stop() -> None:
    """Ask the SDK to stop: it posts the running job's answer first, then its loop ends."""
    os.kill(os.getpid(), signal.SIGTERM)


class FailedStart:
    """Answers every job with the error of the start. The seconds count from `begin` on."""

    def __init__(self, log: EventLog, *, max_jobs: int, max_s: float) -> None:
        self._error: WorkerError = StartError("the worker did not start")
        self._log = log
        self._jobs_left = max_jobs
        self._timer = threading.Timer(max_s, _stop)
        self._timer.daemon = True

    def begin(self, error: WorkerError) -> None:
        """Start to count the seconds, and to answer with this error."""
        self._error = error
        self._timer.start()

    async def answer(self, job: dict[str, Any]) -> dict[str, Any]:
        """Fail one job, and stop the worker after the last one that it may answer."""
        return self.fail(job, self._error)

    def fail(self, job: dict[str, Any], error: WorkerError) -> dict[str, Any]:
        """Return the answer to one job, and count it."""
        self._jobs_left -= 1
        self._log.tell("job", id=job.get("id"), status="failed", **error.as_fields())
        if self._jobs_left <= 0:
            _stop()
        return {"error": redact(str(error), self._log.secrets), "refresh_worker": True}
