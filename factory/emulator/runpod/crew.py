"""One worker's life: placed, started, watched, started again when its container ends, stopped, paid for.

`Crew` is what the fleet does with a single worker; how many there are is fleet.py's business. Starts and stops go on
in the background, each in a task, so nothing here waits for a container.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine, Iterable
from typing import Any

from factory.emulator.runpod.bill import Bill
from factory.emulator.runpod.catalogue import Catalogue
from factory.emulator.runpod.disks import Disks
from factory.emulator.runpod.entities import Endpoint, Volume, Worker
from factory.emulator.runpod.jobs import Jobs
from factory.emulator.runpod.launcher import Handle, Launcher, LaunchFailed, Order, Say
from factory.emulator.runpod.member import Member
from factory.emulator.runpod.refusals import Refused
from factory.emulator.runpod.troubles import Troubles
from factory.emulator.runpod.worker_env import init_timeout_s, worker_environment
from factory.emulator.runpod.world import World

GRACE_S = 10.0
"""Real seconds between SIGTERM and SIGKILL: Docker's default."""
LOST_S = 60.0
ABSENT_S = 120.0
"""A foreign worker that never pings is forgotten when it has nothing to do and hasn't asked for so long."""
SHOWN_GIVEN_UP = 3
"""So many workers that were given up stay visible per endpoint, until one of its workers joins."""
REMEMBERED_IDS = 1000
log = logging.getLogger(__name__)


class Crew:
    """Every worker of the account, and what can happen to each.

    `url`, `worker_key` and `worker_env` are what workers get to know: set before the first tick that may start one.
    """

    def __init__(
        self,
        world: World,
        catalogue: Catalogue,
        jobs: Jobs,
        launcher: Launcher | None,
        troubles: Troubles,
        disks: Disks | None = None,
    ) -> None:
        self.url = ""
        self.worker_key = ""
        self.worker_env: dict[str, str] = {}
        self.bill = Bill(world, catalogue)
        self._world = world
        self._catalogue = catalogue
        self._jobs = jobs
        self._launcher = launcher
        self._troubles = troubles
        self._disks = disks
        self._members: dict[str, Member] = {}
        self._ended: dict[str, None] = {}  # ids that never come back, oldest first
        self._in_use: Counter[str] = Counter()  # volume → containers that have it
        self._tasks: set[asyncio.Task[None]] = set()
        self._tending: asyncio.Task[None] | None = None  # the last of those that work on volumes
        self._is_closed = False

    async def settle(self) -> None:
        """Wait until all starts and stops that are under way are done: for those who go step by step."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def stop_all(self) -> None:
        """Stop every worker and let go of the volumes; nothing is started any more."""
        self._is_closed = True
        self._stop_for("the emulator ends", list(self._members.values()))
        await self.settle()
        if self._disks is not None:
            await self._disks.close()

    # --- coming ------------------------------------------------------------------------------------------------------
    def _add(self, endpoint: Endpoint, worker_id: str) -> Member:
        now = self._world.now()
        worker = Worker(worker_id, endpoint.id, endpoint.version, endpoint.container.image, created_at=now)
        member = self._members[worker_id] = Member(worker, endpoint)
        return member

    def _try_start(self, member: Member) -> None:
        """Begin a worker's start when it is due and there is a machine for it."""
        worker, now = member.worker, self._world.now()
        if member.handle or member.is_launching or member.is_foreign or not member.counts:
            return
        if not member.is_placed:
            place = self._catalogue.place(member.endpoint, self._world.volumes)
            if place is None or self._troubles.throttles(member.endpoint):
                worker.problem = "there is no stock where the endpoint may run" if place is None else "throttled"
                return
            worker.gpu_type, worker.data_center = place
            worker.gpu_count = member.endpoint.gpu_count if place.gpu_type else 0
            member.is_placed, worker.problem = True, ""
            self._say(member)("system", "worker is ready")
        if now >= member.due_at:
            member.is_launching = True
            self._spawn(self._launch(member))

    async def _launch(self, member: Member) -> None:
        """Start a worker's container, or put it off when that fails. A worker that left meanwhile is stopped again."""
        volume = self._volume_of(member)
        member.volume_id = volume.id if volume else None
        self._in_use.update([volume.id] if volume else [])
        handle = None
        try:
            handle = await self._started(member, volume)
        except LaunchFailed as error:
            self._was_not_started(member, error)
        except Exception as error:
            log.exception("worker %s could not be started", member.worker.id)
            self._was_not_started(member, LaunchFailed(f"{type(error).__name__}: {error}"))
        finally:
            member.is_launching = False
            if handle is None:
                self._in_use.subtract([volume.id] if volume else [])
        if handle is not None and member.is_gone:
            await self._stopped(handle, member.volume_id, 0)
        elif handle is not None:
            member.begin(handle, self._world.now())
            member.crash = self._troubles.next_crash(member.endpoint)

    async def _started(self, member: Member, volume: Volume | None) -> Handle:
        assert self._launcher is not None
        worker, endpoint, say = member.worker, member.endpoint, self._say(member)
        say("system", f"create container {worker.image}")
        if self._troubles.fails_pull(worker.image):
            raise LaunchFailed(f"{worker.image}: not to be had from its registry", is_pull=True)
        folder = await self._disks.mounted(volume) if volume and self._disks is not None else None
        env = worker_environment(
            worker,
            endpoint,
            url=self.url,
            key=self.worker_key,
            secrets=self._world.secrets.values(),
            catalogue=self._catalogue,
            volume_id=member.volume_id,
            extra=self.worker_env,
        )
        login = self._world.logins.get(endpoint.container.login_id or "")
        order = Order(worker, endpoint, env, folder, self.url, login, self._jobs, lambda: self._has_joined(member))
        return await self._launcher.start(order, say)

    def _was_not_started(self, member: Member, error: LaunchFailed) -> None:
        if member.is_gone:
            return
        say, now = self._say(member), self._world.now()
        if error.is_pull:
            say("system", f"image pull: {member.worker.image}: pending")
            say("system", f"error pulling image: {error}")
            member.worker.problem = f"image pull: {error}"
            member.wait(now)
        else:
            say("system", f"error starting container: {error}")
            member.fall(now, error.exit_code, str(error))

    def _has_joined(self, member: Member) -> None:
        """It asks for a job: from the first time on it serves."""
        now = self._world.now()
        member.seen_at = now
        if member.worker.joined_at is None and not member.is_given_up:
            member.join(now)
            self._forget_given_up(member.worker.endpoint_id, 0)

    # --- watched -----------------------------------------------------------------------------------------------------
    async def _observe(self, member: Member) -> None:
        if member.is_gone:
            return
        now, handle = self._world.now(), member.handle
        if handle is not None and (code := await self._exit_code(member, handle)) is not None:
            if not member.is_gone:
                self._has_ended(member, code)
        elif self._is_lost(member, now):
            self._end(member, "no heartbeat: the worker is lost", grace_s=0)
        elif handle is not None and member.worker.joined_at is None and not member.worker.is_leaving:
            limit_s = init_timeout_s(member.endpoint)
            if now - (member.worker.started_at or now) > limit_s:
                self._give_up(member, f"the worker did not ask for a job within {limit_s:g} s")

    async def _exit_code(self, member: Member, handle: Handle) -> int | None:
        """Return the code that its container ended with, or that of a crash which is due."""
        code = await handle.poll()
        started_at = member.worker.started_at
        if code is None and member.crash is not None and started_at is not None:
            is_due = self._world.now() - started_at >= member.crash.after_s
            return member.crash.exit_code if is_due else None
        return code

    def _is_lost(self, member: Member, now: float) -> bool:
        if member.last_ping_at is not None:
            return member.worker.joined_at is not None and now - member.last_ping_at > LOST_S
        if not member.is_foreign or member.seen_at is None or now - member.seen_at <= ABSENT_S:
            return False
        return not self._is_busy(member)

    # --- going -------------------------------------------------------------------------------------------------------
    def _has_ended(self, member: Member, code: int) -> None:
        """Its container ended: that of a leaving worker was to, any other is started again."""
        self._say(member)("system", f"worker exited with exit code {code}")
        if member.worker.is_leaving:
            self._end(member, "", grace_s=0)
            return
        self._let_go(member, grace_s=0)
        member.fall(self._world.now(), code, f"its container exited with code {code}")

    def _give_up(self, member: Member, why: str) -> None:
        """Stop a worker for good, and go on showing it as UNHEALTHY."""
        self._say(member)("system", why)
        self._let_go(member, grace_s=GRACE_S)
        member.give_up(why)
        self._forget_given_up(member.worker.endpoint_id, SHOWN_GIVEN_UP)

    def _forget_given_up(self, endpoint_id: str, kept: int) -> None:
        given_up = [member for member in self._of(endpoint_id) if member.is_given_up]
        for member in given_up[: max(0, len(given_up) - kept)]:
            self._end(member, "", grace_s=0)

    def _stop_for(self, why: str, members: Iterable[Member]) -> None:
        for member in members:
            self._end(member, why, grace_s=GRACE_S)

    def _end(self, member: Member, why: str, *, grace_s: float) -> None:
        """Take a worker out of the fleet. A foreign one may come back: nobody else would start it again."""
        if member.is_gone:
            return
        member.is_gone = member.worker.is_leaving = True
        del self._members[member.worker.id]
        if why:
            self._say(member)("system", f"stop container: {why}")
        if not member.is_foreign:
            self._ended[member.worker.id] = None
            while len(self._ended) > REMEMBERED_IDS:
                del self._ended[next(iter(self._ended))]
        self._let_go(member, grace_s)
        member.log.end()

    def _let_go(self, member: Member, grace_s: float) -> None:
        """Queue a worker's jobs again, pay for it, and stop its container in the background."""
        self._jobs.worker_lost(member.worker.id)
        if member.handle is not None:
            self.bill.ended(member.worker, member.endpoint)
            self._spawn(self._stopped(member.handle, member.volume_id, grace_s))
            member.handle = None

    async def _stopped(self, handle: Handle, volume_id: str | None, grace_s: float) -> None:
        try:
            await handle.stop(grace_s)
        finally:
            self._in_use.subtract([volume_id] if volume_id else [])

    # --- volumes -----------------------------------------------------------------------------------------------------
    def _volume_of(self, member: Member) -> Volume | None:
        """Return the endpoint's volume in the worker's data centre."""
        found = [self._world.volumes[name] for name in member.endpoint.volume_ids if name in self._world.volumes]
        return next((volume for volume in found if volume.data_center == member.worker.data_center), None)

    def _tend_disks(self) -> None:
        """Grow, fill and remove what lies on the disk, as the account and the troubles say."""
        if self._disks is None:
            return
        if self._tending is not None and not self._tending.done():
            return
        for volume_id in self._disks.known() - self._world.volumes.keys():
            if self._in_use[volume_id] <= 0:
                self._tending = self._spawn(self._disks.remove(volume_id))
        for volume in self._world.volumes.values():
            is_full = self._troubles.fills(volume)
            if self._disks.needs_care(volume, is_full=is_full):
                is_used = self._in_use[volume.id] > 0
                self._tending = self._spawn(self._disks.care(volume, is_full=is_full, is_used=is_used))

    # --- small things ------------------------------------------------------------------------------------------------
    def _of(self, endpoint_id: str) -> list[Member]:
        return [member for member in self._members.values() if member.worker.endpoint_id == endpoint_id]

    def _known(self, worker_id: str) -> Member:
        if worker_id not in self._members:
            raise Refused(404, "worker not found")
        return self._members[worker_id]

    def _shown(self, member: Member) -> Worker:
        """Return the worker's record as it stands at this moment."""
        member.show(self._world.now(), is_busy=self._is_busy(member))
        return member.worker

    def _is_busy(self, member: Member) -> bool:
        return bool(self._jobs.in_progress(member.worker.id, member.worker.endpoint_id))

    def _say(self, member: Member) -> Say:
        return lambda source, line: member.log.add(self._world.now(), source, line)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("work in the background failed", exc_info=error)
