"""Blobs and manifests into a registry, with no engine between (distribution-spec v1.1, "Push", read 2026-11-25).

What is tried again, and for how long, is in `registry_upload.py`; what no repetition mends in `registry_refusals.py`;
docs/images.md has both as one table. Nothing that arrived whole is sent again: before a blob is sent once more, the
registry is asked whether it has it.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy
from functools import partial
from types import TracebackType
from typing import Any

import httpx

from factory.clients import registry_referrers as referring
from factory.clients.manifests import ACCEPT
from factory.clients.registry_auth import Login, Notes
from factory.clients.registry_http import METADATA_LIMIT_BYTES
from factory.clients.registry_refusals import lasting, unreachable
from factory.clients.registry_upload import Body, Patience, Teller, Upload
from factory.clients.registry_wire import Wire
from factory.clients.retries import send_patiently
from factory.errors import PushDenied, RegistryFailed, RegistryRefused
from factory.oci.digests import digest_of
from factory.oci.media import OCI_INDEX, OCI_MANIFEST
from factory.records import Artifact, Layer, Referrer, Tell
from factory.references import Reference, parse

SETTLE_S = 300.0  # a registry may copy or hash a whole blob before it answers to its last byte
SETTLED_BYTES_PER_S = 20_000_000
TAG_ATTEMPTS = 8  # writers of one list of referrers who come at the same moment
PAGES_LIMIT = 100
AT_ONCE = 4  # requests, for one image's artefacts
OCTETS = {"Content-Type": "application/octet-stream"}


class DistributionStore:
    """Implements `ports.ImageStore`. Safe to use from several threads; close it, or use it in a `with` block.

    `login_for` is `Credentials.login_for`; `timeout_s` is for one connect and for one silence while sending,
    `patience_s` for how long a fault is waited out. `notes` keep what a 401 said, and that a
    registry has no referrers API, for the next process.
    """

    def __init__(
        self,
        login_for: Callable[[str], Login | None],
        *,
        timeout_s: float = 60.0,
        patience_s: float = 45.0,
        notes: Notes | None = None,
    ) -> None:
        self._wire = Wire(login_for, timeout_s=timeout_s, patience_s=patience_s, notes=notes)
        self._notes = notes
        self._listing = defaultdict[str, threading.Lock](threading.Lock)  # by the manifest that is referred to
        self._without_api: set[str] = set()  # registries that this process has asked
        self._artifacts: dict[str, Referrer | None] = {}
        self._there: set[tuple[str, str]] = set()  # repository and digest of what `put` has sent or found

    def __enter__(self) -> DistributionStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._wire.close()

    def counting_apart(self) -> DistributionStore:
        """Return this store with bytes counted from nothing: connections, passes and what is known stay common."""
        other = copy(self)
        other._wire = self._wire.counting_apart()
        return other

    @property
    def sent_bytes(self) -> int:
        """Bytes of blobs and manifests that sockets have taken so far, those of failed tries included."""
        return self._wire.sent_bytes

    @property
    def requests(self) -> int:
        """HTTP requests made so far."""
        return self._wire.requests

    def has(self, repository: str, digest: str) -> bool:
        """Is the blob there? Asked by HEAD."""
        where = parse(repository)
        return self._wire.ask(where, "HEAD", f"blobs/{digest}", "a question").is_success

    def mount(self, repository: str, digest: str, source: str) -> bool:
        """Let a repository have a blob of another one of the same registry, copying nothing; False when it won't.

        A source that we may not read is a "won't" too: whether we may write is seen when the blob is sent.
        """
        where, other = parse(repository), parse(source)
        if where.registry != other.registry:
            return False
        asked = httpx.QueryParams({"mount": digest, "from": other.path})
        try:
            answer = self._wire.ask(where, "POST", f"blobs/uploads/?{asked}", "a mount")
        except (PushDenied, RegistryRefused):
            return False
        if answer.status_code == 202:  # it has begun an upload instead
            self._wire.drop(where, self._wire.location(where, answer))
        return answer.status_code == 201

    def upload(self, repository: str, content: Callable[[], Iterator[bytes]], tell: Tell, key: str) -> Layer:
        """Send a blob whose digest is known only at its end, in constant memory; return digest and size.

        An upload that was cut begins again, at most `ATTEMPTS` times. Raises the tree below PushError, and whatever
        `content` raises, as it is.
        """
        where = parse(repository)
        patience, teller = Patience(self._wire.patience_s), Teller(tell, key)

        def on_sent(size_bytes: int) -> None:
            self._wire.count(size_bytes)
            patience.moved()
            teller.bytes(body.size_bytes)

        body = Body(content, on_sent)

        def attempt() -> None:
            with self._upload(where, patience) as upload:
                self._stream(where, upload, body)
                patience.moved()
                self._finish(where, upload, body.digest, body.size_bytes)

        self._try(where, patience, attempt, teller.again, lambda: body.broke)
        teller.done(body.size_bytes)
        return Layer(body.digest, body.size_bytes, "")

    def put(self, repository: str, content: bytes) -> Layer:
        """Send a small blob unless it is there; return digest and size."""
        where, digest = parse(repository), digest_of(content)
        layer = Layer(digest, len(content), "")
        if (repository, digest) in self._there or self.has(repository, digest):
            self._there.add((repository, digest))
            return layer
        patience = Patience(self._wire.patience_s)

        def attempt() -> None:
            with self._upload(where, patience) as upload:
                self._finish(where, upload, digest, len(content), content)

        self._try(where, patience, attempt, lambda _why: None, lambda: None)
        self._there.add((repository, digest))
        return layer

    def put_manifest(self, repository: str, target: str, media_type: str, content: bytes) -> str:
        """Put a manifest under a tag or its own digest, and return the digest. Docker's schema 2 and OCI's alike."""
        self._put_manifest(parse(repository), target, media_type, content)
        return digest_of(content)

    def manifest_bytes(self, repository: str, target: str) -> bytes:
        """Return the manifest that a tag or digest has now, of whatever kind; empty when there is none."""
        return self._read(parse(repository), f"manifests/{target}")

    def referrers(self, repository: str, digest: str) -> tuple[Referrer, ...]:
        """Return what refers to a manifest, by OCI 1.1's API, else by its fallback tag."""
        where = parse(repository)
        entries, is_by_tag = self._listed(where, digest)
        if is_by_tag and not entries and where.registry not in self._without_api:  # an old note: it may have one now
            entries = self._listed_by_api(where, digest) or []
        found = (self._artifact(where, str(entry["digest"])) for entry in entries)
        return tuple(referrer for referrer in found if referrer)

    def attach(self, repository: str, subject: Layer, artifact_type: str, content: bytes, media_type: str) -> Referrer:
        """Let a manifest have an artefact of one blob, unless an equal one is attached; keeps the fallback tag too."""
        return self.attach_all(repository, subject, [Artifact(artifact_type, content, media_type)])[0]

    def attach_all(self, repository: str, subject: Layer, artifacts: Sequence[Artifact]) -> tuple[Referrer, ...]:
        """Do the same for several, which the list gets at once. A blob that `put` has sent is not asked for again."""
        where, made = parse(repository), [referring.made_of(each, subject) for each in artifacts]
        contents = dict.fromkeys([referring.EMPTY, *(each.content for each in artifacts)])
        with self._listing[f"{repository}@{subject.digest}"], ThreadPoolExecutor(AT_ONCE) as pool:
            listing = pool.submit(self._listed, where, subject.digest)
            sending = [pool.submit(self.put, repository, content) for content in contents]
            entries, is_by_tag = listing.result()
            new = referring.missing(entries, made)
            for each in sending:
                each.result()
            are_listed = list(pool.map(partial(self._put_artifact, where), new))
            if unlisted := [each for each, is_listed in zip(new, are_listed, strict=True) if not is_listed]:
                self._list_by_tag(where, subject.digest, unlisted, entries if is_by_tag else None)
        return tuple(each.referrer for each in made)

    def _put_artifact(self, where: Reference, made: referring.Made) -> bool:
        """Put an artefact's manifest; does the registry list it by itself ("Pushing Manifests with Subject")?"""
        answer = self._put_manifest(where, made.referrer.digest, OCI_MANIFEST, made.manifest)
        is_listed = "oci-subject" in answer.headers
        if is_listed and self._is_noted(where):
            self._note_api(where, has_api=True)
        return is_listed

    def _list_by_tag(
        self, where: Reference, subject: str, made: Sequence[referring.Made], entries: list[dict[str, Any]] | None
    ) -> None:
        """Add artefacts to the list under the fallback tag; another process may overtake us, so look again.

        `entries` is what it holds where that was just read. One that read before and writes after our look takes us
        off the list: the API has no lock against that, and the next `attach` puts us on it again.
        """
        path = f"manifests/{(tag := referring.fallback_tag(subject))}"
        for _ in range(TAG_ATTEMPTS):
            known = referring.listed(self._read(where, path)) if entries is None else entries
            if not (new := referring.missing(known, made)):
                return
            self._put_manifest(where, tag, OCI_INDEX, referring.with_referrers(known, new))
            entries = None
        if referring.missing(referring.listed(self._read(where, path)), made):
            raise RegistryFailed(
                f"the list of what refers to the image is overwritten by others each time ({TAG_ATTEMPTS} tries)",
                where=f"{where.repository}:{tag}",
                fix="run the same command again",
            )

    def _listed(self, where: Reference, digest: str) -> tuple[list[dict[str, Any]], bool]:
        """Return the descriptors of what refers to a digest, and whether they are those of the fallback tag."""
        if not self._is_noted(where) and (entries := self._listed_by_api(where, digest)) is not None:
            return entries, False
        return referring.listed(self._read(where, f"manifests/{referring.fallback_tag(digest)}")), True

    def _is_noted(self, where: Reference) -> bool:
        """Is the registry known to have no referrers API?"""
        if where.registry in self._without_api:
            return True
        return bool(self._notes and self._notes.get("referrers API", where.registry) == "none")

    def _note_api(self, where: Reference, *, has_api: bool) -> None:
        (self._without_api.discard if has_api else self._without_api.add)(where.registry)
        if self._notes:
            self._notes.put("there" if has_api else "none", "referrers API", where.registry)

    def _listed_by_api(self, where: Reference, digest: str) -> list[dict[str, Any]] | None:
        """Ask the referrers API, page after page; None where the registry has none, which is noted."""
        path, entries = f"referrers/{digest}", list[dict[str, Any]]()
        for _ in range(PAGES_LIMIT):
            try:
                answer = self._wire.ask(where, "GET", path, "a question", {"Accept": OCI_INDEX}, METADATA_LIMIT_BYTES)
            except RegistryRefused:
                return None
            if not answer.is_success or OCI_INDEX not in answer.headers.get("content-type", ""):
                if "NAME_UNKNOWN" not in answer.text:  # a repository that isn't there yet tells nothing of the API
                    self._note_api(where, has_api=False)
                return None
            entries += referring.listed(answer.content)
            if not (more := answer.links.get("next")):
                break
            path = str(answer.request.url.join(more["url"]))
        return entries

    def _artifact(self, where: Reference, digest: str) -> Referrer | None:
        """Read an artefact's manifest, once: what a digest names never changes."""
        if digest not in self._artifacts:
            content = self._read(where, f"manifests/{digest}")
            if not content:
                return None
            self._artifacts[digest] = referring.read_artifact(content, digest)
        return self._artifacts[digest]

    def _read(self, where: Reference, path: str) -> bytes:
        """Return a manifest's bytes; empty when it isn't there."""
        answer = self._wire.ask(where, "GET", path, "a question", {"Accept": ACCEPT}, METADATA_LIMIT_BYTES)
        return answer.content if answer.is_success else b""

    def _put_manifest(self, where: Reference, target: str, media_type: str, content: bytes) -> httpx.Response:
        headers = {"Content-Type": media_type}
        answer = self._wire.ask(where, "PUT", f"manifests/{target}", "the manifest", headers, content=content)
        self._wire.count(len(content))
        if not answer.is_success:
            raise lasting(answer, where, "the manifest")
        _compare(answer, digest_of(content), where)
        return answer

    @contextmanager
    def _upload(self, where: Reference, patience: Patience) -> Iterator[Upload]:
        """Begin an upload; when it comes to nothing (Ctrl-C too), the registry is told to forget it.

        docker-registry 2.8.2 can't where a request broke off in mid-body: it purges such uploads after a week.
        """
        url = self._wire.location(where, self._wire.once(where, "POST", f"/v2/{where.path}/blobs/uploads/", "the blob"))
        patience.moved()
        upload = Upload(url)
        try:
            yield upload
        except BaseException:
            self._wire.drop(where, upload.url)
            raise

    def _stream(self, where: Reference, upload: Upload, body: Body) -> None:
        """Send the bytes. Raises what their source raised."""
        answer = self._wire.once(
            where, "PATCH", upload.url, "the blob", headers=OCTETS, content=body, silence_s=SETTLE_S
        )
        upload.url = self._wire.location(where, answer)
        if body.broke:
            raise body.broke

    def _finish(
        self, where: Reference, upload: Upload, digest: str, size_bytes: int, content: bytes | None = None
    ) -> None:
        """Close an upload, with the whole blob or after it. An answer that got lost is asked for by HEAD."""
        target = str(upload.url.copy_merge_params({"digest": digest}))
        silence_s = SETTLE_S + size_bytes / SETTLED_BYTES_PER_S
        headers = OCTETS if content is not None else {"Content-Length": "0"}

        def close() -> httpx.Response:
            answer = self._wire.send(where, "PUT", target, "the blob", headers, 0, content, silence_s)
            self._wire.count(len(content or b""))
            return answer

        try:
            answer = send_patiently(close, self._wire.patience_s)
        except httpx.TransportError:
            if self._wire.send(where, "HEAD", f"/v2/{where.path}/blobs/{digest}", "a question").is_success:
                return
            raise
        if answer.is_success:
            _compare(answer, digest, where)
            return
        if not self._wire.send(where, "HEAD", f"/v2/{where.path}/blobs/{digest}", "a question").is_success:
            answer.raise_for_status()
            raise RegistryFailed(f"HTTP {answer.status_code} is no answer of a registry", where=where.registry)

    def _try(
        self,
        where: Reference,
        patience: Patience,
        attempt: Callable[[], None],
        on_again: Callable[[str], None],
        own: Callable[[], BaseException | None],
    ) -> None:
        """Send a blob as often as it takes; `own` is what its content raised, which is nobody's fault here."""

        def guarded() -> None:
            try:
                attempt()
            except Exception as error:
                if error is own():
                    raise _OwnError from error
                raise

        try:
            patience.run(guarded, on_again)
        except _OwnError as error:
            assert error.__cause__ is not None
            raise error.__cause__ from None
        except httpx.TransportError as error:
            raise unreachable(error, where) from error
        except httpx.HTTPStatusError as error:
            raise lasting(error.response, where, "the blob") from error


class _OwnError(Exception):
    """Carries what a blob's content raised past the retries."""


def _compare(answer: httpx.Response, digest: str, where: Reference) -> None:
    """Raise RegistryRefused when the registry took something else than we sent."""
    found = answer.headers.get("docker-content-digest", digest)
    if found != digest:
        raise RegistryRefused(
            f"it took {found[:19]}… for what we sent as {digest[:19]}…",
            where=where.repository,
            fix="look at the proxy between us and the registry",
        )
