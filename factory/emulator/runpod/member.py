"""One worker as the fleet keeps it: the record that faces show, its log, and how its container is doing."""

from __future__ import annotations

from dataclasses import dataclass, field

from factory.emulator.runpod.entities import Endpoint, Worker, WorkerStatus
from factory.emulator.runpod.launcher import Handle
from factory.emulator.runpod.scaling import State
from factory.emulator.runpod.troubles import Crash
from factory.emulator.runpod.worker_logs import WorkerLog

RETRY_DELAYS_S = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0)
"""Back-off between a crash (or a failed pull) and the next try; the emulator's own."""
STEADY_S = 60.0
"""A worker that ran for so long before it ended begins the back-off anew."""
STATUSES: dict[State, WorkerStatus] = {
    "throttled": "THROTTLED",
    "starting": "INITIALIZING",
    "idle": "IDLE",
    "running": "RUNNING",
}


@dataclass(slots=True, eq=False)
class Member:
    """A worker. `endpoint` is the configuration that it was made for; all times are the emulator's clock's."""

    worker: Worker
    endpoint: Endpoint
    log: WorkerLog = field(default_factory=WorkerLog)
    handle: Handle | None = None
    volume_id: str | None = None
    is_foreign: bool = False  # nobody here started it
    is_placed: bool = False  # there is a machine for it
    is_launching: bool = False
    is_sick: bool = False  # UNHEALTHY until it is started again, or joins
    is_given_up: bool = False  # stopped for good, and still shown
    is_gone: bool = False  # not in the fleet any more
    due_at: float = 0.0  # the next try to start it
    tries: int = 0  # that failed, in a row
    seen_at: float | None = None
    last_ping_at: float | None = None
    crash: Crash | None = None  # the trouble that will end it

    @property
    def counts(self) -> bool:
        """Does it serve, or will it?"""
        return not (self.worker.is_leaving or self.is_given_up)

    @property
    def is_looping(self) -> bool:
        """Has it ended more than once without serving since?"""
        return self.counts and self.worker.restarts > 1 and self.worker.joined_at is None

    def state(self, *, is_busy: bool) -> State:
        """Return what the scaler wants to know."""
        if not self.is_placed:
            return "throttled"
        if self.worker.joined_at is None:
            return "starting"
        return "running" if is_busy else "idle"

    def show(self, now: float, *, is_busy: bool) -> None:
        """Bring status and idle time of the record up to date."""
        state = self.state(is_busy=is_busy)
        self.worker.status = "UNHEALTHY" if self.is_sick else STATUSES[state]
        if state != "idle":
            self.worker.idle_since = None
        elif self.worker.idle_since is None:
            self.worker.idle_since = now

    def begin(self, handle: Handle, now: float) -> None:
        """Its container runs; a quick one has asked for a job already."""
        self.handle = handle
        self.worker.started_at = now
        if self.worker.joined_at is None:
            self.is_sick, self.worker.problem = False, ""

    def join(self, now: float) -> None:
        """It asks for jobs."""
        self.is_sick, self.worker.problem = False, ""
        self.worker.joined_at = self.worker.idle_since = now

    def fall(self, now: float, exit_code: int, why: str) -> None:
        """Its container ended, or could not start; it is tried again after a while."""
        if self.worker.started_at is not None and now - self.worker.started_at >= STEADY_S:
            self.tries = 0
        self.worker.exit_code = exit_code
        self.worker.restarts += 1
        self.worker.started_at = self.worker.joined_at = self.worker.idle_since = None
        self.worker.problem, self.is_sick = why, True
        self.last_ping_at = self.crash = None
        self.wait(now)

    def wait(self, now: float) -> None:
        """Put the next try off, for longer each time."""
        self.due_at = now + RETRY_DELAYS_S[min(self.tries, len(RETRY_DELAYS_S) - 1)]
        self.tries += 1

    def give_up(self, why: str) -> None:
        """It is stopped for good."""
        self.worker.problem = why
        self.is_sick = self.is_given_up = True
        self.crash = self.last_ping_at = None
