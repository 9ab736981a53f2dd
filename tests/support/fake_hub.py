"""A hub and a registry in memory, typed against the ports: fixed answers, and a count of what was asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from factory.errors import RegistryUnreachable, RepoNotFound
from factory.ports import ModelHub, Registry
from factory.records import GB, Manifest, ModelFile, PullLimit, RepoInfo, Tell

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
    """Tags by reference; `is_down`: nothing answers."""

    digests: dict[str, str] = field(default_factory=dict)
    is_down: bool = False

    def digest(self, reference: str) -> str | None:
        """Look up the tag."""
        if self.is_down:
            raise RegistryUnreachable("connection refused", where=reference)
        return self.digests.get(reference)

    def manifest(self, reference: str) -> Manifest:
        """Refuse: nothing here has content."""
        raise AssertionError("this registry holds names only")

    def blob_size(self, repository: str, digest: str) -> int | None:
        """Refuse: nothing here has content."""
        raise AssertionError("this registry holds names only")

    def read(self, repository: str, digest: str, start: int, length: int) -> bytes:
        """Refuse: nothing here has content."""
        raise AssertionError("this registry holds names only")

    def pull_limit(self, repository: str) -> PullLimit | None:
        """Say nothing of limits."""
        return None


_hub: type[ModelHub] = FakeHub
_registry: type[Registry] = FakeRegistry
