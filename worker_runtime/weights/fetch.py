"""Bringing models to a store: what is ready is used, one worker fetches the rest, the others wait for it.

    usage record → READY? → lease → ask the Hub, make room → transfer → rename → (return) → fsync → READY → release

The leader's own handler may start as soon as all digests are right and all files are in place; the fsync and the READY
marker, which are for the others and for later, follow in a thread.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from worker_runtime.errors import WeightsTimeout
from worker_runtime.events import EventLog
from worker_runtime.recipe import Model
from worker_runtime.weights import space
from worker_runtime.weights.asking import Asking
from worker_runtime.weights.heartbeat import Owner, now_s
from worker_runtime.weights.hub import Hub
from worker_runtime.weights.leader import Leader
from worker_runtime.weights.lease import Contender, Lease, LeaseLost
from worker_runtime.weights.patience import Limits
from worker_runtime.weights.store import Store, directory
from worker_runtime.weights.usage import DEAD_S, Usage
from worker_runtime.weights.wire import Proxy

POLL_S = 0.5
TELL_S = 10.0

# Takes bytes that are there, bytes of the whole, and the seconds that are left (None: not known).
OnProgress = Callable[[int, int, float | None], None]


@dataclass(frozen=True, slots=True)
class How:
    """How to bring. `stale_s`: a lease's heartbeat stands still so long, and another worker takes over."""

    hub: Hub
    proxy: Proxy = field(default_factory=Proxy)
    limits: Limits = field(default_factory=Limits)
    stale_s: float = 30.0
    dead_s: float = DEAD_S


@dataclass(frozen=True, slots=True)
class Brought:
    """Models whose folders are complete. Their READY markers may still be on the way."""

    usage: Usage
    publication: threading.Thread | None = None

    def settle(self) -> None:
        """Wait for the READY markers, if it is this worker who writes them."""
        if self.publication is not None:
            self.publication.join()

    def leave(self) -> None:
        """Say that this worker doesn't read the models any more."""
        self.settle()
        self.usage.end()


def bring(
    store: Store,
    recipe: str,
    models: Sequence[Model],
    how: How,
    log: EventLog,
    on_progress: OnProgress = lambda _done, _total, _left_s: None,
) -> Brought:
    """Return when every file of the models is in the store, with the right digest.

    Raises NoSpace, StorageUnwritable, HubDenied, HubNotFound, HubUnreachable, HubFailed, WeightsCorrupt and
    WeightsTimeout.
    """
    models = _by_folder(models)
    owner = Owner.this_process()
    usage = Usage(store.control / "workers", owner, map(directory, models))
    usage.begin()
    brought = Brought(usage)
    try:
        if any(map(store.missing, models)):
            space.demand_writable(store)
            brought = Brought(usage, _Bringing(store, recipe, models, how, log, on_progress, owner).run())
        else:
            _record(store, recipe, models, log)
    except BaseException:
        usage.end()
        raise
    atexit.register(brought.leave)
    return brought


def _by_folder(models: Sequence[Model]) -> list[Model]:
    """Return one model for each folder: two selections of one commit share it."""
    found: dict[str, Model] = {}
    for model in models:
        known = found.get(directory(model))
        files = {file.path: file for file in (*known.files, *model.files)} if known else {}
        found[directory(model)] = known.model_copy(update={"files": tuple(files.values())}) if known else model
    return list(found.values())


def _record(store: Store, recipe: str, models: Sequence[Model], log: EventLog) -> None:
    try:
        store.record_recipe(recipe, models)
    except OSError as error:  # a volume that is mounted read-only can't lose its models either
        log.tell("unrecorded", recipe=recipe, reason=error.strerror)


@dataclass(frozen=True, slots=True)
class _Bringing:
    store: Store
    recipe: str
    models: Sequence[Model]
    how: How
    log: EventLog
    on_progress: OnProgress
    owner: Owner

    def run(self) -> threading.Thread | None:
        """Lead or wait, whichever it takes; return the thread that publishes, when this worker led."""
        contender = Contender(self.store.control / "lease", self.owner, self.how.stale_s)
        began_s = told_s = now_s()
        pause = threading.Event()
        while True:
            try:
                if not any(map(self.store.missing, self.models)):
                    self.store.record_recipe(self.recipe, self.models)
                    return None
                lease = contender.try_to_lead()
                if lease is not None:
                    return self._lead(lease)
            except LeaseLost:
                self.log.tell("lease_lost")
            except OSError as error:
                raise space.unwritable(self.store, error) from error
            if now_s() - began_s > self.how.limits.total_s:
                raise self._too_late(contender)
            told_s = self._tell_of_leader(contender, began_s, told_s)
            pause.wait(min(POLL_S, self.how.stale_s / 4))

    def _lead(self, lease: Lease) -> threading.Thread:
        keep = frozenset(map(directory, self.models))
        room = space.Room(self.store, self.owner, keep, lease.check, self.log, self.how.dead_s)
        leader = Leader(self.store, self.models, lease, room, self.log, self.on_progress)
        lease.progress = leader.progress
        lease.start()
        try:
            leader.bring(Asking(self.how.hub), self.how.proxy, self.how.limits)
        except BaseException:
            leader.abandon()
            lease.release()
            raise
        publication = threading.Thread(target=self._publish, args=(leader, lease), name="publish")
        publication.start()
        return publication

    def _publish(self, leader: Leader, lease: Lease) -> None:
        try:
            leader.publish()
            self.store.record_recipe(self.recipe, self.models)
        except LeaseLost:
            self.log.tell("lease_lost")  # whoever leads now finds all files, and publishes them
        except OSError as error:
            self.log.tell("unpublished", reason=error.strerror)  # the next start verifies the files again
        finally:
            lease.release()

    def _tell_of_leader(self, contender: Contender, began_s: float, told_s: float) -> float:
        record, now = contender.record, now_s()
        done, total = record.get("done_bytes"), record.get("total_bytes")
        if isinstance(done, int) and isinstance(total, int):
            left = record.get("left_s")
            self.on_progress(done, total, float(left) if isinstance(left, int | float) else None)
        if now - told_s < TELL_S and told_s != began_s:
            return told_s
        owner = record.get("owner")
        host = owner.get("host") if isinstance(owner, dict) else None
        self.log.tell("waiting", leader=host, done_bytes=done, total_bytes=total, seconds=round(now - began_s, 1))
        return now

    def _too_late(self, contender: Contender) -> WeightsTimeout:
        done, total = (contender.record.get(key) or 0 for key in ("done_bytes", "total_bytes"))
        return WeightsTimeout(
            f"another worker fetches into {self.store.root} and was not done within {self.how.limits.total_s:.0f} s "
            f"({done / space.GB:.1f} of {total / space.GB:.1f} GB)",
            fix="raise FACTORY_FETCH_S, or see that worker's log",
        )
