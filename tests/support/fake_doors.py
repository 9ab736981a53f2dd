"""Every door of a recipe's road in memory: `pipeline.Doors` for tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from fake_engine import FakeEngine
from fake_hub import FakeHub, FakeRegistry
from fake_store import FakeStore

from factory.pipeline import Doors
from factory.ports import ImageDirectory, WeightSource
from factory.records import HubTag, ModelFile

BASE = "python:3.11-slim-bookworm"
DIGEST = "sha256:" + "ab" * 32


class NoDirectory:
    """Docker Hub's API, which nobody should ask here."""

    def tag(self, repository: str, tag: str) -> HubTag:
        """Refuse."""
        raise AssertionError("nobody should ask")


class NoWeights:
    """Contents of models, which nobody should ask for here."""

    def read(self, repo: str, commit: str, file: ModelFile) -> Iterator[bytes]:
        """Refuse."""
        raise AssertionError("nobody should ask")


@dataclass
class FakeDoors:
    """Every door in memory; the registry knows the default base image, and `store` puts into it."""

    hub: FakeHub = field(default_factory=FakeHub)
    engine: FakeEngine = field(default_factory=FakeEngine)
    registry: FakeRegistry = field(default_factory=lambda: FakeRegistry({BASE: DIGEST}))
    directory: ImageDirectory = field(default_factory=NoDirectory)
    store: FakeStore = field(init=False)
    weights: WeightSource = field(default_factory=NoWeights)

    def __post_init__(self) -> None:
        self.store = FakeStore(self.registry)


_doors: type[Doors] = FakeDoors
