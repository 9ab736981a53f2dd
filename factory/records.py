"""What one stage hands to the next: frozen records, the story in nouns.

Recipe → ModelFiles → Context → Image → PushedImage → Report, with a DiskPlan beside them. Sizes are bytes unless
the name says GB, and a GB is 10^9 bytes (as on RunPod's bill and on the Hub's pages).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

GB = 1_000_000_000


# --- progress: what a stage tells while it works -------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Progress:
    """One thing that moved: a step that started, a line it printed, bytes that went over the wire.

    `key` is stable for one step, layer or file; `text` is for people; `current` and `total` are bytes. A `note` is a
    warning that stays on the screen; `stage` is the pipeline's own (a stage begins or ends).
    """

    kind: Literal["stage", "step", "log", "bytes", "note"]
    key: str
    text: str
    state: Literal["started", "running", "done", "cached", "failed"] = "running"
    current: int = 0
    total: int | None = None


Tell = Callable[[Progress], None]


def tell_nobody(_: Progress) -> None:
    """Drop the progress."""


# --- resolve ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class RepoInfo:
    """What one call tells of a model repository at a revision."""

    repo: str
    commit: str
    gated: Literal["no", "auto", "manual"] = "no"
    is_private: bool = False
    licence: str | None = None
    parameters: Mapping[str, int] = field(default_factory=dict)  # stored dtype ("F32") → count; empty when unknown


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a repository. `digest` is `sha256:<hex>` for LFS files, else `git-sha1:<hex>` (of the git blob)."""

    path: str
    size_bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The selection of one model at one commit, exactly.

    `size_bytes` counts every path, `unique_bytes` equal content once. `placement` is resolved, never `auto`.
    `parameters` maps the stored dtype to its count for the *selection*; `parameters_source` says where from:
    the Hub's index, a header that was read, or an estimate from file sizes.
    """

    repo: str
    key: str
    revision: str
    commit: str
    files: tuple[ModelFile, ...]
    placement: Literal["volume", "image", "disk", "cached"]
    repo_bytes: int
    gated: Literal["no", "auto", "manual"] = "no"
    is_readable: bool | None = None  # None: not probed
    licence: str | None = None
    load_dtype: str | None = None
    parameters: Mapping[str, int] = field(default_factory=dict)
    parameters_source: Literal["index", "header", "file sizes"] = "file sizes"
    warnings: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Bytes of every path."""
        return sum(f.size_bytes for f in self.files)

    @property
    def unique_bytes(self) -> int:
        """Bytes with equal content counted once."""
        return sum({f.digest: f.size_bytes for f in self.files}.values())


# --- what lies on a volume -------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class StoredObject:
    """A file on a network volume, by its path from the volume's root. `changed_at` is ISO 8601, UTC."""

    path: str
    size_bytes: int
    changed_at: str


# --- size --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Term:
    """One line of an arithmetic that a person can follow."""

    label: str
    size_bytes: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class DiskSize:
    """A disk, in whole GB, and the arithmetic that gave it: `rule` is the rule of thumb, `floor` what physics sets."""

    size_gb: int
    rule: tuple[Term, ...]
    floor: tuple[Term, ...]
    is_explicit: bool
    is_exact: bool  # False: an estimate, the image does not exist yet

    @property
    def rule_bytes(self) -> int:
        """Sum of the rule of thumb."""
        return sum(t.size_bytes for t in self.rule)

    @property
    def floor_bytes(self) -> int:
        """Sum of the floor."""
        return sum(t.size_bytes for t in self.floor)


@dataclass(frozen=True, slots=True)
class PoolFit:
    """How the weights as loaded sit in one GPU pool's smallest card."""

    pool: str
    vram_gb: float
    usable_bytes: int
    weights_bytes: int
    needed_bytes: int
    verdict: Literal["fine", "warning", "error"]
    sentence: str


@dataclass(frozen=True, slots=True)
class DiskPlan:
    """Container disk, network volume (None: the recipe needs none) and the fit into each GPU pool."""

    container: DiskSize
    volume: DiskSize | None
    fits: tuple[PoolFit, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageSize:
    """An image's bytes: `compressed` as the registry holds it, `unpacked` as a worker's disk does."""

    compressed_bytes: int
    unpacked_bytes: int
    is_exact: bool


# --- render ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class BaseImage:
    """The base image: as the recipe says it, and pinned by digest when its registry could be asked."""

    reference: str
    digest: str | None = None

    @property
    def pinned(self) -> str:
        """The FROM line's reference."""
        return f"{self.reference}@{self.digest}" if self.digest else self.reference


@dataclass(frozen=True, slots=True)
class ContextFile:
    """One file of a build context: small ones carry their bytes, weights the path of a file on this machine.

    Weights that no engine has asked for yet have neither: they are known by the Hub's digest and size alone.
    """

    path: str
    mode: int
    digest: str  # sha256:<hex> of the content (weights: the Hub's digest)
    size_bytes: int
    content: bytes | None = None
    source: Path | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """A deterministic build context. `digest` (sha256 hex) covers every path, mode and content; it is the tag.

    `environment` is the same image up to its last step that runs anything (packages, sources, steps), as a context of
    its own: whatever lies above it is copied or said, so it can be put together without an engine. Its repository is
    the shared one of the registry's namespace, its `tag` begins with `env-`. None when nothing can be cut off.
    """

    recipe: str
    repository: str
    files: tuple[ContextFile, ...]
    base: BaseImage
    digest: str
    warnings: tuple[str, ...] = ()
    # Labels that the engine sets and no file holds: they must not change the tag (the source revision).
    labels: Mapping[str, str] = field(default_factory=dict)
    environment: Context | None = None
    is_environment: bool = False

    @property
    def tag(self) -> str:
        """The image's tag: the first 16 hex digits of the context's digest."""
        return ("env-" if self.is_environment else "") + self.digest[:16]

    @property
    def reference(self) -> str:
        """repository:tag."""
        return f"{self.repository}:{self.tag}"


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """A Python package as a lock has it: `hashes` (`sha256:…`) of every file that may be installed for it.

    `url` is set for one that comes from there and not from an index; it has no version then.
    """

    name: str
    version: str
    hashes: tuple[str, ...]
    url: str | None = None

    def __str__(self) -> str:
        """Return the line of a requirements file."""
        hashes = "".join(f" --hash={each}" for each in self.hashes)
        return (f"{self.name} @ {self.url}" if self.url else f"{self.name}=={self.version}") + hashes


# --- build, push, verify -------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class BuildOptions:
    """Options of the machine, never of a recipe; they leave no trace in the image."""

    network: str | None = None  # "host": RUN steps use the host's network
    ca_file: Path | None = None  # PEM bundle trusted while RUN steps run
    proxies: Mapping[str, str] = field(default_factory=dict)  # http_proxy, https_proxy, no_proxy


@dataclass(frozen=True, slots=True)
class Image:
    """An image in the engine. `id` is the engine's (`sha256:…`)."""

    reference: str
    id: str
    unpacked_bytes: int
    was_built: bool  # False: it was there already ("up to date")


@dataclass(frozen=True, slots=True)
class PushedImage:
    """An image in a registry, named by digest. `sent_bytes` is what this push sent, 0 when all was there."""

    repository: str
    tag: str
    digest: str
    sent_bytes: int = 0

    @property
    def reference(self) -> str:
        """repository@digest."""
        return f"{self.repository}@{self.digest}"


@dataclass(frozen=True, slots=True)
class Layer:
    """A blob a manifest names."""

    digest: str
    size_bytes: int
    media_type: str


@dataclass(frozen=True, slots=True)
class StoredLayer:
    """A layer that lies in a registry: the blob as it is stored, and the tar that it unpacks to.

    `diff_id` is the tar's sha256, `created_by` the line of the image's history, `was_sent` whether this run sent it.
    """

    blob: Layer
    diff_id: str
    unpacked_bytes: int
    created_by: str
    was_sent: bool = True


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image manifest for one platform, read from a registry."""

    digest: str
    media_type: str
    config: Layer
    layers: tuple[Layer, ...]
    architecture: str
    os: str
    size_bytes: int = 0  # of the manifest itself, 0 when nobody counted

    @property
    def compressed_bytes(self) -> int:
        """Bytes of the layers as stored, with the config."""
        return self.config.size_bytes + sum(layer.size_bytes for layer in self.layers)


@dataclass(frozen=True, slots=True)
class Referrer:
    """What is attached to an image (OCI image-spec v1.1, `subject`): its manifest's digest, what it is, its blob."""

    digest: str
    artifact_type: str
    blob: Layer


@dataclass(frozen=True, slots=True)
class Artifact:
    """What is to be attached to an image: what it is, its one blob, and that blob's media type."""

    artifact_type: str
    content: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class HubTag:
    """What Docker Hub's own API says of a tag. `full_size_bytes` is compressed; times are ISO 8601."""

    digest: str
    full_size_bytes: int
    last_updated: str
    is_private: bool


@dataclass(frozen=True, slots=True)
class PullLimit:
    """How many pulls a registry still grants these credentials, of how many, in a window of `window_s` seconds."""

    left: int
    limit: int
    window_s: int


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that verify looked at."""

    name: str
    verdict: Literal["ok", "warning", "skipped"]
    detail: str


@dataclass(frozen=True, slots=True)
class JobAnswer:
    """A test job's answer: `problems` is empty when it is what the recipe expects."""

    name: str
    output: object
    duration_s: float
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What verify proved. `phases` maps a start-up phase of the worker to its seconds, in order."""

    image: PushedImage
    size: ImageSize
    checks: tuple[Check, ...]
    answers: tuple[JobAnswer, ...] = ()
    phases: Mapping[str, float] = field(default_factory=dict)


# --- provision -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Deployment:
    """A live endpoint. `image` is by digest; `was_changed` says whether this run made or changed anything."""

    recipe: str
    endpoint_id: str
    template_id: str
    volume_id: str | None
    version: int | None
    image: str
    was_changed: bool
    pools: tuple[str, ...]
    data_centers: tuple[str, ...]
