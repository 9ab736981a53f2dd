"""A hub and a registry in memory, typed against the ports: fixed answers, and a count of what was asked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from factory.errors import BlobMissing, ImageNotInRegistry, RegistryUnreachable, RepoNotFound
from factory.ports import ModelHub, Registry
from factory.records import GB, Layer, Manifest, ModelFile, PullLimit, RepoInfo, Tell
from factory.references import parse

COMMIT = "c0ffee" + "0" * 34


@dataclass
class FakeHub:
    """Repositories by name, each one safetensors file of so many bytes; `asked` lists the calls."""

    sizes: Mapping[str, int] = field(default_factory=lambda: {"org/small": GB // 10, "org/large": 60 * GB})
    asked: list[str] = field(default_factory=list)

    def info(self, repo: str, revision: str) -> RepoInfo:
        """Know the repository, or not."""
        self.asked.append(f"info {repo}")
        if repo not in self.sizes:
            raise RepoNotFound("no such repository", where=repo)
        return RepoInfo(repo, COMMIT, parameters={"F16": self.sizes[repo] // 2})

    def files(self, repo: str, commit: str) -> Iterator[ModelFile]:
        """List its one file."""
        yield ModelFile("model.safetensors", self.sizes[repo], f"sha256:{len(repo):064x}")

    def probe(self, repo: str, commit: str, path: str) -> Mapping[str, int]:
        """Let everybody in."""
        return {"F16": self.sizes[repo] // 2}

    def suggest(self, repo: str) -> tuple[str, ...]:
        """Know nothing like it."""
        return ()

    def download(self, repo: str, commit: str, files: Iterable[ModelFile], folder: Path, tell: Tell) -> None:
        """Lay empty files of the right names."""
        self.asked.append(f"download {repo}")
        for file in files:
            target = folder / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as sparse:
                sparse.truncate(file.size_bytes)


@dataclass
class FakeRegistry:
    """Tags by reference; `is_down`: nothing answers. What a `FakeStore` put is read here too.

    `blobs` and `manifests` (media type and bytes) are by repository, then by digest.
    """

    digests: dict[str, str] = field(default_factory=dict)
    is_down: bool = False
    blobs: dict[str, dict[str, bytes]] = field(default_factory=dict)
    manifests: dict[str, dict[str, tuple[str, bytes]]] = field(default_factory=dict)

    def digest(self, reference: str) -> str | None:
        """Look up the tag, or the digest that was put."""
        if self.is_down:
            raise RegistryUnreachable("connection refused", where=reference)
        repository, _, digest = reference.partition("@")
        return digest if digest in self.manifests.get(repository, {}) else self.digests.get(reference)

    def manifest(self, reference: str) -> Manifest:
        """Read an image's manifest that was put, and its config."""
        repository = parse(reference).repository
        digest = self.digest(reference)
        if digest is None or digest not in self.manifests.get(repository, {}):
            raise ImageNotInRegistry("no such image", where=reference)
        media_type, content = self.manifests[repository][digest]
        body = json.loads(content)
        config, *layers = (Layer(x["digest"], x["size"], x["mediaType"]) for x in (body["config"], *body["layers"]))
        platform = json.loads(self.read(repository, config.digest, 0, config.size_bytes))
        return Manifest(digest, media_type, config, tuple(layers), platform["architecture"], platform["os"])

    def blob_size(self, repository: str, digest: str) -> int | None:
        """Measure a blob that was put."""
        content = self.blobs.get(repository, {}).get(digest)
        return None if content is None else len(content)

    def read(self, repository: str, digest: str, start: int, length: int) -> bytes:
        """Read of a blob that was put."""
        content = self.blobs.get(repository, {}).get(digest)
        if content is None or len(content) < start + length:
            raise BlobMissing(f"{digest} is not there", where=repository)
        return content[start : start + length]

    def pull_limit(self, repository: str) -> PullLimit | None:
        """Say nothing of limits."""
        return None


_hub: type[ModelHub] = FakeHub
_registry: type[Registry] = FakeRegistry
