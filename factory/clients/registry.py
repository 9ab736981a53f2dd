"""A container registry over the Distribution API (github.com/opencontainers/distribution-spec, v1.1), read only."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from types import TracebackType

import httpx

from factory.clients.manifests import ACCEPT, INDEX_TYPES, config_platform, pick_child, read_manifest
from factory.clients.registry_auth import Login, Notes, RegistryAuth
from factory.clients.registry_http import METADATA_LIMIT_BYTES, Connections, exchange
from factory.clients.retries import retry_after_s, send_patiently
from factory.errors import (
    BlobMissing,
    ImageNotInRegistry,
    RegistryDenied,
    RegistryFailed,
    RegistryUnreachable,
    VerifyError,
)
from factory.oci.digests import digest_of
from factory.records import Manifest, PullLimit
from factory.references import Reference, parse


class DistributionRegistry:
    """Implements `ports.Registry`. Safe to use from several threads; close it, or use it in a `with` block.

    Connection errors, 429 (its `Retry-After` obeyed) and 5xx are tried again until `patience_s` seconds are over.
    `login_for` is `Credentials.login_for`; `timeout_s` is for one connect, and for one silence while reading.
    `notes` keep what a 401 said, for the next process.
    Manifest HEADs don't count as pulls on Docker Hub, GETs do (docs.docker.com/docker-hub/usage/pulls, 2026-11).
    """

    def __init__(
        self,
        login_for: Callable[[str], Login | None],
        *,
        timeout_s: float = 30.0,
        patience_s: float = 45.0,
        notes: Notes | None = None,
    ) -> None:
        self._connections = Connections(login_for, timeout_s=timeout_s, notes=notes)
        self._patience_s = patience_s
        self._limits: dict[str, PullLimit] = {}

    def __enter__(self) -> DistributionRegistry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._connections.close()

    def digest(self, reference: str) -> str | None:
        """Return the digest that a tag has now, by HEAD; None when there is no such tag."""
        wanted = parse(reference)
        answer = self._ask("HEAD", wanted, f"manifests/{wanted.target}", {"Accept": ACCEPT})
        if answer.status_code == 404:
            return None
        digest = answer.headers.get("docker-content-digest")
        return digest if digest else digest_of(self._manifest_bytes(wanted).content)

    def manifest(self, reference: str) -> Manifest:
        """Return the linux/amd64 manifest of a tag or digest, and the platform its config names.

        Raises ImageNotInRegistry, PlatformMismatch (an index without linux/amd64), BlobMissing (no config), and
        VerifyError when bytes and digest differ or the manifest is none we know.
        """
        wanted = parse(reference)
        answer = self._manifest_bytes(wanted)
        media_type, body = _decode(answer, str(wanted))
        if media_type in INDEX_TYPES:
            wanted = wanted.at(pick_child(body, str(wanted)))
            answer = self._manifest_bytes(wanted)
            media_type, body = _decode(answer, str(wanted))
        config, layers = read_manifest(media_type, body, str(wanted))
        if config.size_bytes > METADATA_LIMIT_BYTES:
            raise VerifyError(
                f"the image's config has {config.size_bytes} bytes", where=str(wanted), fix="build it again"
            )
        raw = self.read(wanted.repository, config.digest, 0, config.size_bytes)
        _compare(config.digest, raw, str(wanted))
        architecture, system = config_platform(raw, str(wanted))
        digest = digest_of(answer.content)
        return Manifest(digest, media_type, config, layers, architecture, system, len(answer.content))

    def blob_size(self, repository: str, digest: str) -> int | None:
        """Return a blob's size by HEAD; None when it is absent."""
        where = parse(repository)
        answer = self._ask("HEAD", where, f"blobs/{digest}", {"Accept-Encoding": "identity"})
        if answer.status_code == 404:
            return None
        return int(answer.headers.get("content-length", "0"))

    def read(self, repository: str, digest: str, start: int, length: int) -> bytes:
        """Read a range of a blob. Raises BlobMissing when it is absent or ends before the range does."""
        if length == 0:
            return b""
        where = parse(repository)
        span = {"Range": f"bytes={start}-{start + length - 1}", "Accept-Encoding": "identity"}
        answer = self._ask("GET", where, f"blobs/{digest}", span, limit=length)
        if answer.status_code == 404:
            raise BlobMissing(f"{digest} is not there", where=where.repository, fix="push the image again")
        if answer.status_code == 200 and start > 0:
            raise RegistryFailed("it ignores byte ranges, so blobs can't be checked", where=where.registry)
        content = answer.content[:length]
        if answer.status_code == 416 or len(content) < length:
            raise BlobMissing(
                f"{digest} ends before byte {start + length}", where=where.repository, fix="push the image again"
            )
        return content

    def pull_limit(self, repository: str) -> PullLimit | None:
        """Return what the repository's registry last said of its pull limit; None when it said nothing."""
        return self._limits.get(parse(repository).registry)

    def _manifest_bytes(self, wanted: Reference) -> httpx.Response:
        """GET a manifest and hold it against its digest."""
        answer = self._ask("GET", wanted, f"manifests/{wanted.target}", {"Accept": ACCEPT}, limit=METADATA_LIMIT_BYTES)
        if answer.status_code == 404:
            raise ImageNotInRegistry("no such image", where=str(wanted), fix="push it, or check the name")
        expected = wanted.digest or answer.headers.get("docker-content-digest")
        if expected and "v1+" not in answer.headers.get("content-type", ""):  # schema 1 is hashed without signatures
            _compare(expected, answer.content, str(wanted))
        return answer

    def _ask(
        self, method: str, where: Reference, path: str, headers: dict[str, str], *, limit: int = 0
    ) -> httpx.Response:
        """Send a request with retries; at most `limit` bytes of the body are read. 2xx, 404 and 416 are returned."""
        client, auth = self._connections.to(where.registry)

        def send() -> httpx.Response:
            request = client.build_request(method, f"/v2/{where.path}/{path}", headers=headers)
            answer = exchange(client, request, auth, limit)
            self._note_limit(where.registry, answer)
            return answer

        try:
            answer = send_patiently(send, self._patience_s)
        except httpx.TransportError as error:
            raise RegistryUnreachable(
                f"no answer ({type(error).__name__}: {error})",
                where=where.registry,
                fix="check its address and the network",
            ) from error
        except (httpx.RequestError, httpx.InvalidURL) as error:  # redirects in a circle, a body that can't be decoded
            raise RegistryFailed(f"no sense in its answer ({error})", where=where.registry) from error
        return self._judge(answer, where, auth)

    def _judge(self, answer: httpx.Response, where: Reference, auth: RegistryAuth) -> httpx.Response:
        """Return an answer that means something here; raise the error that the others stand for."""
        status = answer.status_code
        if answer.is_success or status in (404, 416):
            return answer
        if status in (401, 403):
            raise RegistryDenied(
                f"access denied {auth.who} (HTTP {status}): the repository is private, or not there",
                where=where.repository,
                fix=f"run `docker login {where.registry}`, or set FACTORY_REGISTRY_USERNAME and _PASSWORD",
            )
        if status == 429:
            wait = retry_after_s(answer)
            raise RegistryFailed(
                f"pull limit reached (HTTP 429{f', free again in {wait:.0f} s' if wait else ''})",
                where=where.registry,
                fix="wait, or log in for a higher limit",
            )
        what = f"it failed (HTTP {status})" if status >= 500 else f"HTTP {status} is no answer of a registry"
        raise RegistryFailed(what, where=where.registry, fix="try again later")

    def _note_limit(self, registry: str, answer: httpx.Response) -> None:
        """Keep `ratelimit-limit: 100;w=21600` and `ratelimit-remaining: 98;w=21600` (Docker Hub, seen 2023 to 2026)."""
        found = [
            re.fullmatch(r"(\d+)(?:;w=(\d+))?", answer.headers.get(f"ratelimit-{name}", ""))
            for name in ("limit", "remaining")
        ]
        if found[0] and found[1]:
            self._limits[registry] = PullLimit(int(found[1][1]), int(found[0][1]), int(found[0][2] or 0))


def _decode(answer: httpx.Response, where: str) -> tuple[str, dict[str, object]]:
    """Return a manifest's media type and content."""
    try:
        body = json.loads(answer.content)
    except ValueError as error:
        raise VerifyError("the manifest is no JSON", where=where, fix="is this address a registry?") from error
    if not isinstance(body, dict):
        raise VerifyError("the manifest is no mapping", where=where, fix="push the image again")
    header = answer.headers.get("content-type", "").split(";")[0]
    return str(body.get("mediaType") or header), body


def _compare(digest: str, content: bytes, where: str) -> None:
    """Raise VerifyError when content and digest differ."""
    algorithm, _, expected = digest.partition(":")
    found = hashlib.new(algorithm, content).hexdigest() if algorithm in ("sha256", "sha512") else ""
    if found != expected:
        raise VerifyError(
            f"the registry's bytes hash to {algorithm}:{found[:12]}…, not to {digest[:19]}…",
            where=where,
            fix="push the image again",
        )
