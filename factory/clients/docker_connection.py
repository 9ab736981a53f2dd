"""docker-py with the two things it lacks: BuildKit without its own command line, and streams that can be stopped."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import docker
import docker.tls
import requests

from factory.clients.docker_contexts import EngineAddress

PLATFORM = "linux/amd64"


class Connection(docker.APIClient):
    """One conversation with the engine. Set `is_buildkit` before `build()`.

    docker-py has no switch for BuildKit (docker/docker-py#2230, open since 2019); `version=2` on POST /build is all
    that the engine's API wants, from 18.09 on. Closing docker-py's generator leaves the socket open and the engine at
    work (seen with docker-py 7.2.0 and docker 20.10.24, 2026-11-24), so `hang_up` shuts the sockets down.
    """

    is_buildkit = False

    def __init__(self, address: EngineAddress | str, timeout_s: float | None = 60) -> None:
        self._streams: list[requests.Response] = []
        address = address if isinstance(address, EngineAddress) else EngineAddress(address)
        super().__init__(
            base_url=address.url,
            version="auto",
            timeout=timeout_s,  # type: ignore[arg-type]
            tls=_tls(address),
            # The `ssh` program, as the Docker CLI does it: its configuration, agent and known hosts are the user's.
            use_ssh_client=address.url.startswith("ssh://"),
        )

    def _post(self, url: str, **kwargs: Any) -> requests.Response:
        if self.is_buildkit and url.endswith("/build"):
            kwargs["params"]["version"] = "2"
        response: requests.Response = super()._post(url, **kwargs)  # type: ignore[misc]
        if kwargs.get("stream"):
            self._streams.append(response)
        return response

    def merge_environment_settings(self, url: Any, proxies: Any, stream: bool | None, verify: Any, cert: Any) -> Any:
        """Trust what the engine's address says: requests puts REQUESTS_CA_BUNDLE before a session's own `verify`."""
        return super().merge_environment_settings(url, proxies, stream, self.verify if verify is None else verify, cert)

    def hang_up(self) -> None:
        """Hang up on every stream: the engine then ends the build, pull or push. Safe from another thread."""
        for response in self._streams:
            with contextlib.suppress(Exception):  # hung up already, in any of the ways that four libraries know
                raw = self._get_raw_response_socket(response)  # type: ignore[attr-defined]
                getattr(raw, "_sock", raw).shutdown(socket.SHUT_RDWR)
        self._streams.clear()

    def details_of(self, image: str) -> dict[str, Any]:
        """Return what the engine knows of an image, by name or id. Raises docker.errors.ImageNotFound."""
        return dict(self.inspect_image(image))  # type: ignore[no-untyped-call]

    def layer_bytes(self, image: str) -> int:
        """Return the unpacked bytes of an image's layers, added up."""
        # null for an image whose configuration has no history (containerd image store, docker 26.1, 2026-11-24)
        layers: list[dict[str, Any]] = self.history(image) or []  # type: ignore[no-untyped-call]
        return sum(int(layer["Size"]) for layer in layers)


def _tls(address: EngineAddress) -> docker.tls.TLSConfig | bool:
    """Return docker-py's form of what a connection shows and trusts; False for a plain one."""
    if address.tls is None:
        return False
    tls = address.tls
    pair = (str(tls.certificate), str(tls.key)) if tls.certificate and tls.key else None
    return docker.tls.TLSConfig(
        client_cert=pair, ca_cert=str(tls.ca) if tls.ca else None, verify=tls.is_verified
    )  # fmt: skip


def parameters_of(info: dict[str, Any]) -> dict[str, str]:
    """Return the storage driver's status lines of `info()` as a mapping; a list of pairs in the API."""
    return {str(pair[0]): str(pair[1]) for pair in info.get("DriverStatus") or [] if len(pair) == 2}


def messages(stream: Iterator[Any]) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a stream; anything else in it is not for us."""
    for message in stream:
        if isinstance(message, dict):
            yield message
