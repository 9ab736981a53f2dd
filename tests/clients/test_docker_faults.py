"""The engine's texts, as docker 20.10 and 26.1 say them, told as our errors."""

from __future__ import annotations

import pytest
import requests
from docker.errors import APIError, DockerException
from hypothesis import given
from hypothesis import strategies as st

from factory.clients.docker_faults import clean, engine_error, engine_faults, pull_error, push_error
from factory.errors import (
    BaseMissing,
    BuildError,
    EngineDiskFull,
    EngineForbidden,
    EngineUnreachable,
    FactoryError,
    PushDenied,
    RegistryFailed,
    RegistryFull,
    RegistryUnreachable,
    StepFailed,
    WrongPlatform,
)

PULLS: dict[str, tuple[type[FactoryError], str]] = {
    "manifest for python:3.99 not found: manifest unknown: manifest unknown": (BaseMissing, "no image of that name"),
    "pull access denied for x/y, repository does not exist or may require 'docker login': denied": (
        BaseMissing,
        "needs a login",
    ),
    'Head "https://registry/v2/x/manifests/1": no basic auth credentials': (BaseMissing, "needs a login"),
    'Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: no such host': (
        BaseMissing,
        "can't be reached (lookup registry-1.docker.io: no such host)",
    ),
    "no matching manifest for linux/amd64 in the manifest list entries": (WrongPlatform, "not for linux/amd64"),
    "image with reference x was found but does not match the specified platform: wanted linux/amd64": (
        WrongPlatform,
        "not for linux/amd64",
    ),
    "write /var/lib/docker/tmp/x: no space left on device": (EngineDiskFull, "disk is full"),
    "toomanyrequests: You have reached your pull rate limit": (BaseMissing, "toomanyrequests"),
}
PUSHES: dict[str, tuple[type[FactoryError], str]] = {
    "unauthorized: authentication required": (PushDenied, "refused the login of 'ada'"),
    "denied: requested access to the resource is denied": (PushDenied, "refused the login of 'ada'"),
    "dial tcp 127.0.0.1:5699: connect: connection refused": (RegistryUnreachable, "connect: connection refused"),
    "net/http: TLS handshake timeout": (RegistryUnreachable, "TLS handshake timeout"),
    'Patch "http://x/": EOF': (RegistryUnreachable, "EOF"),
    "received unexpected HTTP status: 500 Internal Server Error": (RegistryFailed, "500 Internal Server Error"),
    "toomanyrequests: slow down": (RegistryFailed, "slow down"),
    "write /data/x: no space left on device": (RegistryFull, "storage of registry.example is full"),
    "denied: adding 1 GiB of storage resource exceeds the quota": (RegistryFull, "quota"),
}


@pytest.mark.parametrize("text", PULLS)
def test_pulls(text: str) -> None:
    """Unknown, withheld, out of reach, wrong platform, disk full: each its own sentence."""
    kind, says = PULLS[text]
    error = pull_error(text, "python:3.99", "linux/amd64")
    assert type(error) is kind and says in error.what and error.where == "python:3.99"


@pytest.mark.parametrize("text", PUSHES)
def test_pushes(text: str) -> None:
    """Refused, unreachable, full, failed: each its own class."""
    kind, says = PUSHES[text]
    error = push_error(text, "registry.example/x/y:1", user="ada")
    assert type(error) is kind and says in error.what and error.fix


def through(cause: Exception) -> DockerException:
    """Wrap an exception as docker-py does when it first asks for the engine's version."""
    try:
        try:
            raise requests.ConnectionError("('Connection aborted.', …)") from cause
        except requests.ConnectionError as error:
            raise DockerException(f"Error while fetching server API version: {error}") from error
    except DockerException as error:
        return error


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (through(PermissionError(13, "Permission denied")), EngineForbidden, "may not use"),
        (through(FileNotFoundError(2, "No such file or directory")), EngineUnreachable, "no such file or directory"),
        (through(ConnectionRefusedError(111, "Connection refused")), EngineUnreachable, "connection refused"),
        (requests.ReadTimeout("read timed out"), EngineUnreachable, "it does not answer in time"),
        (requests.ConnectionError(("aborted", PermissionError(13, "x"))), EngineForbidden, "may not use"),
        (APIError("500", explanation="mkdir /x: no space left on device"), EngineDiskFull, "disk is full"),
        (APIError("400", explanation="invalid reference format"), BuildError, "invalid reference format"),
    ],
)
def test_the_engine(error: Exception, kind: type[BuildError], says: str) -> None:
    """docker-py's nests of exceptions end in one of ours."""
    found = engine_error(error, "unix:///x.sock")
    assert type(found) is kind and says in str(found)
    with pytest.raises(kind), engine_faults("unix:///x.sock"):
        raise error


def test_our_own_errors_pass_through() -> None:
    """An error of ours, bare or as a cause within docker-py's, comes out as it was."""
    ours = StepFailed("mine")
    for raised in (ours, through(ours)):
        with pytest.raises(StepFailed, match="mine"), engine_faults("unix:///x.sock"):
            raise raised


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("fetch https://ada:s3cret@host/x failed", "fetch https://***@host/x failed"),
        ("proxy http://token@proxy:8080", "proxy http://***@proxy:8080"),
        ("git+https://x:y@z/a and pip@b", "git+https://***@z/a and pip@b"),
        ("https://host/path?mail=a@b", "https://host/path?mail=a@b"),
    ],
)
def test_credentials_are_struck_out(text: str, cleaned: str) -> None:
    """User names and passwords in URLs go; everything else stays."""
    assert clean(text) == cleaned


@given(st.text("abc:@/. ", min_size=1, max_size=40))
def test_no_password_survives(text: str) -> None:
    """Whatever surrounds a URL, its password is not in the result."""
    assert "pa55word" not in clean(f"{text} https://me:pa55word@host {text}")
