"""An engine in memory, typed against the port: it keeps what is built, and knows what was pushed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from factory.errors import BaseMissing, PushError
from factory.ports import Engine, Worker
from factory.records import BuildOptions, Context, Image, PushedImage, Tell

IMAGE_BYTES = 1000


def sha256(text: str) -> str:
    """Return the digest of a text."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@dataclass
class FakeEngine:
    """Builds and pushes in memory; it runs nothing."""

    images: dict[str, Image] = field(default_factory=dict)
    built: list[tuple[Context, BuildOptions]] = field(default_factory=list)
    pushed: set[str] = field(default_factory=set)
    saved: dict[str, tuple[bytes, ...]] = field(default_factory=dict)

    def find(self, reference: str) -> Image | None:
        """Return what was built or pulled."""
        return self.images.get(reference)

    def free_bytes(self) -> int | None:
        """Memory has no data root."""
        return None

    def pull(self, reference: str, tell: Tell) -> Image:
        """Have what was pushed."""
        if reference not in self.pushed:
            raise BaseMissing("no image of that name", where=reference)
        return self._keep(reference)

    def build(self, context: Context, options: BuildOptions, tell: Tell) -> Image:
        """Remember the context."""
        self.built.append((context, options))
        image = self._keep(context.reference)
        return Image(image.reference, image.id, image.unpacked_bytes, was_built=True)

    def push(self, reference: str, tell: Tell) -> PushedImage:
        """Send what was built; nothing the second time."""
        if reference not in self.images:
            raise PushError("the engine has no image of that name", where=reference)
        sent_bytes = 0 if reference in self.pushed else IMAGE_BYTES
        self.pushed.add(reference)
        repository, tag = reference.rsplit(":", 1)
        return PushedImage(repository, tag, sha256(reference), sent_bytes)

    def run(
        self, reference: str, *, environment: Mapping[str, str], volume: Path | None, options: BuildOptions
    ) -> AbstractContextManager[Worker]:
        """Refuse: a fake container proves nothing."""
        raise AssertionError("this engine runs nothing")

    def has_gpu(self) -> bool:
        """It has none."""
        return False

    def run_once(
        self, reference: str, command: Sequence[str], *, environment: Mapping[str, str], options: BuildOptions
    ) -> tuple[int, str]:
        """Say what is installed, which is all that a fake container can."""
        if "packages:" not in command[-1]:
            raise AssertionError("this engine runs nothing")
        return 0, 'packages:["debian", [["deb", "bash", "5.2", "", "amd64"], ["pypi", "pydantic", "2.12", "MIT", ""]]]'

    def save(self, reference: str) -> Iterator[bytes]:
        """Yield what a test has put there."""
        if reference not in self.saved:
            raise BaseMissing("no image of that name", where=reference)
        yield from self.saved[reference]

    def interrupt(self) -> None:
        """Nothing here takes time."""

    def remove(self, reference: str) -> None:
        """Forget the image."""
        self.images.pop(reference, None)

    def _keep(self, reference: str) -> Image:
        image = Image(reference, sha256(f"id of {reference}"), IMAGE_BYTES, was_built=False)
        self.images[reference] = image
        return image


_: type[Engine] = FakeEngine
