"""The recipe: one frozen pydantic model per block of the YAML file. Units are in the names."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Dtype = Literal["fp32", "bf16", "fp16", "fp8", "int8", "int4"]
Placement = Literal["volume", "image", "disk", "cached", "auto"]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{1,46}[a-z0-9])$")]
EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Block(BaseModel):
    """One block of a recipe: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)


class Model(Block):
    """A model repository on the Hugging Face Hub, and what of it the worker needs."""

    repo: Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.-]+$")]
    name: str | None = Field(None, description="How the handler names it; by default the repository's last part.")
    revision: str = Field("main", description="Branch, tag or commit; resolved to one commit.")
    include: tuple[str, ...] = Field((), description="Glob patterns of the files to take; all when empty.")
    exclude: tuple[str, ...] = Field((), description="Glob patterns of the files to leave.")
    dtype: Dtype | None = Field(None, description="The type that the weights have once loaded; as stored by default.")
    placement: Placement = Field("auto", description="Where the weights lie when the worker runs.")
    expect_gb: float | None = Field(
        None, gt=0, description="The selection's size (decimal GB); the truth may differ by at most 5 %."
    )

    @property
    def key(self) -> str:
        """The name under which the handler finds this model."""
        return self.name or self.repo.rsplit("/", 1)[1].lower()


class GitSource(Block):
    """A public git repository at one commit, laid into the image under `/opt/src/NAME`."""

    url: Annotated[str, StringConstraints(pattern=r"^https://")]
    commit: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
    name: str | None = Field(None, description="Folder below /opt/src; by default the URL's last part.")

    @property
    def folder(self) -> str:
        """The folder's name below /opt/src."""
        return self.name or self.url.rstrip("/").rsplit("/", 1)[1].removesuffix(".git")


class Image(Block):
    """What is in the image besides the worker runtime."""

    repository: str = Field(description="Where the image is pushed: `user/name` (Docker Hub) or `registry/path/name`.")
    base: str | None = Field(None, description="Base image; by default python:<python>-slim-bookworm.")
    python: Annotated[str, StringConstraints(pattern=r"^3\.\d{1,2}$")] = Field(
        "3.11", description="The image's Python, major.minor."
    )
    apt: tuple[str, ...] = Field((), description="Debian packages.")
    pip: tuple[str, ...] = Field((), description="Python requirements, pinned (name==version).")
    git: tuple[GitSource, ...] = Field((), description="Public git repositories at a commit.")
    env: dict[EnvName, str] = Field(default_factory=dict, description="Environment baked into the image.")
    steps: tuple[str, ...] = Field((), description="Extra shell commands, each a RUN step after the packages.")
    template: str | None = Field(None, description="A Dockerfile template beside the recipe, instead of ours.")

    @property
    def base_reference(self) -> str:
        """The base image as the recipe means it, before it is pinned by digest."""
        return self.base or f"python:{self.python}-slim-bookworm"


class Gpu(Block):
    """The GPUs a worker runs on: pools in order of preference, or just how much memory they need."""

    pools: tuple[str, ...] = Field((), description="RunPod's serverless GPU pool ids, in order.")
    min_vram_gb: float | None = Field(None, gt=0, le=1440, description="Choose the pools by memory per GPU (GB).")
    count: int = Field(1, ge=1, le=8, description="GPUs per worker.")
    min_cuda: Annotated[str, StringConstraints(pattern=r"^\d{2}\.\d$")] | None = Field(
        None, description="Lowest CUDA version of the host's driver."
    )
    workspace_gb: float | None = Field(
        None, ge=0, description="VRAM the handler needs beside the weights (activations, KV cache), in GB."
    )
    offload: bool = Field(False, description="Weights move between RAM and VRAM: the largest component must fit.")


class Handler(Block):
    """The code that answers a job: one of the runtime's own, or a file beside the recipe."""

    name: str | None = Field(None, description="A built-in handler.")
    file: str | None = Field(None, description="A Python file beside the recipe, with a class `Handler`.")
    options: dict[str, Any] = Field(default_factory=dict, description="Passed to the handler as they are.")


class Workers(Block):
    """How many workers the endpoint may have."""

    min: int = Field(0, ge=0, le=100)
    max: int = Field(3, ge=0, le=100)


class Scaler(Block):
    """When RunPod adds a worker."""

    type: Literal["queue_delay", "request_count"] = "queue_delay"
    value: float = Field(4, gt=0, description="Seconds a job may wait, or jobs per worker.")


class Endpoint(Block):
    """The serverless endpoint in front of the workers."""

    workers: Workers = Workers()
    idle_timeout_s: int = Field(10, ge=1, le=3600, description="Seconds a worker stays after its last job.")
    scaler: Scaler = Scaler()
    execution_timeout_s: int = Field(600, ge=5, le=604800, description="Seconds one job may run.")
    data_centers: tuple[str, ...] = Field((), description="RunPod data centre ids; any when empty.")
    flashboot: bool = Field(False, description="RunPod's FlashBoot.")


class Disk(Block):
    """Disk sizes: computed (`auto`), or given in GB and checked against what is needed."""

    container: Literal["auto"] | Annotated[int, Field(ge=1, le=2000)] = "auto"
    volume: Literal["auto"] | Annotated[int, Field(ge=10, le=4096)] = "auto"
    scratch_gb: float = Field(5, ge=0, le=1000, description="Container disk that jobs need while they run, in GB.")


class Test(Block):
    """A job with what to expect of its answer."""

    __test__ = False  # not a pytest class

    name: str | None = Field(None, description="Shown in reports; by default its number.")
    input: Annotated[dict[str, Any], Field(min_length=1)] = Field(description="The job's input; never empty.")
    expect: dict[str, Any] = Field(
        default_factory=dict, description="Path into the output (`$` is the whole) to a value or a condition."
    )
    timeout_s: int = Field(600, ge=1, le=86400, description="Seconds the job may take.")


class Recipe(Block):
    """One model endpoint, from its repository to its test jobs."""

    name: Name = Field(description="3 to 48 characters: a-z, 0-9 and '-'.")
    models: tuple[Model, ...] = Field((), description="The models; the first is the handler's `model_dir`.")
    image: Image
    gpu: Gpu | None = Field(None, description="Absent: the worker runs on a CPU.")
    handler: Handler
    endpoint: Endpoint = Endpoint()
    disk: Disk = Disk()
    volume: Name | None = Field(None, description="Network volume; recipes that give the same name share it.")
    env: dict[EnvName, str] = Field(default_factory=dict, description="The worker's environment at RunPod.")
    secrets: tuple[EnvName, ...] = Field((), description="RunPod secrets handed to the worker by name.")
    tests: tuple[Test, ...] = Field((), description="Jobs with what to expect of the answer.")

    @property
    def volume_name(self) -> str:
        """The network volume's name: the recipe's own when it names none."""
        return self.volume or self.name
