"""What a release remembers on this machine, so that the next one goes on where it stopped and repeats nothing.

One JSON file per recipe below `FACTORY_HOME/releases/`. It is a memory, never the truth: what RunPod, the registry and
the Hub say wins, and a lost journal costs time alone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from factory.account import EndpointSpec, TemplateSpec
from factory.records import ImageSize


@dataclass(frozen=True, slots=True)
class Before:
    """What an endpoint was before the release under way: what is put back when its test jobs fail."""

    endpoint_id: str
    template: TemplateSpec
    endpoint: EndpointSpec


@dataclass(slots=True)
class Memory:
    """One recipe's memory.

    `fingerprints` are of the last walk's stages; `verified` is the digest that verify proved, with the image's size;
    `tested` says which deployment answered which tests. From before RunPod is changed until the tests have passed,
    `pending` says what kind of release is under way, and `before` what was there.
    """

    fingerprints: dict[str, str] = field(default_factory=dict)
    verified: str = ""
    size: ImageSize | None = None
    tested: str = ""
    pending: Literal["", "first", "update"] = ""
    before: Before | None = None


@dataclass(frozen=True, slots=True)
class Journal:
    """The file that keeps one recipe's memory."""

    path: Path
    memory: Memory

    @classmethod
    def read(cls, home: Path, recipe: str) -> Journal:
        """Return the recipe's journal; an empty one where there is none, or none that can be read."""
        path = home / "releases" / f"{recipe}.json"
        try:
            return cls(path, _FORM.validate_json(path.read_bytes()))
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
                file.write(_FORM.dump_json(self.memory, indent=1))
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.path)
        finally:
            partial.unlink(missing_ok=True)


_FORM = TypeAdapter(Memory)
