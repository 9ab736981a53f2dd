"""What the engine says, told as one of our errors: the texts are the engine's, met on 20.10.24 (2026-11-24).

Nobody promises these texts, so each is matched by its shortest telling part, and what matches nothing keeps its own
words. Credentials in URLs are struck out of everything that comes from outside.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import requests
import urllib3
from docker.errors import APIError, DockerException

from factory.clients.docker_contexts import EngineAddress
from factory.errors import (
    BaseMissing,
    BuildError,
    EngineDiskFull,
    EngineForbidden,
    EngineUnreachable,
    FactoryError,
    PushDenied,
    PushError,
    RegistryFailed,
    RegistryFull,
    RegistryUnreachable,
    WrongPlatform,
)
from factory.references import parse

_CREDENTIALS = re.compile(r"(\w+://)[^\s/@:]*(?::[^\s/@]*)?@")
_NO_SPACE = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_NO_ROUTE = re.compile(
    r"no such host|connection refused|i/o timeout|network is unreachable|no route to host|server misbehaving"
    r"|temporary failure in name resolution|tls handshake timeout|connection reset|broken pipe|\beof\b"
    r"|client\.timeout exceeded|context deadline exceeded|x509:|closed network connection",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"denied|unauthorized|no basic auth credentials|authentication required|incorrect username or password"
    r"|\b401\b|\b403\b|authorization failed|insufficient_scope",
    re.IGNORECASE,
)


def clean(text: str) -> str:
    """Return the text without user names and passwords in URLs."""
    return _CREDENTIALS.sub(r"\1***@", text)


@contextmanager
def engine_faults(address: EngineAddress | str) -> Iterator[None]:
    """Turn docker-py's exceptions into EngineUnreachable, EngineForbidden, EngineDiskFull or BuildError."""
    try:
        yield
    except (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        # Our own may travel through docker-py as the cause: a file of the context that vanished.
        ours = next((e for e in _chain(error) if isinstance(e, FactoryError)), None)
        raise ours or engine_error(error, address) from error


def engine_error(error: Exception, address: EngineAddress | str) -> BuildError:
    """Tell what one of docker-py's exceptions means."""
    if isinstance(error, APIError):
        return daemon_error(_explanation(error), str(address))
    causes = list(_chain(error))
    if any(isinstance(cause, PermissionError) for cause in causes):
        return EngineForbidden(
            "this user may not use the Docker engine's socket (permission denied)",
            where=clean(str(address)),
            fix="add the user to the group docker (`sudo usermod -aG docker $USER`, then log in again)",
        )
    return EngineUnreachable(
        f"no Docker engine answers ({clean(_innermost(causes))})",
        where=clean(str(address)),
        fix=_fix(address if isinstance(address, EngineAddress) else EngineAddress(address)),
    )


def _fix(address: EngineAddress) -> str:
    if address.url.startswith("ssh://"):
        return f"check that `docker -H {clean(address.url)} version` answers without asking anything"
    if address.context:
        return f"check `docker --context {address.context} version`, or `docker context use default`"
    if address.url.startswith("tcp://"):
        return "check DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, and that the engine listens there"
    return "run `scripts/engine up`, or start Docker"


def daemon_error(message: str, where: str) -> BuildError:
    """Tell what an error message of the daemon itself means, outside a build step."""
    message = clean(message)
    if _NO_SPACE.search(message):
        return disk_full(where, message)
    if found := re.search(r"dockerfile parse error:?(?: on)? (line .+)", message, re.IGNORECASE):
        return BuildError(
            f"the Dockerfile can't be read ({_one_line(found[1])})",
            where=where,
            fix="check image.steps and the template",
        )
    return BuildError(f"the Docker engine refuses ({_one_line(message)})", where=clean(where))


def disk_full(where: str, found: str) -> EngineDiskFull:
    """Return the error for a data root without room."""
    return EngineDiskFull(
        f"the Docker engine's disk is full ({_one_line(found)})",
        where=where,
        fix="free space (`docker system prune` removes what nothing uses)",
    )


def pull_error(message: str, reference: str, platform: str) -> BuildError:
    """Tell why an image could not be pulled: BaseMissing in one of three sentences, WrongPlatform, EngineDiskFull."""
    message = clean(message)
    registry = parse(reference).registry
    if _NO_SPACE.search(message):
        return disk_full(reference, message)
    if re.search(r"no matching manifest|does not match the specified platform", message, re.IGNORECASE):
        return WrongPlatform(
            f"the image is not for {platform} ({_one_line(message)})",
            where=reference,
            fix=f"name an image that has {platform}",
        )
    if re.search(r"manifest unknown|not found: manifest|name unknown|: not found", message, re.IGNORECASE):
        return BaseMissing(
            f"{registry} has no image of that name (manifest unknown)",
            where=reference,
            fix="check the name and the tag in image.base",
        )
    if _DENIED.search(message):
        return BaseMissing(
            f"{registry} does not let us pull it: it does not exist, or needs a login",
            where=reference,
            fix=f"check the name, or run `docker login {registry}`",
        )
    if _NO_ROUTE.search(message):
        return BaseMissing(
            f"the engine has no such image, and its registry {registry} can't be reached ({_tail(message)})",
            where=reference,
            fix="check the engine's network, or name a base that it has (FACTORY_BASE)",
        )
    return BaseMissing(f"the image can't be pulled ({_one_line(message)})", where=reference)


def push_error(message: str, reference: str, *, user: str | None) -> PushError:
    """Tell why a push failed. `user` is the login that was used, None when there was none."""
    message = clean(message)
    registry = parse(reference).registry
    if _NO_SPACE.search(message) or re.search(r"quota|insufficient storage|\b507\b", message, re.IGNORECASE):
        return registry_full(reference, _one_line(message))
    if _DENIED.search(message):
        asked = f"{registry} refused the login of {user!r}" if user else f"{registry} wants a login, and there is none"
        return PushDenied(
            f"{asked} ({_one_line(message)})",
            where=reference,
            fix=f"run `docker login {registry}`, or set FACTORY_REGISTRY_USERNAME and FACTORY_REGISTRY_PASSWORD",
        )
    if _NO_ROUTE.search(message):
        return registry_gone(reference, _tail(message))
    return RegistryFailed(
        f"{registry} failed ({_one_line(message)})", where=reference, fix="try again, or look at the registry's log"
    )


def registry_full(reference: str, found: str) -> RegistryFull:
    """Return the error for a registry whose storage is full."""
    return RegistryFull(
        f"the storage of {parse(reference).registry} is full ({found})",
        where=reference,
        fix="delete images there, or give it more space",
    )


def registry_gone(reference: str, found: str) -> RegistryUnreachable:
    """Return the error for a registry that does not answer, or no longer."""
    return RegistryUnreachable(
        f"{parse(reference).registry} can't be reached ({found})",
        where=reference,
        fix="check that it runs and that the engine's network reaches it, then push again: finished layers are kept",
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception and all that caused it: as cause, as context, and as an argument (urllib3 does that)."""
    waiting, seen = [error], set[int]()
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        linked = [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
        waiting += [link for link in linked if isinstance(link, BaseException)]
        # "('Connection aborted.', FileNotFoundError(…))" is a tuple within the arguments' exception.
        waiting += [part for link in current.args if isinstance(link, tuple) for part in link
                    if isinstance(part, BaseException)]  # fmt: skip


def _innermost(causes: list[BaseException]) -> str:
    system = [cause.strerror for cause in causes if isinstance(cause, OSError) and isinstance(cause.strerror, str)]
    if system:
        return system[-1].lower()
    if any(isinstance(cause, TimeoutError | requests.Timeout | urllib3.exceptions.TimeoutError) for cause in causes):
        return "it does not answer in time"
    return _one_line(str(causes[0]))


def _explanation(error: APIError) -> str:
    return str(error.explanation or error)


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 300 else line[:297] + "…"


def _tail(text: str) -> str:
    """Return the end of Go's `what: why: wherefore` chain, which says it best."""
    return ": ".join(_one_line(text).split(": ")[-2:])
