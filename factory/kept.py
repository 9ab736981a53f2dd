"""Answers that can't change, kept below `FACTORY_HOME/answers/`: what a commit of the Hub or an image's digest holds.

What a registry wants to be asked with is kept too: an old answer there is refused, and replaced.

One file per question, its name the hash of the question and of this format's version. A file is written beside its
place and moved there, so a kill and a second process leave the old one or the new one; it starts with the hash of what
follows, and one that doesn't fit is as good as none. The least recently used go when there are more than MOST files or
MOST_BYTES bytes. Readable by this user alone: a private model's files are listed in them. No token is ever in them.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from factory.ports import ModelHub
from factory.records import ModelFile, RepoInfo, Tell

VERSION = "1"
MOST, MOST_BYTES = 2_000, 100_000_000


@dataclass(frozen=True, slots=True)
class Kept:
    """Answers in a folder. A folder that can't be read or written costs time alone: nothing here raises OSError."""

    folder: Path

    @classmethod
    def below(cls, home: Path) -> Kept:
        """Return those of FACTORY_HOME."""
        return cls(home / "answers")

    def get(self, *question: str) -> Any:
        """Return the answer (JSON's types); None where there is none that can be trusted."""
        path = self._path(question)
        try:
            digest, _, content = path.read_bytes().partition(b"\n")
            if digest != _hash(content):
                return None
            answer = json.loads(content)
            os.utime(path)
            return answer
        except (OSError, ValueError):
            return None

    def put(self, answer: Any, *question: str) -> None:
        """Keep an answer."""
        path = self._path(question)
        partial = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.partial")
        content = json.dumps(answer, separators=(",", ":")).encode()
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                    file.write(_hash(content) + b"\n" + content)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
            self._prune()

    def _path(self, question: tuple[str, ...]) -> Path:
        return self.folder / _hash(json.dumps([VERSION, *question]).encode()).decode()

    def _prune(self) -> None:
        """Remove what was used least recently, and what killed processes left, while there is too much."""
        found: list[tuple[float, int, str]] = []
        with os.scandir(self.folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another process prunes as well
                    about = entry.stat()
                    found.append((about.st_mtime, about.st_size, entry.path))
        left, left_bytes = len(found), sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if left <= MOST and left_bytes <= MOST_BYTES:
                return
            Path(path).unlink(missing_ok=True)
            left, left_bytes = left - 1, left_bytes - size


def _hash(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


class HubKept:
    """Implements `ports.ModelHub` over another one: a branch costs one call, its commit; a commit none.

    `open_hub` is called when something has to be asked: importing the Hub's client takes 0.15 s (2026-11-25).
    What depends on rights is never kept: of a gated or private repository the listing alone, whose commit the Hub has
    just named for this token, and a head is asked for each time, as the proof that the token may read it.
    """

    def __init__(self, open_hub: Callable[[], ModelHub], kept: Kept, endpoint: str) -> None:
        self._open_hub = open_hub
        self._kept = kept
        self._endpoint = endpoint

    @cached_property
    def _hub(self) -> ModelHub:
        return self._open_hub()

    def info(self, repo: str, revision: str) -> RepoInfo:
        """Return what is known of a repository; asked for unless the revision is the commit of an open one."""
        if found := self._info_at(repo, revision):
            return found
        info = self._hub.info(repo, revision)
        if info.gated == "no" and not info.is_private:
            self._kept.put(asdict(info), "info", self._endpoint, repo, info.commit)
        return info

    def files(self, repo: str, commit: str) -> Iterator[ModelFile]:
        """Yield every file at the commit."""
        question = ("files", self._endpoint, repo, commit)
        kept = self._kept.get(*question)
        if isinstance(kept, list):
            yield from (ModelFile(path, size, digest) for path, size, digest in kept)
            return
        files = tuple(self._hub.files(repo, commit))
        self._kept.put([[f.path, f.size_bytes, f.digest] for f in files], *question)
        yield from files

    def probe(self, repo: str, commit: str, path: str) -> Mapping[str, int]:
        """Read the head of a file."""
        if self._info_at(repo, commit) is None:
            return self._hub.probe(repo, commit, path)
        question = ("head", self._endpoint, repo, commit, path)
        kept = self._kept.get(*question)
        if isinstance(kept, dict):
            return kept
        head = self._hub.probe(repo, commit, path)
        self._kept.put(dict(head), *question)
        return head

    def suggest(self, repo: str) -> tuple[str, ...]:
        """Return repositories with a similar name."""
        return self._hub.suggest(repo)

    def download(self, repo: str, commit: str, files: Iterable[ModelFile], folder: Path, tell: Tell) -> None:
        """Lay the files below `folder`; their content is not kept here."""
        self._hub.download(repo, commit, files, folder, tell)

    def _info_at(self, repo: str, commit: str) -> RepoInfo | None:
        """Return what is kept of an open repository at a commit; nothing is kept of a branch."""
        kept = self._kept.get("info", self._endpoint, repo, commit)
        try:
            return RepoInfo(**kept)
        except TypeError:  # none, or not this version's fields
            return None
