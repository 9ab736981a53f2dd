"""Docker Hub's own API: what it says of a tag (docker/docs, content/reference/api/hub/latest.yaml, read 2026-11-24)."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx

from factory.clients.retries import RETRIED, retry_after_s, send_patiently
from factory.errors import DockerHubFailed
from factory.records import HubTag
from factory.references import DOCKER_HUB, parse

Login = tuple[str, str]

TOKEN_LIFE_S = 480  # an access token lasts 10 minutes (same source)


class DockerHub:
    """Implements `ports.ImageDirectory`. Asks anonymously, or with the login for docker.io where there is one.

    `api` is `https://hub.docker.com` (DOCKERHUB_API). Connection errors, short 429s and 5xx are tried again until
    `patience_s` seconds are over.
    """

    def __init__(
        self, api: str, login_for: Callable[[str], Login | None], *, timeout_s: float = 30.0, patience_s: float = 30.0
    ) -> None:
        self._login_for = login_for
        self._patience_s = patience_s
        self._client = httpx.Client(base_url=api, timeout=timeout_s, trust_env="://127." not in api)
        self._token: tuple[str, float] | None = None

    def tag(self, repository: str, tag: str) -> HubTag:
        """Return what Docker Hub says of a tag. Raises DockerHubFailed: 404, 401, 429, no answer, or no sense."""
        path = parse(repository).path
        name = f"{path}:{tag}"
        about = self._get(f"/v2/repositories/{path}/", name)
        found = self._get(f"/v2/repositories/{path}/tags/{tag}", name)
        try:
            image = _amd64(found)
            return HubTag(
                digest=str(found.get("digest") or image["digest"]),
                full_size_bytes=int(str(image.get("size") or found["full_size"])),
                last_updated=str(found["last_updated"]),
                is_private=bool(about["is_private"]),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise DockerHubFailed(f"its answer lacks {error}", where=name, fix="try again later") from error

    def _get(self, path: str, name: str) -> dict[str, object]:
        answer = self._send("GET", path, name, headers=self._authorization(name))
        if answer.status_code == 404:
            known = "" if self._token else " (or it is private, and nobody is logged in)"
            raise DockerHubFailed(
                f"Docker Hub has no such tag{known}", where=name, fix="push it, or run `docker login`"
            )
        if answer.status_code in (401, 403):
            self._token = None
            raise DockerHubFailed(
                f"Docker Hub denies access (HTTP {answer.status_code})", where=name, fix="run `docker login`"
            )
        return _read(answer, name)

    def _authorization(self, name: str) -> dict[str, str]:
        """Return the header of a logged-in call; empty without a login. An identity token can't log in here."""
        if self._token and time.monotonic() < self._token[1]:
            return {"Authorization": f"Bearer {self._token[0]}"}
        login = self._login_for(DOCKER_HUB)
        if not login or login[0] == "<token>":
            return {}
        answer = self._send("POST", "/v2/auth/token", name, json={"identifier": login[0], "secret": login[1]})
        if answer.status_code in (400, 401, 403):
            raise DockerHubFailed(
                f"Docker Hub refuses the login of {login[0]} (HTTP {answer.status_code})",
                where=name,
                fix="run `docker login` with an access token",
            )
        self._token = str(_read(answer, name).get("access_token", "")), time.monotonic() + TOKEN_LIFE_S
        return {"Authorization": f"Bearer {self._token[0]}"}

    def _send(
        self, method: str, path: str, name: str, *, headers: dict[str, str] | None = None, json: object = None
    ) -> httpx.Response:
        """Send with retries; log-ins may be repeated, they create nothing that lasts."""
        try:
            answer = send_patiently(
                lambda: self._client.request(method, path, headers=headers, json=json), self._patience_s
            )
        except httpx.TransportError as error:
            host = self._client.base_url.host
            raise DockerHubFailed(
                f"no answer from {host} ({type(error).__name__})", where=name, fix="check the network, or DOCKERHUB_API"
            ) from error
        if answer.status_code in RETRIED:
            raise _busy(answer, name)
        return answer


def _read(answer: httpx.Response, name: str) -> dict[str, object]:
    """Decode a success."""
    try:
        body = answer.json() if answer.is_success else None
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise DockerHubFailed(
            f"HTTP {answer.status_code} is no answer of Docker Hub's API", where=name, fix="check DOCKERHUB_API"
        )
    return body


def _busy(answer: httpx.Response, name: str) -> DockerHubFailed:
    """Build the error for 429 and 5xx that stayed."""
    if answer.status_code != 429:
        return DockerHubFailed(f"Docker Hub answers HTTP {answer.status_code}", where=name, fix="try again later")
    wait = retry_after_s(answer)
    when = f", free again in {wait:.0f} s" if wait else ""
    return DockerHubFailed(f"too many calls to Docker Hub's API (HTTP 429{when})", where=name, fix="wait, or log in")


def _amd64(found: dict[str, object]) -> dict[str, object]:
    """Return the entry of linux/amd64; empty when the tag has none."""
    images = found.get("images")
    for image in images if isinstance(images, list) else []:
        if isinstance(image, dict) and (image.get("os"), image.get("architecture")) == ("linux", "amd64"):
            return image
    return {}
