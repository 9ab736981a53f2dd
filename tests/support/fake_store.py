"""A registry that takes blobs, in memory, typed against the port. What is put can be read through its FakeRegistry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from fake_hub import FakeRegistry

from factory.errors import PushDenied, RegistryRefused, RegistryUnreachable
from factory.ports import ImageStore
from factory.records import Artifact, Layer, Progress, Referrer, Tell


@dataclass
class FakeStore:
    """Puts into `registry`. `calls` lists what was done; `refused` holds repositories that let nobody write.

    `cuts` is how many uploads break off before they go through; `may_mount` False refuses every mount.
    """

    registry: FakeRegistry = field(default_factory=FakeRegistry)
    refused: set[str] = field(default_factory=set)
    may_mount: bool = True
    cuts: int = 0
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    attached: dict[tuple[str, str], list[Referrer]] = field(default_factory=dict)
    sent: int = 0

    @property
    def sent_bytes(self) -> int:
        """Bytes that were sent."""
        return self.sent

    @property
    def requests(self) -> int:
        """One per call."""
        return len(self.calls)

    @property
    def mounts(self) -> list[tuple[str, str]]:
        """Repository and digest of each blob that was mounted."""
        return [(repository, digest) for what, repository, digest in self.calls if what == "mount"]

    def has(self, repository: str, digest: str) -> bool:
        """Look."""
        self._called("has", repository, digest)
        return digest in self.registry.blobs.get(repository, {})

    def mount(self, repository: str, digest: str, source: str) -> bool:
        """Share a blob that the source has."""
        content = self.registry.blobs.get(source, {}).get(digest)
        if content is None or not self.may_mount or source.split("/")[0] != repository.split("/")[0]:
            self._called("mount refused", repository, digest)
            return False
        self._called("mount", repository, digest)
        self._blobs(repository)[digest] = content
        return True

    def upload(self, repository: str, content: Callable[[], Iterator[bytes]], tell: Tell, key: str) -> Layer:
        """Take a blob; the first `cuts` tries break off half-way and are made again."""
        blobs = self._blobs(repository)
        while True:
            parts = []
            for part in content():
                parts.append(part)
                self.sent += len(part)
                tell(Progress("bytes", key, "sending", current=sum(map(len, parts))))
                if self.cuts:
                    break
            if not self.cuts:
                break
            self.cuts -= 1
        whole = b"".join(parts)
        digest = _digest(whole)
        self._called("upload", repository, digest)
        blobs[digest] = whole
        tell(Progress("bytes", key, "sent", "done", len(whole), len(whole)))
        return Layer(digest, len(whole), "")

    def put(self, repository: str, content: bytes) -> Layer:
        """Take a small blob unless it is there."""
        blobs, digest = self._blobs(repository), _digest(content)
        if digest not in blobs:
            self._called("put", repository, digest)
            self.sent += len(content)
            blobs[digest] = content
        return Layer(digest, len(content), "")

    def put_manifest(self, repository: str, target: str, media_type: str, content: bytes) -> str:
        """Take a manifest whose blobs are there, as a real registry demands."""
        blobs, digest = self._blobs(repository), _digest(content)
        body = json.loads(content)
        for entry in (body["config"], *body["layers"]) if "config" in body else ():
            if entry["digest"] not in blobs:
                raise RegistryRefused(f"it refuses the manifest (no blob {entry['digest'][:19]}…)", where=repository)
        self._called("put_manifest", repository, target)
        self.sent += len(content)
        self.registry.manifests.setdefault(repository, {})[digest] = (media_type, content)
        if target != digest:
            self.registry.digests[f"{repository}:{target}"] = digest
        return digest

    def manifest_bytes(self, repository: str, target: str) -> bytes:
        """Return a manifest that was put."""
        self._called("manifest_bytes", repository, target)
        digest = self.registry.digests.get(f"{repository}:{target}", target)
        return self.registry.manifests.get(repository, {}).get(digest, ("", b""))[1]

    def referrers(self, repository: str, digest: str) -> tuple[Referrer, ...]:
        """List what was attached."""
        self._called("referrers", repository, digest)
        return tuple(self.attached.get((repository, digest), ()))

    def attach(self, repository: str, subject: Layer, artifact_type: str, content: bytes, media_type: str) -> Referrer:
        """Attach it unless it is."""
        blob = Layer(_digest(content), len(content), media_type)
        name = f"{subject.digest} {artifact_type} {blob}"
        found = Referrer(_digest(name.encode()), artifact_type, blob)
        there = self.attached.setdefault((repository, subject.digest), [])
        if found not in there:
            self.put(repository, content)
            there.append(found)
        return found

    def attach_all(self, repository: str, subject: Layer, artifacts: Sequence[Artifact]) -> tuple[Referrer, ...]:
        """Attach one after the other."""
        return tuple(
            self.attach(repository, subject, each.artifact_type, each.content, each.media_type) for each in artifacts
        )

    def _blobs(self, repository: str) -> dict[str, bytes]:
        if self.registry.is_down:
            raise RegistryUnreachable("no answer", where=repository.split("/")[0])
        if repository in self.refused:
            raise PushDenied("it does not let us write anonymously (HTTP 401)", where=repository)
        return self.registry.blobs.setdefault(repository, {})

    def _called(self, what: str, repository: str, target: str) -> None:
        if self.registry.is_down:
            raise RegistryUnreachable("no answer", where=repository.split("/")[0])
        self.calls.append((what, repository, target))


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


_store: type[ImageStore] = FakeStore
