"""guard: a fresh deployment is watched, and stopped when its workers only crash or can't pull their image.

Stopping is workers.max 0, which is idempotent: killed before it, the next guard watches anew; killed after it, the next
one finds the endpoint stopped, purges when asked, and says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from factory.account import CloudWorker, Endpoint
from factory.errors import FactoryError, GuardStopped
from factory.live import AccountDoors
from factory.mending.sickness import CRASH_PATIENCE_S, PULL_PATIENCE_S, Look, Sickness, is_pull_pending, judge
from factory.records import Progress, Tell
from factory.restoring import template_behind
from factory.stages.run import find_endpoint
from factory.telling import stage
from factory.wording import count_text, seconds_text

LOOK_EVERY_S = 3.0
BLIND_LOOKS = 5
LOG_LINES = 20


@dataclass(frozen=True, slots=True)
class Watch:
    """How long to watch, how long signs of trouble must last, and whether to drop the jobs that wait then. Seconds."""

    lasting_s: float = 600.0
    crash_patience_s: float = CRASH_PATIENCE_S
    pull_patience_s: float = PULL_PATIENCE_S
    is_purging: bool = False


@dataclass(frozen=True, slots=True)
class Guarded:
    """An endpoint that stayed well while it was watched, and the jobs that ended meanwhile."""

    endpoint_id: str
    watched_s: float
    completed: int
    failed: int


@dataclass
class Guard:
    """One endpoint under guard. `clock` and `pause` are in seconds."""

    account: AccountDoors
    watch: Watch
    tell: Tell
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep
    looks: list[Look] = field(default_factory=list)

    def run(self, name: str) -> Guarded:
        """Watch the endpoint of that name or id. Raises GuardStopped, EndpointNotFound, and what the ports raise."""
        with stage("guard", self.tell) as under_way:
            endpoint = find_endpoint(name, self.account.cloud)
            if endpoint.spec.workers_max == 0:
                raise self._stopped(endpoint, "no worker may start (workers.max is 0)", ())
            guarded = self._watched(endpoint)
            under_way.summary = f"well for {seconds_text(guarded.watched_s)}: {_jobs(guarded)}"
        return guarded

    def _watched(self, endpoint: Endpoint) -> Guarded:
        start, blind = self.clock(), 0
        while True:
            try:
                self._look(endpoint.id)
                blind = 0
            except FactoryError as error:
                blind += 1
                if blind >= BLIND_LOOKS:
                    raise
                self.tell(Progress("log", "guard", f"can't look just now ({error.what})"))
            found = judge(
                self.looks,
                crash_patience_s=self.watch.crash_patience_s,
                pull_patience_s=self.watch.pull_patience_s,
            )
            if found is not None:
                self._stop(endpoint, found)
            watched_s = self.clock() - start
            if watched_s >= self.watch.lasting_s:
                return self._guarded(endpoint, watched_s)
            self.pause(min(LOOK_EVERY_S, self.watch.crash_patience_s / 4, self.watch.lasting_s - watched_s))

    def _guarded(self, endpoint: Endpoint, watched_s: float) -> Guarded:
        if not self.looks:
            return Guarded(endpoint.id, watched_s, 0, 0)
        first, last = self.looks[0], self.looks[-1]
        return Guarded(endpoint.id, watched_s, last.completed - first.completed, last.failed - first.failed)

    def _look(self, endpoint_id: str) -> None:
        workers = self.account.cloud.workers(endpoint_id)
        health = self.account.jobs.health(endpoint_id)
        jobs, counts = health.jobs, health.workers
        unhealthy = max(counts.get("unhealthy", 0), sum(worker.status == "UNHEALTHY" for worker in workers))
        # Logs take seconds to read, and one that crashes has pulled its image.
        pulling = [w.id for w in workers if not unhealthy and self._is_pulling(endpoint_id, w)]
        look = Look(
            at_s=self.clock(),
            workers={worker.id: worker.status for worker in workers},
            pulling=frozenset(pulling),
            up=counts.get("idle", 0) + counts.get("running", 0),
            unhealthy=unhealthy,
            completed=jobs.get("completed", 0),
            failed=jobs.get("failed", 0),
            queued=jobs.get("inQueue", 0),
        )
        self.looks.append(look)
        states = ", ".join(sorted(worker.status.lower() for worker in workers)) or "no worker"
        self.tell(Progress("log", "guard", f"{states}; {count_text(look.queued, 'job')} waiting"))

    def _is_pulling(self, endpoint_id: str, worker: CloudWorker) -> bool:
        """Does the platform say of a worker that its image's pull is pending?"""
        if worker.status != "INITIALIZING":
            return False
        return is_pull_pending([text for source, text in self._lines(endpoint_id, worker.id) if source == "system"])

    def _lines(self, endpoint_id: str, worker_id: str) -> list[tuple[str, str]]:
        """Return what a worker printed last, with who said it; nothing when it is gone."""
        try:
            return [
                (line.source, line.line) for line in self.account.cloud.logs(endpoint_id, worker_id, tail=LOG_LINES)
            ]
        except FactoryError:
            return []

    def _stop(self, endpoint: Endpoint, found: Sickness) -> None:
        """Let no worker start any more, and raise why."""
        lines = [text for worker_id in found.worker_ids[:1] for _, text in self._lines(endpoint.id, worker_id)]
        cloud = self.account.cloud
        current = find_endpoint(endpoint.id, cloud)
        stopped = replace(current.spec, workers_min=0, workers_max=0)
        cloud.update_endpoint(current, stopped, template_behind(cloud, current))
        raise self._stopped(current, f"{found.seen}; its workers are stopped (workers.max 0)", lines, found.kind)

    def _stopped(self, endpoint: Endpoint, what: str, lines: Sequence[str], kind: str = "stopped") -> GuardStopped:
        """Drop the waiting jobs where that is asked, and return the error that reports all of it."""
        details: dict[str, object] = {"kind": kind, "endpoint": endpoint.id, "lines": list(lines)}
        if self.watch.is_purging:
            purged = self.account.jobs.purge(endpoint.id)
            details["purged"] = purged
            what = f"{what}, {count_text(purged, 'waiting job')} purged"
        name = endpoint.spec.name
        return GuardStopped(
            what,
            where=f"endpoint {endpoint.id}",
            fix=f"ask `factory diagnose {name}`; `factory rollback` or `factory release` starts its workers again",
            details=details,
        )


def _jobs(guarded: Guarded) -> str:
    failed = f", {guarded.failed} failed" if guarded.failed else ""
    return f"{count_text(guarded.completed, 'job')} completed{failed}"
