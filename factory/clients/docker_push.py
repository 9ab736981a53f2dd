"""One push, told layer by layer, with a look at the registry ourselves while the engine tries again.

The engine answers 200 and puts faults into the stream. A refused login or a dead registry come at once; a registry
that fills up or goes away comes after 50 s of the engine's own retries, as "500 Internal Server Error" without a
reason (docker 20.10.24 with registry 2.8.2, 2026-11-24; at once on the containerd image store, docker 26.1). The
registry itself says the reason.
"""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
from docker.errors import APIError

from factory.clients.docker_buildlog import pull_progress
from factory.clients.docker_connection import Connection, messages
from factory.clients.docker_faults import push_error, registry_full, registry_gone
from factory.errors import PushError, RegistryFailed
from factory.records import Progress, PushedImage, Tell
from factory.references import Reference, is_loopback, parse

Login = tuple[str, str]

_FULL = re.compile(r'"Err":28|no space left|quota|insufficient storage', re.IGNORECASE)
# "TAG: digest: sha256:… size: 755": all that the containerd image store says (docker 26.1, 2026-11-24); the older one
# says it in `aux` too.
_DIGEST = re.compile(r": digest: (sha256:[0-9a-f]{64}) size: \d+$")
_PROBE_BYTES = 1 << 20


def auth_config(login: Login | None) -> dict[str, str]:
    """Return docker-py's form of a login. An empty name keeps docker-py from looking for one by itself."""
    if login is None:
        return {"username": "", "password": ""}
    name, secret = login
    return {"identitytoken": secret} if name == "<token>" else {"username": name, "password": secret}


@dataclass
class Probe:
    """Asks the registry why the engine tries again, or failed; only where the engine's network is this machine's."""

    reference: str
    login: Login | None
    patience_s: float
    _gone_since_s: float | None = field(default=None, init=False)
    _asked_at_s: float = field(default=0.0, init=False)

    def look(self) -> None:
        """Raise RegistryFull, or RegistryUnreachable once the registry has been gone for `patience_s`."""
        now_s = time.monotonic()
        if now_s - self._asked_at_s < 1:
            return
        self._asked_at_s = now_s
        if found := _gone(parse(self.reference).registry):
            self._gone_since_s = self._gone_since_s or now_s
            if now_s - self._gone_since_s >= self.patience_s:
                raise registry_gone(self.reference, found)
            return
        self._gone_since_s = None
        self.require_room()

    def require_room(self) -> None:
        """Raise RegistryFull when the registry says so: only one on loopback, where an upload needs no token."""
        wanted = parse(self.reference)
        if is_loopback(wanted.registry) and _is_full(wanted, self.login):
            raise registry_full(self.reference, "no space left on device")


def push(connection: Connection, reference: str, login: Login | None, probe: Probe | None, tell: Tell) -> PushedImage:
    """Push once. Success is a digest in the stream and no error."""
    wanted = parse(reference)
    user = login[0] if login else None
    layers: dict[str, int] = {}
    sent_bytes = 0
    digest = ""
    try:
        stream = connection.push(
            wanted.repository, wanted.target, stream=True, decode=True, auth_config=auth_config(login)
        )
        for message in messages(stream):
            if "error" in message:
                failure = _failure(str(message["error"]), reference, user)
                if probe and isinstance(failure, RegistryFailed):
                    probe.require_room()
                raise failure
            digest = _digest(message) or digest
            if "status" not in message:
                continue
            progress = pull_progress(message)
            tell(progress)
            if progress.kind == "bytes" and progress.total:
                layers[progress.key] = progress.total
            if message["status"] == "Pushed":
                # The containerd image store may send a layer before it has told its size: one byte says "not nothing".
                sent_bytes += layers.get(progress.key, 1)
            if probe and str(message["status"]).startswith("Retrying in"):
                probe.look()
    except APIError as error:
        raise _failure(str(error.explanation or error), reference, user) from error
    if not digest:
        raise push_error("the push ended without a digest", reference, user=user)
    tell(Progress("log", "digest", digest, "done"))
    return PushedImage(wanted.repository, wanted.target, digest, sent_bytes)


def _failure(message: str, reference: str, user: str | None) -> PushError:
    if "does not exist locally" in message:
        return PushError("the engine has no image of that name", where=reference, fix="build it first")
    return push_error(message, reference, user=user)


def _digest(message: dict[str, Any]) -> str:
    aux = message.get("aux")
    if isinstance(aux, dict) and aux.get("Digest"):
        return str(aux["Digest"])
    found = _DIGEST.search(str(message.get("status", "")))
    return found[1] if found else ""


def _gone(registry: str) -> str:
    """Return why no connection to the registry can be made; empty when one can."""
    host, _, port = registry.rpartition(":") if registry.rsplit(":", 1)[-1].isdigit() else (registry, "", "443")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return ""


def _is_full(wanted: Reference, login: Login | None) -> bool:
    """Try to put 1 MiB into an upload, take it back, and see whether the registry says that it has no room."""
    url = f"http://{wanted.registry}/v2/{wanted.path}/blobs/uploads/"
    try:
        with httpx.Client(auth=login, timeout=10, trust_env=False) as client:
            answer = client.post(url)
            if answer.status_code == 202:
                upload = str(httpx.URL(url).join(answer.headers["Location"]))
                answer = client.patch(
                    upload,
                    content=bytes(_PROBE_BYTES),
                    headers={"Content-Type": "application/octet-stream", "Content-Range": f"0-{_PROBE_BYTES - 1}"},
                )
                client.delete(str(httpx.URL(url).join(answer.headers.get("Location", upload))))
            return answer.status_code in (500, 507) and bool(_FULL.search(answer.text))
    except (httpx.HTTPError, KeyError):
        return False
