"""HTTP connections to registries, for those who read there and those who write: who we are, TLS, proxies, limits.

Plain HTTP to a registry on loopback, as Docker does, HTTPS to any other. A proxy and a CA file of the machine are
honoured as httpx does (`https_proxy`, `SSL_CERT_FILE`), except towards loopback.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import httpx

from factory.clients.registry_auth import Login, Notes, RegistryAuth
from factory.clients.tls import trusted
from factory.references import is_loopback

DOCKER_HUB_HOST = "registry-1.docker.io"  # where Docker Hub's registry answers; `docker.io` itself is a web page
METADATA_LIMIT_BYTES = 4 * 1024 * 1024  # registries cap manifests at 4 MiB (distribution-spec v1.1, "Push")


class Connections:
    """One pool of connections and one login per registry; safe to use from several threads.

    `login_for` is `Credentials.login_for`; `timeout_s` is for one connect, and for one silence. `notes` keep what a
    401 said, for the next process.
    """

    def __init__(
        self, login_for: Callable[[str], Login | None], *, timeout_s: float, notes: Notes | None = None
    ) -> None:
        self._login_for = login_for
        self._timeout_s = timeout_s
        self._notes = notes
        self._open: dict[str, tuple[httpx.Client, RegistryAuth]] = {}
        self._lock = threading.Lock()
        self._requests = 0

    @property
    def requests(self) -> int:
        """HTTP requests made so far: those for tokens and those that followed a redirect too."""
        return self._requests

    def to(self, registry: str) -> tuple[httpx.Client, RegistryAuth]:
        """Return the connections to a registry (`docker.io`, `host:port`) and who we are there."""
        with self._lock:
            if registry not in self._open:
                is_local = is_loopback(registry)
                host = DOCKER_HUB_HOST if registry == "docker.io" else registry
                client = httpx.Client(
                    base_url=f"{'http' if is_local else 'https'}://{host}",
                    timeout=self._timeout_s,
                    follow_redirects=True,
                    trust_env=not is_local,
                    verify=trusted(),
                    event_hooks={"request": [self._count]},
                )
                self._open[registry] = client, RegistryAuth(registry, lambda: self._login_for(registry), self._notes)
            return self._open[registry]

    def close(self) -> None:
        """Close every connection."""
        for client, _ in self._open.values():
            client.close()

    def _count(self, _: httpx.Request) -> None:
        with self._lock:
            self._requests += 1


def exchange(client: httpx.Client, request: httpx.Request, auth: httpx.Auth | None, limit: int) -> httpx.Response:
    """Send, and read no more of the body than `limit` bytes: a registry must not fill our memory."""
    answer = client.send(request, auth=auth, stream=True)
    try:
        body = b""
        for chunk in answer.iter_bytes():
            body += chunk
            if len(body) >= limit:
                break
    finally:
        answer.close()
    return httpx.Response(
        answer.status_code, headers=answer.headers, content=body, request=answer.request, history=answer.history
    )
