"""One build in the engine: BuildKit, or the classic builder where BuildKit needs a session; and its tidying up."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator

from docker.errors import APIError, DockerException, NotFound

from factory.clients.docker_buildlog import BuildLog
from factory.clients.docker_connection import PLATFORM, Connection, messages
from factory.clients.docker_context import context_tar, machine_files
from factory.errors import BuildError
from factory.records import BuildOptions, Context, Progress, Tell

# What BuildKit says when it can't build without a session: a base behind a login; a context as a tar on the containerd
# image store (moby/moby#47717, open; docker 26.1.5 on 2026-11-23). The classic builder can do both.
NEEDS_SESSION = re.compile(r"no active session|failed to read downloaded context", re.IGNORECASE)

_FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE | re.MULTILINE)
_COPY_FROM = re.compile(r"^\s*COPY\s+(?:--\S+\s+)*?--from=(\S+)", re.IGNORECASE | re.MULTILINE)


def bases(context: Context) -> list[str]:
    """Return the images that the Dockerfile starts from or copies from, which the engine must have first.

    Without a session BuildKit can't log in for itself, and Docker Hub always wants a token.
    """
    dockerfile = next((file.content for file in context.files if file.path == "Dockerfile"), None)
    text = (dockerfile or b"").decode("utf-8", "replace")
    stages = {"scratch"}
    found: list[str] = []
    for image, stage in _FROM.findall(text):
        if image.lower() not in stages:
            found.append(image)
        stages.add(stage.lower())
    found += [image for image in _COPY_FROM.findall(text) if image.lower() not in stages and not image.isdigit()]
    return [image for image in dict.fromkeys(found) if "$" not in image]


def build(connection: Connection, context: Context, options: BuildOptions, tell: Tell) -> None:
    """Build and tag; raise what BuildLog makes of a failure. Whatever happens, nothing half-done stays."""
    connection.is_buildkit = True
    log = BuildLog(context.recipe, options, tell)
    _run(connection, context, options, log)
    if log.error and NEEDS_SESSION.search(log.error):
        if options.ca_file:
            raise BuildError(
                "this engine can build only with the classic builder, where a CA file would stay in the image",
                where=context.reference,
                fix="build on an engine that has BuildKit and not the containerd image store",
            )
        tell(Progress("note", "builder", "BuildKit needs a session here: building with the classic builder"))
        connection.is_buildkit = False
        log = BuildLog(context.recipe, options, tell)
        _run_classic(connection, context, options, log)
    if log.error or not log.image_id:
        raise log.failure()


def forget(connection: Connection, image_id: str) -> None:
    """Remove an image that lost its name to a newer one; not when a container or another image needs it."""
    with contextlib.suppress(APIError):
        if not connection.details_of(image_id).get("RepoTags"):
            connection.remove_image(image_id)


def _run_classic(connection: Connection, context: Context, options: BuildOptions, log: BuildLog) -> None:
    before = {image["Id"] for image in connection.images(all=True)}
    try:
        _run(connection, context, options, log)
    finally:
        if log.error or not log.image_id:
            connection.hang_up()
            _undo_classic(connection, log, before)


def _undo_classic(connection: Connection, log: BuildLog, before: set[str]) -> None:
    """Remove the container and the nameless images that a failed classic build made, the youngest first.

    The engine removes its container itself, in its own time (docker 26.1, 2026-11-24); until then its image stays.
    """
    for container in log.containers:
        with contextlib.suppress(DockerException):
            connection.remove_container(container, force=True, v=True)
        _wait_until_gone(connection, container)
    for layer in reversed(log.layers):
        with contextlib.suppress(DockerException):
            if connection.details_of(layer)["Id"] not in before:
                connection.remove_image(layer)


def _wait_until_gone(connection: Connection, container: str, patience_s: float = 10) -> None:
    deadline_s = time.monotonic() + patience_s
    with contextlib.suppress(NotFound):
        while time.monotonic() < deadline_s:
            connection.inspect_container(container)
            time.sleep(0.1)


def _run(connection: Connection, context: Context, options: BuildOptions, log: BuildLog) -> None:
    is_classic = not connection.is_buildkit
    proxies = {**options.proxies, **{name.upper(): value for name, value in options.proxies.items()}}
    total = sum(file.size_bytes for file in context.files)
    body = _told(context_tar(context, machine_files(options), is_classic=is_classic), total, log.tell)
    try:
        stream = connection.build(
            fileobj=body,  # type: ignore[arg-type]  # docker-py hands it to requests, which takes any iterator
            custom_context=True,
            decode=True,
            tag=context.reference,
            rm=True,
            forcerm=True,
            platform=PLATFORM,
            network_mode=options.network,
            buildargs=proxies,
            labels=dict(context.labels),
        )
        for message in messages(stream):
            log.read(message)
    except APIError as error:
        log.read({"error": str(error.explanation or error)})


def _told(chunks: Iterator[bytes], total: int, tell: Tell) -> Iterator[bytes]:
    """Pass the context on, and tell every 16 MiB how much of it has gone to the engine."""
    sent = told = 0
    for chunk in chunks:
        sent += len(chunk)
        if sent - told >= 1 << 24:
            told = sent
            tell(Progress("bytes", "context", "build context", current=min(sent, total), total=total))
        yield chunk
