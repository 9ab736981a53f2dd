"""What a release remembers on this machine, so that the next one goes on where it stopped and repeats nothing.

One JSON file per recipe below `FACTORY_HOME/releases/`. It is a memory, never the truth: what RunPod, the registry and
the Hub say wins, and a lost journal costs time alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from factory.account import EndpointSpec, TemplateSpec
from factory.records import ImageSize

HISTORY_LENGTH = 50
Outcome = Literal["good", "rolled_back", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class Before:
    """What an endpoint was before the release under way: what is put back when its test jobs fail.

    `models` are its cached models where the release changes them, None where it leaves them alone.
    """

    endpoint_id: str
    template: TemplateSpec
    endpoint: EndpointSpec
    models: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """What ran on an endpoint from `at` on (Unix seconds), whoever made it so from this machine, and how it ended.

    `good`: it answered its test jobs. The others did not: what was before came back (`rolled_back`), no worker may
    start any more (`stopped`), or it runs as it is (`failed`: a rollback that did not help). `models` maps repository
    to commit. `restored_at` is the `at` of what a rollback put back, 0 for a release.
    """

    at: float
    outcome: Outcome
    endpoint_id: str
    endpoint: EndpointSpec
    version: int | None = None
    models: Mapping[str, str] = field(default_factory=dict)
    who: str = ""
    problems: tuple[str, ...] = ()
    restored_at: float = 0.0

    @property
    def digest(self) -> str:
        """`sha256:…` of the image; empty where it was named by a tag."""
        return self.endpoint.image.partition("@")[2]


@dataclass(frozen=True, slots=True)
class Recreation:
    """An endpoint that is being made anew: all that is needed to go on once it is deleted.

    `others` are the ids of further endpoints of that name; `extra` and `models` are what the endpoint had beside its
    specification.
    """

    old_id: str
    endpoint: EndpointSpec
    template: str
    others: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settled:
    """What a release had found in the account when nothing was left to change (`settling.py`).

    `reference` is the image by its tag; `decided_from` and `seen` are hashes; `volume` and `login` are names, empty
    where the recipe needs none; `is_public`: could anybody pull the image?
    """

    reference: str
    decided_from: str
    seen: str
    is_public: bool
    volume: str = ""
    login: str = ""


@dataclass(slots=True)
class Memory:
    """One recipe's memory.

    `fingerprints` are of the last walk's stages; `verified` is the digest that verify proved, with the image's size;
    `tested` says which deployment answered which tests. From before RunPod is changed until the tests have passed,
    `pending` says what kind of release is under way, and `before` what was there. `history` is what ran, newest last.
    `rollback` is what is being put back, `recreation` the endpoint that is being made anew. `settled` is None from
    before RunPod is changed until a release has seen that nothing is left to change.
    """

    fingerprints: dict[str, str] = field(default_factory=dict)
    verified: str = ""
    size: ImageSize | None = None
    tested: str = ""
    pending: Literal["", "first", "update"] = ""
    before: Before | None = None
    history: list[Past] = field(default_factory=list)
    rollback: Past | None = None
    recreation: Recreation | None = None
    settled: Settled | None = None

    def note(self, past: Past) -> None:
        """Add to the history, of which the newest HISTORY_LENGTH are kept."""
        self.history = [*self.history, past][-HISTORY_LENGTH:]


@dataclass(frozen=True, slots=True)
class Journal:
    """The file that keeps one recipe's memory."""

    path: Path
    memory: Memory

    @classmethod
    def read(cls, home: Path, recipe: str) -> Journal:
        """Return the recipe's journal; an empty one where there is none, or none that can be read.

        An endpoint that no recipe made has one by its name, whatever characters that has.
        """
        path = home / "releases" / f"{quote(recipe, safe=' ')}.json"
        try:
            content = path.read_bytes()
            return cls(path, _form().validate_json(content))
        except (OSError, ValidationError):
            return cls(path, Memory())

    def save(self) -> None:
        """Replace the file as a whole, so that a kill leaves the old one or the new one. Raises OSError.

        It is readable by this user alone: an endpoint's environment may hold what others should not see.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(f".{os.getpid()}.partial")
        try:
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(_form().dump_json(self.memory, indent=1))
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.path)
        finally:
            partial.unlink(missing_ok=True)


@cache
def _form() -> TypeAdapter[Memory]:
    """Return what reads and writes a memory; made on first use, since that takes longer than a plan has."""
    return TypeAdapter(Memory)
