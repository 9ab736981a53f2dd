"""Ports that ask the same thing once: for commands that walk many recipes with the same models and bases.

Answers are kept for the length of one command. A failure is not kept. Safe to use from several threads: who asks for
what is being asked waits for that answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from factory.errors import FactoryError, RegistryUnreachable
from factory.ports import ModelHub, Registry
from factory.records import Manifest, ModelFile, PullLimit, RepoInfo, Tell
from factory.references import parse

T = TypeVar("T")


class _Answers:
    """Answers by question."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, ...], Any] = {}
        self._locks: dict[tuple[str, ...], threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, question: tuple[str, ...], ask: Callable[[], T]) -> T:
        """Return the answer that is there, or ask for it; "there is none" (None) is asked again."""
        with self._lock:
            lock = self._locks.setdefault(question, threading.Lock())
        with lock:
            answer: T = self._answers.get(question) or ask()
            self._answers[question] = answer
            return answer


class HubOnce:
    """Implements `ports.ModelHub` over another one."""

    def __init__(self, hub: ModelHub) -> None:
        self._hub = hub
        self._answers = _Answers()

    def info(self, repo: str, revision: str) -> RepoInfo:
        """Return what is known of a repository."""
        return self._answers.get(("info", repo, revision), lambda: self._hub.info(repo, revision))

    def files(self, repo: str, commit: str) -> Iterator[ModelFile]:
        """Yield every file at the commit."""
        return iter(self._answers.get(("files", repo, commit), lambda: tuple(self._hub.files(repo, commit))))

    def probe(self, repo: str, commit: str, path: str) -> Mapping[str, int]:
        """Read the head of a file."""
        return self._answers.get(("probe", repo, commit, path), lambda: self._hub.probe(repo, commit, path))

    def suggest(self, repo: str) -> tuple[str, ...]:
        """Return repositories with a similar name."""
        return self._answers.get(("suggest", repo), lambda: self._hub.suggest(repo))

    def download(self, repo: str, commit: str, files: Iterable[ModelFile], folder: Path, tell: Tell) -> None:
        """Lay the files below `folder`; not kept."""
        self._hub.download(repo, commit, files, folder, tell)


class RegistryOnce:
    """Implements `ports.Registry` over another one; what a tag or digest is, is kept.

    A registry that could not be reached is not tried again: fifty recipes would wait for it fifty times.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._answers = _Answers()
        self._unreachable: dict[str, RegistryUnreachable] = {}

    def digest(self, reference: str) -> str | None:
        """Return the digest that a tag has. The first question to a registry is asked alone."""
        host = parse(reference).registry
        self._answers.get(("host", host), lambda: self._try(reference, host))
        if host in self._unreachable:
            raise self._unreachable[host]
        return self._answers.get(("digest", reference), lambda: self._registry.digest(reference))

    def _try(self, reference: str, host: str) -> bool:
        """Ask a registry its first question, and remember when nobody answers."""
        try:
            self._answers.get(("digest", reference), lambda: self._registry.digest(reference))
        except RegistryUnreachable as error:
            self._unreachable[host] = error
        except FactoryError:
            return True  # it answers; what it says is said to who asks next
        return True

    def manifest(self, reference: str) -> Manifest:
        """Return a manifest."""
        return self._answers.get(("manifest", reference), lambda: self._registry.manifest(reference))

    def blob_size(self, repository: str, digest: str) -> int | None:
        """Return a blob's size."""
        return self._registry.blob_size(repository, digest)

    def read(self, repository: str, digest: str, start: int, length: int) -> bytes:
        """Read a range of a blob."""
        return self._registry.read(repository, digest, start, length)

    def pull_limit(self, repository: str) -> PullLimit | None:
        """Return what was last said of pulls."""
        return self._registry.pull_limit(repository)
