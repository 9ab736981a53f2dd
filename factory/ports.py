"""The doors that stages know. Clients fill them; tests type their fakes against them; wiring joins the two."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from factory.records import (
    BuildOptions,
    Context,
    HubTag,
    Image,
    Manifest,
    ModelFile,
    PullLimit,
    PushedImage,
    RepoInfo,
    Tell,
)


class ModelHub(Protocol):
    """The Hugging Face Hub. Every method raises the tree below `ResolveError`."""

    def info(self, repo: str, revision: str) -> RepoInfo:
        """Return the commit and what is known of the repository, in one call."""
        ...

    def files(self, repo: str, commit: str) -> Iterator[ModelFile]:
        """Yield every file at the commit, recursively: one call per 1,000 entries (folders count)."""
        ...

    def probe(self, repo: str, commit: str, path: str) -> Mapping[str, int]:
        """Read the head of one file, in one call: proof of access, and a safetensors file's dtype → parameters.

        Empty for another format. Raises AccessDenied when the repository is gated for this token.
        """
        ...

    def suggest(self, repo: str) -> tuple[str, ...]:
        """Return repositories with a similar name, best first; empty when the Hub can't be searched."""
        ...

    def download(self, repo: str, commit: str, files: Iterable[ModelFile], folder: Path, tell: Tell) -> None:
        """Lay the files below `folder`, each checked against its digest."""
        ...


class Worker(Protocol):
    """A container of the image under test, serving the SDK's own local API."""

    def is_ready(self) -> bool:
        """Is it answering HTTP? Raises WorkerExited when the container has ended."""
        ...

    def call(self, job_input: Mapping[str, object], timeout_s: float) -> Mapping[str, object]:
        """Run one job synchronously and return the SDK's answer (`status`, `output` or `error`).

        Raises WorkerExited when the container ends meanwhile, TestJobFailed when no answer comes, or none that is one.
        """
        ...

    def logs(self) -> str:
        """Return what the container has printed so far."""
        ...


class Engine(Protocol):
    """A Docker engine. Every method raises the tree below `BuildError` or `PushError`."""

    def find(self, reference: str) -> Image | None:
        """Return the image of that name or digest if the engine has it."""
        ...

    def free_bytes(self) -> int | None:
        """Return the free space of the engine's data root; None when it is not on this machine."""
        ...

    def pull(self, reference: str, tell: Tell) -> Image:
        """Pull linux/amd64 of a reference."""
        ...

    def build(self, context: Context, options: BuildOptions, tell: Tell) -> Image:
        """Build and tag the context's image; on failure or Ctrl-C nothing is left behind."""
        ...

    def push(self, reference: str, tell: Tell) -> PushedImage:
        """Push a tag and return its digest."""
        ...

    def run(
        self, reference: str, *, environment: Mapping[str, str], volume: Path | None, options: BuildOptions
    ) -> AbstractContextManager[Worker]:
        """Start the image as RunPod does, in the SDK's local mode; the container is removed on leaving."""
        ...

    def has_gpu(self) -> bool:
        """Can this engine give a container an NVIDIA GPU (an `nvidia` runtime or a CDI device in its info)?"""
        ...

    def run_once(
        self, reference: str, command: Sequence[str], *, environment: Mapping[str, str], options: BuildOptions
    ) -> tuple[int, str]:
        """Run a command in a fresh container of the image, to its end, and remove the container (on Ctrl-C too).

        The command replaces the image's own (no shell, no GPU, no volume). Returns the exit code and what was printed,
        stdout and stderr together. Raises EngineUnreachable, or BaseMissing when the engine has no such image.
        """
        ...

    def interrupt(self) -> None:
        """Stop, from any thread, what is under way in the others: each raises Interrupted."""
        ...

    def remove(self, reference: str) -> None:
        """Remove an image's name, and its layers when nothing else needs them."""
        ...


class Registry(Protocol):
    """A container registry that speaks the Distribution API.

    Raises ImageNotInRegistry, RegistryDenied, RegistryUnreachable and RegistryFailed. References are full names.
    """

    def digest(self, reference: str) -> str | None:
        """Return the digest that a tag has now, by HEAD; None when there is no such tag."""
        ...

    def manifest(self, reference: str) -> Manifest:
        """Return the linux/amd64 manifest of a tag or digest, and the platform its config names."""
        ...

    def blob_size(self, repository: str, digest: str) -> int | None:
        """Return a blob's size by HEAD; None when it is absent."""
        ...

    def read(self, repository: str, digest: str, start: int, length: int) -> bytes:
        """Read a range of a blob. Raises BlobMissing when it is absent or ends before the range does."""
        ...

    def pull_limit(self, repository: str) -> PullLimit | None:
        """Return what the repository's registry last said of its pull limit; None when it said nothing."""
        ...


class ImageDirectory(Protocol):
    """Docker Hub's own API beside its registry. Raises DockerHubFailed."""

    def tag(self, repository: str, tag: str) -> HubTag:
        """Return what Docker Hub says of a tag."""
        ...
