"""Who starts a worker: a Docker engine, this machine's Python, or the emulator's own loop. The fleet knows no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from factory.emulator.runpod.entities import Endpoint, Login, Worker

if TYPE_CHECKING:
    from factory.emulator.runpod.jobs import Jobs

LogSource = Literal["container", "system"]
Say = Callable[[LogSource, str], None]
"""Takes a line of a worker's log; to be called in the emulator's loop."""
VOLUME_PATH = "/runpod-volume"
"""Where every serverless worker finds its network volume (docs.runpod.io, read 2026-11-23)."""


class LaunchFailed(Exception):
    """A worker could not be started. `is_pull`: its image is not to be had, which RunPod goes on trying."""

    def __init__(self, reason: str, *, is_pull: bool = False, exit_code: int = 128) -> None:
        super().__init__(reason)
        self.is_pull = is_pull
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Order:
    """A worker to start. `url` is where it reaches the emulator; `jobs` and `joined` are for one in its loop."""

    worker: Worker
    endpoint: Endpoint
    env: Mapping[str, str] = field(repr=False)
    volume_folder: Path | None
    url: str
    login: Login | None
    jobs: Jobs = field(repr=False)
    joined: Callable[[], None] = field(repr=False)


class Handle(Protocol):
    """A worker that was started."""

    @property
    def name(self) -> str:
        """What people look for: the container's name, the process's id."""
        ...

    async def poll(self) -> int | None:
        """Return the exit code once it has ended (128 + N for signal N), None while it runs. Never waits."""
        ...

    async def stop(self, grace_s: float) -> None:
        """Ask it to end, kill it after `grace_s` of real time, and leave nothing of it behind."""
        ...


class Launcher(Protocol):
    """A way to start workers."""

    @property
    def needs_url(self) -> bool:
        """Do its workers speak HTTP with the emulator, so that it must be served first?"""
        ...

    async def sweep(self) -> None:
        """Remove what emulators that are gone left running. Called once, before the first start."""
        ...

    async def start(self, order: Order, say: Say) -> Handle:
        """Start a worker; its lines go to `say` from then on. Raises LaunchFailed."""
        ...
