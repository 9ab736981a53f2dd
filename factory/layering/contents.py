"""What is in an image, layer by layer: the nouns of `factory layers`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["file", "link", "removed", "emptied"]
StepKind = Literal["base", "apt", "runtime", "pip", "sources", "step", "weights", "code", "other"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a layer, from the image's root without a slash in front.

    `removed` and `emptied` are whiteouts: a path, or all below a folder, of the layers beneath is gone. `digest` is of
    the content, for files of `tar_reading.HASHED_BYTES` and more.
    """

    path: str
    kind: Kind = "file"
    size_bytes: int = 0
    digest: bytes = b""


@dataclass(frozen=True, slots=True)
class Step:
    """What made a layer: its kind, and words for people. `number` counts the recipe's own steps from 1."""

    kind: StepKind
    text: str
    number: int = 0

    @property
    def name(self) -> str:
        """`pip`, `step 2`: how findings call it."""
        return f"step {self.number}" if self.number else self.kind


@dataclass(frozen=True, slots=True)
class LayerContents:
    """One layer: `diff_id` names its tar, `stored_bytes` are those of the registry (None: only an engine has it).

    `note` says why the layer was not read; `unpacked_bytes` is the sum of its files, or None when nobody looked.
    """

    diff_id: str
    step: Step
    stored_bytes: int | None
    unpacked_bytes: int | None
    entries: tuple[Entry, ...] = ()
    note: str = ""

    @property
    def cost_bytes(self) -> int:
        """What it takes to send the layer: its stored bytes, or as much as is known."""
        return self.stored_bytes if self.stored_bytes is not None else self.unpacked_bytes or 0


@dataclass(frozen=True, slots=True)
class ImageContents:
    """One image, lowest layer first, and where it was read."""

    reference: str
    source: Literal["registry", "engine"]
    layers: tuple[LayerContents, ...]

    @property
    def above_base(self) -> tuple[LayerContents, ...]:
        """The layers that the recipe's own Dockerfile made."""
        return tuple(layer for layer in self.layers if layer.step.kind != "base")

    @property
    def cost_bytes(self) -> int:
        """What it takes to send the image whole."""
        return sum(layer.cost_bytes for layer in self.layers)
