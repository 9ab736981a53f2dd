"""The recipe: one frozen pydantic model per block of the YAML file. Units are in the names."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from factory.recipe.forms import (
    Commit,
    CudaVersion,
    DebianPackage,
    Folder,
    GitUrl,
    HubRepository,
    ImageReference,
    ImageRepository,
    Line,
    LineOrNothing,
    Name,
    PythonVersion,
    Variable,
)

Dtype = Literal["fp32", "bf16", "fp16", "fp8", "int8", "int4"]
Placement = Literal["volume", "image", "disk", "cached", "auto"]


class Block(BaseModel):
    """One block of a recipe: unknown keys are errors, values never change."""

    # Each block's validator would be built for itself, and again in Recipe's: Recipe's is enough.
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False, defer_build=True)


class Model(Block):
    """A model repository on the Hugging Face Hub, and what of it the worker needs."""

    repo: HubRepository = Field(description="The repository on the Hub, `owner/name`.")
    name: Folder | None = Field(
        default=None, description="How the handler names it; by default the repository's last part."
    )
    revision: str = Field(default="main", description="Branch, tag or commit; resolved to one commit.")
    include: tuple[str, ...] = Field(default=(), description="Glob patterns of the files to take; all when empty.")
    exclude: tuple[str, ...] = Field(default=(), description="Glob patterns of the files to leave.")
    dtype: Dtype | None = Field(
        default=None, description="The type that the weights have once loaded; as stored by default."
    )
    placement: Placement = Field(default="auto", description="Where the weights lie when the worker runs.")
    expect_gb: float | None = Field(
        default=None, gt=0, description="The selection's size (decimal GB); the truth may differ by at most 5 %."
    )

    @property
    def key(self) -> str:
        """The name under which the handler finds this model."""
        return self.name or self.repo.rsplit("/", 1)[1].lower()


class GitSource(Block):
    """A public git repository at one commit, laid into the image under `/opt/src/NAME`."""

    url: GitUrl = Field(description="The repository's https:// URL, without credentials.")
    commit: Commit = Field(description="The commit, 40 hex digits.")
    name: Folder | None = Field(default=None, description="Folder below /opt/src; by default the URL's last part.")

    @property
    def folder(self) -> str:
        """The folder's name below /opt/src."""
        return self.name or self.url.rstrip("/").rsplit("/", 1)[1].removesuffix(".git")


class Image(Block):
    """What is in the image besides the worker runtime."""

    repository: ImageRepository = Field(
        description="Where the image is pushed: `user/name` (Docker Hub) or `registry/path/name`."
    )
    base: ImageReference | None = Field(
        default=None, description="Base image; by default python:<python>-slim-bookworm."
    )
    python: PythonVersion = Field(default="3.11", description="The image's Python, major.minor.")
    apt: tuple[DebianPackage, ...] = Field(default=(), description="Debian packages.")
    pip: tuple[Line, ...] = Field(default=(), description="Python requirements, pinned (name==version).")
    git: tuple[GitSource, ...] = Field(default=(), description="Public git repositories at a commit.")
    env: dict[Variable, LineOrNothing] = Field(default_factory=dict, description="Environment baked into the image.")
    steps: tuple[Line, ...] = Field(default=(), description="Extra shell commands, each a RUN step after the packages.")
    template: str | None = Field(default=None, description="A Dockerfile template beside the recipe, instead of ours.")

    @property
    def base_reference(self) -> str:
        """The base image as the recipe means it, before it is pinned by digest."""
        return self.base or f"python:{self.python}-slim-bookworm"


class Gpu(Block):
    """The GPUs a worker runs on: pools in order of preference, or just how much memory they need."""

    pools: tuple[str, ...] = Field(default=(), description="RunPod's serverless GPU pool ids, in order.")
    min_vram_gb: float | None = Field(
        default=None, gt=0, le=1440, description="Choose the pools by memory per GPU (GB)."
    )
    count: int = Field(default=1, ge=1, le=8, description="GPUs per worker.")
    min_cuda: CudaVersion | None = Field(default=None, description="Lowest CUDA version of the host's driver.")
    workspace_gb: float | None = Field(
        default=None, ge=0, description="VRAM the handler needs beside the weights (activations, KV cache), in GB."
    )
    offload: bool = Field(
        default=False, description="Weights move between RAM and VRAM: the largest component must fit."
    )


class Handler(Block):
    """The code that answers a job: one of the runtime's own, or a file beside the recipe."""

    name: str | None = Field(default=None, description="A built-in handler.")
    file: str | None = Field(default=None, description="A Python file beside the recipe, with a class `Handler`.")
    options: dict[str, Any] = Field(default_factory=dict, description="Passed to the handler as they are.")


class Workers(Block):
    """How many workers the endpoint may have."""

    min: int = Field(default=0, ge=0, le=100, description="Workers that always run, and are billed.")
    max: int = Field(default=3, ge=0, le=100, description="Workers that may run at once.")


class Scaler(Block):
    """When RunPod adds a worker."""

    type: Literal["queue_delay", "request_count"] = Field(default="queue_delay", description="What is watched.")
    value: float = Field(default=4, gt=0, description="Seconds a job may wait, or jobs per worker.")


class Endpoint(Block):
    """The serverless endpoint in front of the workers."""

    workers: Workers = Field(default=Workers(), description="How many workers.")
    idle_timeout_s: int = Field(default=10, ge=1, le=3600, description="Seconds a worker stays after its last job.")
    scaler: Scaler = Field(default=Scaler(), description="When a worker is added.")
    execution_timeout_s: int = Field(default=600, ge=5, le=604800, description="Seconds one job may run.")
    data_centers: tuple[str, ...] = Field(default=(), description="RunPod data centre ids; any when empty.")
    flashboot: bool = Field(default=False, description="RunPod's FlashBoot.")


class Disk(Block):
    """Disk sizes: computed (`auto`), or given in GB and checked against what is needed."""

    container: Literal["auto"] | Annotated[int, Field(ge=1, le=2000)] = Field(
        default="auto", description="The worker's own disk, in GB."
    )
    volume: Literal["auto"] | Annotated[int, Field(ge=10, le=4096)] = Field(
        default="auto", description="The network volume, in GB."
    )
    scratch_gb: float = Field(
        default=5, ge=0, le=1000, description="Container disk that jobs need while they run, in GB."
    )


class Test(Block):
    """A job with what to expect of its answer."""

    __test__ = False  # not a pytest class

    name: str | None = Field(default=None, description="Shown in reports; by default its number.")
    input: Annotated[dict[str, Any], Field(min_length=1)] = Field(description="The job's input; never empty.")
    expect: dict[str, Any] = Field(
        default_factory=dict, description="Path into the output (`$` is the whole) to a value or a condition."
    )
    timeout_s: int = Field(default=600, ge=1, le=86400, description="Seconds the job may take.")


class Recipe(Block):
    """One model endpoint, from its repository to its test jobs."""

    name: Name = Field(description="3 to 48 characters: a-z, 0-9 and '-'.")
    models: tuple[Model, ...] = Field(default=(), description="The models; the first is the handler's `model_dir`.")
    image: Image = Field(description="What is in the image besides the worker runtime.")
    gpu: Gpu | None = Field(default=None, description="Absent: the worker runs on a CPU.")
    handler: Handler = Field(description="The code that answers a job.")
    endpoint: Endpoint = Field(default=Endpoint(), description="The serverless endpoint in front of the workers.")
    disk: Disk = Field(default=Disk(), description="Disk sizes.")
    volume: Name | None = Field(default=None, description="Network volume; recipes that give the same name share it.")
    env: dict[Variable, str] = Field(default_factory=dict, description="The worker's environment at RunPod.")
    secrets: tuple[Variable, ...] = Field(default=(), description="RunPod secrets handed to the worker by name.")
    tests: tuple[Test, ...] = Field(default=(), description="Jobs with what to expect of the answer.")

    @property
    def volume_name(self) -> str:
        """The network volume's name: the recipe's own when it names none."""
        return self.volume or self.name
