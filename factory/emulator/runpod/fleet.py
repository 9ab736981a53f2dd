"""The workers of all endpoints: as many as the scaler wants, where there is stock, restarted, replaced and paid for.

Each tick looks at every worker (has it ended, does it still ping), then at every endpoint (too few, too many,
outdated). All times are the emulator's clock's, but for the seconds that a container gets to end.

| what | when | checked against |
| --- | --- | --- |
| THROTTLED | there is no stock where the endpoint may run | documented |
| UNHEALTHY, replaced | it hasn't asked for a job 7 min (RUNPOD_INIT_TIMEOUT) after its container started | documented |
| UNHEALTHY, started again | its container ended: after 1 to 60 s, its exit code kept | documented; delays: ours |
| UNHEALTHY | the SDK's ping says so | the unmodified SDK |
| INITIALIZING for ever | its image can't be pulled; the log says `image pull: … pending` | documented |
| no further workers | all that there are crash | documented: "scaled down" |
| lost | it pinged, and then not for 60 s | the emulator's own |
| outdated, replaced | the endpoint has a newer version: 10 % of workers max at a time, after their job | documented |
| stopped | the endpoint is deleted, the balance used up | documented |

"Documented" is docs.runpod.io, read 2026-11-23; the texts of system lines are as users have published them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator

from factory.emulator.runpod import scaling
from factory.emulator.runpod.catalogue import Catalogue
from factory.emulator.runpod.crew import GRACE_S, Crew
from factory.emulator.runpod.disks import Disks
from factory.emulator.runpod.entities import Endpoint, Worker
from factory.emulator.runpod.jobs import Jobs
from factory.emulator.runpod.launcher import Launcher, LogSource
from factory.emulator.runpod.member import Member
from factory.emulator.runpod.refusals import Refused
from factory.emulator.runpod.troubles import Troubles
from factory.emulator.runpod.worker_logs import LogLine
from factory.emulator.runpod.world import World, new_id


class Fleet(Crew):
    """How many workers each endpoint has, and what faces and workers may ask and say."""

    def __init__(
        self,
        world: World,
        catalogue: Catalogue,
        jobs: Jobs,
        launcher: Launcher | None,
        troubles: Troubles,
        disks: Disks | None = None,
    ) -> None:
        """`launcher` None: no worker is started, foreign ones may join. `disks` None: workers get no volume."""
        super().__init__(world, catalogue, jobs, launcher, troubles, disks)
        self._last_start: dict[str, float] = {}
        self._is_swept = False

    # --- what the faces ask ------------------------------------------------------------------------------------------
    def workers(self, endpoint_id: str) -> list[Worker]:
        """Return an endpoint's workers, oldest first, with their status of this moment."""
        return [self._shown(member) for member in self._of(endpoint_id)]

    def find(self, endpoint_id: str, worker_id: str) -> Worker | None:
        """Return a worker of an endpoint, None when it has no such worker."""
        member = self._members.get(worker_id)
        return self._shown(member) if member and member.worker.endpoint_id == endpoint_id else None

    def counts(self, endpoint_id: str) -> dict[str, int]:
        """Return /health's `workers`. `ready` are those that serve, busy or not (unconfirmed at RunPod)."""
        found = Counter(worker.status for worker in self.workers(endpoint_id))
        return {
            "idle": found["IDLE"],
            "initializing": found["INITIALIZING"],
            "ready": found["IDLE"] + found["RUNNING"],
            "running": found["RUNNING"],
            "throttled": found["THROTTLED"],
            "unhealthy": found["UNHEALTHY"],
        }

    def log_lines(
        self, worker_id: str, source: LogSource | None = None, tail: int = 100, since: float | None = None
    ) -> list[LogLine]:
        """Return a worker's last lines, or those from `since` (epoch seconds) on. Raises Refused(404)."""
        return self._known(worker_id).log.lines(source, tail, since)

    def follow(
        self,
        worker_id: str,
        source: LogSource | None = None,
        tail: int = 100,
        since: float | None = None,
        after_seq: int = 0,
    ) -> AsyncIterator[LogLine]:
        """Return a worker's lines, those to come as well, until it is gone. Raises Refused(404)."""
        return self._known(worker_id).log.follow(source, tail, since, after_seq)

    # --- what workers do ---------------------------------------------------------------------------------------------
    def joined(self, worker_id: str, endpoint_id: str = "") -> Worker:
        """Hear that a worker asks for jobs. One that nobody here started joins the endpoint as a foreign one.

        Refused (404) for a worker that has ended, one of another endpoint, and an unknown one without an endpoint.
        """
        member = self._members.get(worker_id)
        if member is None:
            endpoint = self._world.endpoints.get(endpoint_id)
            if endpoint is None or worker_id in self._ended:
                raise Refused(404, "worker not found")
            member = self._add(endpoint, worker_id)
            member.is_foreign = member.is_placed = True
            member.worker.started_at = self._world.now()
        elif endpoint_id not in ("", member.worker.endpoint_id):
            raise Refused(404, "worker not found")
        self._has_joined(member)
        return member.worker

    def heartbeat(self, worker_id: str, *, unhealthy: str | None = None) -> None:
        """Hear a worker's ping; `unhealthy` is what the SDK says is wrong with it."""
        member = self._members.get(worker_id)
        if member is None:
            return
        member.last_ping_at = member.seen_at = self._world.now()
        if unhealthy is not None:
            member.is_sick, member.worker.problem = True, unhealthy
            self._say(member)("system", f"worker is unhealthy: {unhealthy}")

    def replace(self, worker_id: str) -> None:
        """Let a worker end after its job (`stopPod`); the scaler decides whether another comes."""
        if worker_id in self._members:
            self._members[worker_id].worker.is_leaving = True

    # --- the tick ----------------------------------------------------------------------------------------------------
    async def tick(self) -> None:
        """Bring the workers to where they should be now. Starts and stops begin here and go on in the background."""
        if self._launcher is not None and not self._is_swept:
            self._is_swept = True
            await self._launcher.sweep()
            if self._disks is not None:
                await self._disks.sweep()
        for member in list(self._members.values()):
            await self._observe(member)
        has_money = self._world.person.balance_usd > 0
        members = list(self._members.values())
        self._stop_for(
            "the endpoint is deleted", [m for m in members if m.worker.endpoint_id not in self._world.endpoints]
        )
        if not has_money:
            self._stop_for("the account's balance is used up", [m for m in members if not m.is_foreign])
        for endpoint in list(self._world.endpoints.values()):
            self._reconcile(endpoint, may_start=has_money and self._can_start)
        self._tend_disks()
        self.bill.settle((m.worker, m.endpoint) for m in self._members.values() if m.handle is not None)

    @property
    def _can_start(self) -> bool:
        launcher = self._launcher
        return launcher is not None and not self._is_closed and bool(self.url or not launcher.needs_url)

    def _reconcile(self, endpoint: Endpoint, *, may_start: bool) -> None:
        members = self._of(endpoint.id)
        self._roll(endpoint, members)
        ours = [self._standing(member) for member in members if member.counts and not member.is_foreign]
        for worker_id in scaling.leaving_workers(endpoint, ours, self._load(endpoint, members)):
            self._members[worker_id].worker.is_leaving = True
        for member in members:
            if member.worker.is_leaving and not self._is_busy(member):
                self._end(member, "it is not needed any more", grace_s=GRACE_S)
        if may_start:
            self._fill(endpoint)
            for member in self._of(endpoint.id):
                self._try_start(member)

    def _roll(self, endpoint: Endpoint, members: list[Member]) -> None:
        """Let outdated workers go: those that don't serve yet at once, the others a few at a time, idle ones first."""
        old = [member for member in members if member.worker.version != endpoint.version]
        for member in old:
            member.worker.is_leaving |= member.worker.joined_at is None
        coming = sum(m.counts and m.worker.joined_at is None for m in members if m.worker.version == endpoint.version)
        going = sum(member.worker.is_leaving for member in old)
        serving = [member for member in old if not member.worker.is_leaving]
        serving.sort(key=lambda member: self._shown(member).status != "IDLE")
        for member in serving[: scaling.rolling_places(endpoint.workers_max, coming + going)]:
            member.worker.is_leaving = True

    def _load(self, endpoint: Endpoint, members: list[Member]) -> scaling.Load:
        ours = [member for member in members if member.counts]
        return scaling.Load(
            queued=self._jobs.queued(endpoint.id),
            oldest_wait_s=self._jobs.oldest_wait_s(endpoint.id),
            in_progress=sum(len(self._jobs.in_progress(member.worker.id, endpoint.id)) for member in members),
            workers=len(ours),
            starting=sum(member.worker.joined_at is None for member in ours),
            since_start_s=self._world.now() - self._last_start.get(endpoint.id, -math.inf),
        )

    def _standing(self, member: Member) -> scaling.Standing:
        worker, now = self._shown(member), self._world.now()
        idle_s = 0.0 if worker.idle_since is None else now - worker.idle_since
        return scaling.Standing(worker.id, member.state(is_busy=self._is_busy(member)), idle_s)

    def _fill(self, endpoint: Endpoint) -> None:
        """Add the workers that are wanted, as far as the account's quota goes."""
        members = self._of(endpoint.id)
        load = self._load(endpoint, members)
        missing = scaling.wanted_workers(endpoint, load) - load.workers
        if missing <= 0 or (load.starting == load.workers and any(member.is_looping for member in members)):
            return
        room = self._world.person.worker_quota - sum(member.counts for member in self._members.values())
        now = self._world.now()
        for _ in range(min(room, missing)):
            member = self._add(endpoint, new_id(14))
            member.due_at = now + self._troubles.start_delay_s(endpoint)
            self._last_start[endpoint.id] = now
