"""The Docker engine, through docker-py: find, pull, build, push, run, remove.

Every public method opens its own connection, so an engine object serves several threads. BuildKit builds wherever the
engine has it; where it can't take a context without a session, the classic builder takes over by itself.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import stamina
from docker.errors import APIError, ImageNotFound

from factory.clients import docker_build, docker_push
from factory.clients.docker_buildlog import pull_progress
from factory.clients.docker_connection import PLATFORM, Connection, messages, parameters_of
from factory.clients.docker_containers import ContainerWorker, gpus_of, run_to_end, run_worker
from factory.clients.docker_contexts import DEFAULT_URL, EngineAddress
from factory.clients.docker_faults import clean, engine_faults, pull_error
from factory.errors import (
    BaseMissing,
    BuildError,
    EngineDiskFull,
    Interrupted,
    RegistryFailed,
    RegistryUnreachable,
    WrongPlatform,
)
from factory.records import BuildOptions, Context, Image, Progress, PushedImage, Tell
from factory.references import parse
from factory.turns import Turns
from factory.wording import size_text

LoginFor = Callable[[str], tuple[str, str] | None]

# What a build needs beside its context: BuildKit's metadata, package lists, a venv.
SPARE_BYTES = 500_000_000
# The context lies there three times at the height of a build: as received, as unpacked, and in its layer
# (BuildKit in docker 20.10.24, 2026-11-24).
CONTEXT_COPIES = 3
_PULLS = Turns()
PUSH_ATTEMPTS = 3  # of ours, beside the engine's own within each
PUSH_TIMEOUT_S = 1800  # between two words of the engine while it pushes: it may be hashing a layer of many GB


class DockerEngine:
    """A Docker engine at `address` (a URL as in DOCKER_HOST; None: the default socket); connects on first use.

    `login_for` gives user name and password for a registry; the name `<token>` marks an identity token. `patience_s`
    is how long a registry may be gone in mid-push, the engine itself trying again meanwhile, until we give up.
    """

    def __init__(
        self, address: EngineAddress | str | None = None, *, login_for: LoginFor | None = None, patience_s: float = 20.0
    ) -> None:
        self.address = address if isinstance(address, EngineAddress) else EngineAddress(address or DEFAULT_URL)
        self._login_for = login_for or (lambda _: None)
        self._patience_s = patience_s
        self._live: set[Connection] = set()
        self._interrupted = threading.Event()

    def find(self, reference: str) -> Image | None:
        """Return the image of that name or digest if the engine has it. Raises EngineUnreachable, EngineForbidden."""
        with self._connect() as connection:
            return self._find(connection, reference)

    def free_bytes(self) -> int | None:
        """Return the free bytes of the engine's data root; None when it is not on this machine.

        A Docker Desktop engine, or one whose socket is mounted into a container, answers with another host name.
        """
        root = Path(str(self._info.get("DockerRootDir", "")))
        is_local = not self.address.is_elsewhere and self._info.get("Name") == socket.gethostname()
        try:
            disk = os.statvfs(root) if is_local else None
        except OSError:
            return None
        return disk.f_bavail * disk.f_frsize if disk else None

    def pull(self, reference: str, tell: Tell) -> Image:
        """Pull linux/amd64 of a reference; an image of another platform does not stay.

        Raises BaseMissing, WrongPlatform and EngineDiskFull.
        """
        with self._connect() as connection:
            return self._pull(connection, reference, tell)

    def build(self, context: Context, options: BuildOptions, tell: Tell) -> Image:
        """Build and tag the context's image. On failure or Ctrl-C no image, container or tag is left behind.

        BuildKit's cache stays: the next try goes on from the last good step. Raises the tree below BuildError, and
        Interrupted.
        """
        if self.address.is_chosen:
            tell(Progress("note", "engine", f"building on {clean(str(self.address))}"))
        self._require_space(context)
        with self._connect(None) as connection:
            for base in docker_build.bases(context):
                with _PULLS.take(f"{self.address} {base}"):  # of several recipes one pulls, the others find it
                    found = self._find(connection, base) or self._pull(connection, base, tell)
                self._require_platform(connection, found)
            before = self._find(connection, context.reference)
            try:
                with self._hung_up_by_interrupt(connection, context.reference):
                    docker_build.build(connection, context, options, tell)
            except Interrupted:
                if before is None:  # it may have been finished in the moment of Ctrl-C
                    with contextlib.suppress(ImageNotFound):
                        connection.remove_image(context.reference)
                raise
            built = self._find(connection, context.reference)
            if built is None:
                raise BuildError("the engine built the image, and does not have it", where=context.reference)
            self._require_platform(connection, built, is_ours=True)
            if before and before.id != built.id:
                docker_build.forget(connection, before.id)
            return Image(built.reference, built.id, built.unpacked_bytes, was_built=True)

    def push(self, reference: str, tell: Tell) -> PushedImage:
        """Push a tag and return its digest; `sent_bytes` are those of the layers sent.

        They count before the engine's gzip; after it on the containerd image store, which keeps layers compressed.
        A registry that fails or is gone is tried again within `patience_s`. Raises the tree below PushError, and
        Interrupted.
        """
        login = self._login_for(parse(reference).registry)
        attempts = stamina.retry_context(
            on=(RegistryUnreachable, RegistryFailed), attempts=PUSH_ATTEMPTS, timeout=self._patience_s, wait_initial=0.5
        )
        for attempt in attempts:
            if attempt.num > 1:
                tell(Progress("note", "push", f"the registry failed: trying again ({attempt.num} of {PUSH_ATTEMPTS})"))
            with attempt, self._connect(PUSH_TIMEOUT_S) as connection:
                probe = docker_push.Probe(reference, login, self._patience_s) if self._sees_what_we_see else None
                with self._hung_up_by_interrupt(connection, reference):
                    return docker_push.push(connection, reference, login, probe, tell)
        raise AssertionError("stamina ends in a result or an error")

    @contextmanager
    def _worker(
        self, reference: str, environment: Mapping[str, str], volume: Path | None, options: BuildOptions
    ) -> Iterator[ContainerWorker]:
        gpus = gpus_of(self._info)
        # No `_connect`: it would take an error of our caller, between the two ends of `yield`, for the engine's.
        with (
            self._open() as connection,
            self._hung_up_by_interrupt(connection, reference),
            run_worker(connection, reference, environment, volume, options, gpus=gpus) as worker,
        ):
            yield worker

    def run(
        self, reference: str, *, environment: Mapping[str, str], volume: Path | None, options: BuildOptions
    ) -> AbstractContextManager[ContainerWorker]:
        """Start the image as RunPod does, in the SDK's local mode; the container is removed on leaving.

        `volume` is mounted at /runpod-volume. GPUs are handed over where the engine has NVIDIA's runtime.
        """
        return self._worker(reference, environment, volume, options)

    def has_gpu(self) -> bool:
        """Can this engine give a container an NVIDIA GPU (an `nvidia` runtime or a CDI device in its info)?"""
        return gpus_of(self._info) is not None

    def run_once(
        self, reference: str, command: Sequence[str], *, environment: Mapping[str, str], options: BuildOptions
    ) -> tuple[int, str]:
        """Run a command in a fresh container to its end and remove it; return the exit status and what was printed.

        Raises BaseMissing when the engine has no such image, WorkerExited when it has no such command, Interrupted.
        """
        with self._connect() as connection, self._hung_up_by_interrupt(connection, reference):
            return run_to_end(connection, reference, command, environment, options, self._interrupted.is_set)

    def save(self, reference: str) -> Iterator[bytes]:
        """Yield an image as the tar of `docker save`, as it comes: nothing is stored, here or by the engine.

        Raises BaseMissing when the engine has no such image, EngineUnreachable when it goes away meanwhile.
        """
        with self._connect(None) as connection:
            try:
                yield from connection.get_image(reference)
            except ImageNotFound as error:
                raise BaseMissing("the engine has no image of that name", where=reference, fix="build it") from error

    def remove(self, reference: str) -> None:
        """Remove an image's name, and its layers when nothing else needs them; nothing to do when it is not there."""
        with self._connect() as connection, contextlib.suppress(ImageNotFound):
            connection.remove_image(reference)

    def interrupt(self) -> None:
        """Stop, from any thread, what is under way in the others: each raises Interrupted. Ctrl-C reaches only one."""
        self._interrupted.set()
        for connection in tuple(self._live):
            connection.hang_up()

    @cached_property
    def _info(self) -> dict[str, Any]:
        with self._connect() as connection:
            return dict(connection.info())

    @property
    def _sees_what_we_see(self) -> bool:
        """Does the engine reach a registry the way this machine does? Then we may look for ourselves."""
        has_proxy = self._info.get("HttpProxy") or self._info.get("HttpsProxy")
        return self.free_bytes() is not None and not has_proxy

    @contextmanager
    def _connect(self, timeout_s: float | None = 60) -> Iterator[Connection]:
        with engine_faults(self.address), self._open(timeout_s) as connection:
            yield connection

    @contextmanager
    def _open(self, timeout_s: float | None = 60) -> Iterator[Connection]:
        with engine_faults(self.address):
            connection = Connection(self.address, timeout_s)
        self._live.add(connection)
        try:
            yield connection
        finally:
            self._live.discard(connection)
            connection.close()

    @contextmanager
    def _hung_up_by_interrupt(self, connection: Connection, reference: str) -> Iterator[None]:
        """Turn Ctrl-C, here or by `interrupt`, into Interrupted, once the engine has been hung up on."""
        try:
            yield
        except KeyboardInterrupt as error:
            raise Interrupted("stopped, and undone", where=reference) from error
        except Exception as error:
            if self._interrupted.is_set():
                raise Interrupted("stopped, and undone", where=reference) from error
            raise
        finally:
            connection.hang_up()

    def _find(self, connection: Connection, reference: str) -> Image | None:
        try:
            found = connection.details_of(reference)
        except ImageNotFound:
            return None
        return Image(reference, str(found["Id"]), self._unpacked_bytes(connection, found), was_built=False)

    def _unpacked_bytes(self, connection: Connection, found: Mapping[str, Any]) -> int:
        """Return the layers' unpacked bytes; the containerd image store has compressed ones in `Size`."""
        if not self._has_containerd_store:
            return int(found["Size"])
        return connection.layer_bytes(str(found["Id"]))

    @property
    def _has_containerd_store(self) -> bool:
        return parameters_of(self._info).get("driver-type", "").startswith("io.containerd.snapshotter")

    def _pull(self, connection: Connection, reference: str, tell: Tell) -> Image:
        before = self._find(connection, reference)
        try:
            self._read_pull(connection, reference, tell)
            found = self._find(connection, reference)
            if found is None:
                raise pull_error("the pull ended without the image", reference, PLATFORM)
            self._require_platform(connection, found)
        except WrongPlatform:
            if before is None:  # docker 26.1 pulls it first and complains then (2026-11-24)
                with contextlib.suppress(ImageNotFound):
                    connection.remove_image(reference)
            raise
        return found

    def _read_pull(self, connection: Connection, reference: str, tell: Tell) -> None:
        wanted = parse(reference)
        auth = docker_push.auth_config(self._login_for(wanted.registry))
        try:
            stream = connection.pull(
                wanted.repository, wanted.target, stream=True, decode=True, platform=PLATFORM, auth_config=auth
            )
            for message in messages(stream):
                if "error" in message:
                    raise pull_error(str(message["error"]), reference, PLATFORM)
                if "status" in message:
                    tell(pull_progress(message))
        except APIError as error:
            raise pull_error(str(error.explanation or error), reference, PLATFORM) from error

    def _require_platform(self, connection: Connection, image: Image, *, is_ours: bool = False) -> None:
        found = connection.details_of(image.id)
        platform = f"{found.get('Os')}/{found.get('Architecture')}"
        if platform == PLATFORM:
            return
        if is_ours:
            connection.remove_image(image.reference)
        raise WrongPlatform(
            f"the image is for {platform}, and RunPod runs only {PLATFORM}",
            where=image.reference,
            fix=f"remove it here (`docker rmi {image.reference}`) and name one that has {PLATFORM}",
        )

    def _require_space(self, context: Context) -> None:
        free_bytes = self.free_bytes()
        context_bytes = sum(file.size_bytes for file in context.files)
        needed_bytes = CONTEXT_COPIES * context_bytes + SPARE_BYTES
        if free_bytes is None or free_bytes >= needed_bytes:
            return
        root = self._info.get("DockerRootDir")
        raise EngineDiskFull(
            f"{size_text(free_bytes)} are free, and a build with {size_text(context_bytes)} of context needs about "
            f"{size_text(needed_bytes)}",
            where=f"the Docker engine's disk ({root})",
            fix="free space (`docker system prune` removes what nothing uses)",
            details={"free_bytes": free_bytes, "needed_bytes": needed_bytes},
        )
