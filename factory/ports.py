"""The doors that stages know. Clients fill them; tests type their fakes against them; wiring joins the two."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from factory.records import (
    Artifact,
    BuildOptions,
    Context,
    HubTag,
    Image,
    Layer,
    LockedPackage,
    Manifest,
    ModelFile,
    PullLimit,
    PushedImage,
    Referrer,
    RepoInfo,
    StoredObject,
    Tell,
)

if TYPE_CHECKING:  # only the half of factory that speaks to RunPod needs these nouns
    from factory.account import (
        Balance,
        CloudWorker,
        DataCenter,
        Endpoint,
        EndpointSpec,
        GpuOffer,
        Health,
        Holdings,
        JobRequest,
        JobResult,
        Login,
        LogLine,
        Pod,
        Release,
        Rollout,
        Template,
        TemplateSpec,
        Volume,
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

    def save(self, reference: str) -> Iterator[bytes]:
        """Yield an image as the tar of `docker save`: its layers as tars, and the JSON that names them.

        Raises BaseMissing when the engine has no such image.
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


class ImageStore(Protocol):
    """A registry that takes blobs and manifests from us, with no engine between. Raises the tree below `PushError`.

    `repository` is a full name without a tag. May be used by several threads. Nothing is sent that is there already.
    """

    def has(self, repository: str, digest: str) -> bool:
        """Is the blob there? Asked by HEAD."""
        ...

    def mount(self, repository: str, digest: str, source: str) -> bool:
        """Let a repository have a blob of another one of the same registry, copying nothing; False when it won't."""
        ...

    def upload(self, repository: str, content: Callable[[], Iterator[bytes]], tell: Tell, key: str) -> Layer:
        """Send a blob whose digest is known only at its end, in constant memory; return digest and size.

        `content` begins the bytes anew at each call: an upload that was cut is made again from its beginning, since
        registries drop it (docker-registry 2.8.2, measured 2026-11-23). `tell` gets Progress of kind `bytes` under
        `key`. The layer's media type is empty: who sends it knows.
        """
        ...

    def put(self, repository: str, content: bytes) -> Layer:
        """Send a small blob unless it is there; return digest and size."""
        ...

    def put_manifest(self, repository: str, target: str, media_type: str, content: bytes) -> str:
        """Put a manifest under a tag or its own digest, and return the digest."""
        ...

    def manifest_bytes(self, repository: str, target: str) -> bytes:
        """Return the manifest that a tag or digest has now, of whatever kind; empty when there is none."""
        ...

    def referrers(self, repository: str, digest: str) -> tuple[Referrer, ...]:
        """Return what refers to a manifest (SBOM, provenance, signature): OCI 1.1's API, or its fallback tag."""
        ...

    def attach(self, repository: str, subject: Layer, artifact_type: str, content: bytes, media_type: str) -> Referrer:
        """Let a manifest have an artefact of one blob, unless an equal one is attached; keeps the fallback tag too."""
        ...

    def attach_all(self, repository: str, subject: Layer, artifacts: Sequence[Artifact]) -> tuple[Referrer, ...]:
        """Do the same for several, which the list gets at once."""
        ...

    @property
    def sent_bytes(self) -> int:
        """Bytes of blobs and manifests that this store has sent so far."""
        ...

    @property
    def requests(self) -> int:
        """HTTP requests made so far."""
        ...


class Checkout(Protocol):
    """A git repository, as it was at its revisions. Raises SettingsError."""

    @property
    def root(self) -> Path:
        """The repository's folder."""
        ...

    def commit(self, revision: str) -> str:
        """Return the commit that a revision names."""
        ...

    def lay(self, commit: str, folders: Sequence[Path], target: Path) -> None:
        """Write the files that lay below `folders` (relative to the root) at a commit to the same paths in `target`."""
        ...


class ImageDirectory(Protocol):
    """Docker Hub's own API beside its registry. Raises DockerHubFailed."""

    def tag(self, repository: str, tag: str) -> HubTag:
        """Return what Docker Hub says of a tag."""
        ...


class Cloud(Protocol):
    """RunPod's management, over REST v2 or GraphQL alike. Every method raises the tree below `ProvisionError`.

    A list is fetched anew at each call, whole. A create is never repeated blindly: after a time-out it is looked for
    by name, and made again only when it isn't there.
    """

    @property
    def name(self) -> str:
        """`rest` or `graphql`."""
        ...

    def balance(self) -> Balance:
        """Return money, spend and worker quota (GraphQL in both cases: REST v2 has no route for it)."""
        ...

    def gpus(self) -> tuple[GpuOffer, ...]:
        """Return the GPU types with serverless price and stock per data centre."""
        ...

    def data_centers(self) -> tuple[DataCenter, ...]:
        """Return the data centres."""
        ...

    def secrets(self) -> tuple[str, ...]:
        """Return the names of the account's secrets."""
        ...

    def pods(self) -> tuple[Pod, ...]:
        """Return the rented pods, without the workers of endpoints and the members of clusters."""
        ...

    def spend(self, hours: int = 24) -> Mapping[str, float]:
        """Return endpoint id → US dollars billed for its workers in the last full hours and the one that runs.

        REST v2 in both cases. RunPod's bill lags behind by some minutes; an endpoint without a charge is absent.
        """
        ...

    def holdings(self, *, volumes: bool, logins: bool) -> Holdings:
        """Return endpoints and templates, and volumes and logins where asked for, in as few calls as the API has.

        One over GraphQL, one for each kind over REST v2, all at once.
        """
        ...

    def volumes(self) -> tuple[Volume, ...]:
        """Return the network volumes."""
        ...

    def create_volume(self, name: str, data_center: str, size_gb: int) -> Volume:
        """Make a network volume."""
        ...

    def grow_volume(self, volume: Volume, size_gb: int) -> Volume:
        """Make a volume larger."""
        ...

    def delete_volume(self, volume: Volume) -> None:
        """Remove a volume with all that lies on it; RunPod refuses while an endpoint has it."""
        ...

    def logins(self) -> tuple[Login, ...]:
        """Return the registry logins."""
        ...

    def create_login(self, name: str, username: str, password: str) -> Login:
        """Store a registry login."""
        ...

    def delete_login(self, login: Login) -> None:
        """Remove a registry login."""
        ...

    def templates(self) -> tuple[Template, ...]:
        """Return the account's own templates."""
        ...

    def create_template(self, spec: TemplateSpec) -> Template:
        """Make a serverless template."""
        ...

    def update_template(self, template: Template, spec: TemplateSpec) -> Template:
        """Give a template another content; no endpoint changes by it."""
        ...

    def delete_template(self, template: Template) -> None:
        """Remove a template that no endpoint uses."""
        ...

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return the serverless endpoints."""
        ...

    def create_endpoint(self, spec: EndpointSpec, template: Template) -> Endpoint:
        """Make a queue endpoint from a template that says the same of image, disk, env and login as `spec`."""
        ...

    def update_endpoint(self, endpoint: Endpoint, spec: EndpointSpec, template: Template) -> Endpoint:
        """Give an endpoint another configuration; what `endpoint.extra` holds stays."""
        ...

    def delete_endpoint(self, endpoint: Endpoint) -> None:
        """Remove an endpoint; its queued jobs are cancelled."""
        ...

    def models(self, endpoint_id: str) -> tuple[str, ...]:
        """Return an endpoint's cached models, `https://huggingface.co/org/name:commit` (GraphQL in both cases)."""
        ...

    def all_models(self) -> Mapping[str, tuple[str, ...]]:
        """Return the cached models of every endpoint that has some, by its id (GraphQL in both cases)."""
        ...

    def set_models(self, endpoint_id: str, references: Sequence[str]) -> tuple[str, ...]:
        """Give an endpoint these cached models and no others; return them as RunPod keeps them (GraphQL in both cases).

        A branch or tag is pinned to its commit, so a reference that names a commit comes back as it is. A change rolls
        the workers. All else that the endpoint has stays, and later updates keep the models.
        """
        ...

    def workers(self, endpoint_id: str) -> tuple[CloudWorker, ...]:
        """Return an endpoint's workers."""
        ...

    def rollout(self, endpoint_id: str) -> Rollout:
        """Return how many workers run the current configuration."""
        ...

    def releases(self, endpoint_id: str) -> tuple[Release, ...]:
        """Return an endpoint's releases, newest first; empty over GraphQL, which has none."""
        ...

    def logs(self, endpoint_id: str, worker_id: str, *, tail: int = 100, follow: bool = False) -> Iterator[LogLine]:
        """Yield a worker's log lines; without `follow` those that are there. REST v2 in both cases."""
        ...


class Jobs(Protocol):
    """RunPod's job API of one account. Every method raises the tree below `RunError`."""

    def submit(self, endpoint_id: str, job: JobRequest) -> JobResult:
        """Queue a job; never sent twice unless RunPod certainly did not get it."""
        ...

    def run_sync(self, endpoint_id: str, job: JobRequest, wait_s: float) -> JobResult:
        """Queue a job and wait for its end in the same call, at most `wait_s` (RunPod: 1 to 300 s)."""
        ...

    def status(self, endpoint_id: str, job_id: str) -> JobResult:
        """Return a job as it is; EXPIRED when RunPod no longer knows it. Raises EndpointNotFound."""
        ...

    def wait(self, endpoint_id: str, job_id: str, timeout_s: float, watch: Callable[[JobResult], None]) -> JobResult:
        """Ask with back-off until the job has ended; `watch` gets every answer. Raises JobTimedOut."""
        ...

    def stream(self, endpoint_id: str, job_id: str, timeout_s: float) -> Iterator[object]:
        """Yield a job's chunks as they come; ends when the job does."""
        ...

    def cancel(self, endpoint_id: str, job_id: str) -> JobResult:
        """Cancel a job."""
        ...

    def retry(self, endpoint_id: str, job_id: str) -> JobResult:
        """Queue a failed job again."""
        ...

    def purge(self, endpoint_id: str) -> int:
        """Drop every job that waits; returns how many."""
        ...

    def health(self, endpoint_id: str) -> Health:
        """Return the endpoint's counts."""
        ...

    def requests(self, endpoint_id: str) -> tuple[JobResult, ...]:
        """Return the jobs that RunPod remembers."""
        ...


class PackageIndex(Protocol):
    """Where Python packages come from. Raises RenderError, one sentence."""

    def resolve(
        self, requirements: Sequence[str], python: str, preferred: Sequence[LockedPackage]
    ) -> tuple[LockedPackage, ...]:
        """Return every package that requirements bring for linux/amd64 and a Python (`3.11`), by name, with hashes.

        Of `preferred` each version is taken that the requirements allow; else the newest one.
        """
        ...


class WeightSource(Protocol):
    """Where the content of a model's files comes from. Raises the tree below `ResolveError`."""

    def read(self, repo: str, commit: str, file: ModelFile) -> Iterator[bytes]:
        """Yield a file's content in order, from its first byte to its last; a cut connection goes on where it broke."""
        ...


class VolumeStore(Protocol):
    """A network volume's files through RunPod's S3 API. Every method raises the tree below `StoreError`.

    Paths are from the volume's root, without a slash in front. May be used by several threads.
    """

    def demand(self) -> None:
        """Say at once when the volume can't be reached: after few attempts, for somebody who waits for the sentence."""
        ...

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield every file below a prefix; an empty folder is yielded with a slash at its end."""
        ...

    def head(self, path: str) -> StoredObject | None:
        """Return a file's size and time, None when there is none."""
        ...

    def read(self, path: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the content from byte `start` to before `end`; a cut connection goes on where it broke."""
        ...

    def put(self, path: str, content: bytes | bytearray) -> None:
        """Write a file of at most `account.S3_PUT_LIMIT_BYTES`, whole or not at all."""
        ...

    def copy(self, source: str, target: str) -> None:
        """Copy a file on the volume itself."""
        ...

    def delete(self, path: str) -> None:
        """Remove a file; one that isn't there is no error."""
        ...

    def begin(self, path: str) -> str:
        """Begin a file that comes in parts, and return the upload's id; nothing is to be seen of it until the end."""
        ...

    def parts(self, path: str, upload_id: str) -> Mapping[int, str] | None:
        """Return the parts that have arrived: number (from 1) → tag; None when there is no such upload (any more)."""
        ...

    def send_part(self, path: str, upload_id: str, number: int, content: bytes | bytearray) -> str:
        """Send one part of at most `account.S3_PART_LIMIT_BYTES`, and return its tag."""
        ...

    def complete(self, path: str, upload_id: str, tags: Mapping[int, str], size_bytes: int) -> None:
        """Make the parts one file, and demand that it has that size."""
        ...

    def abort(self, path: str, upload_id: str) -> None:
        """Drop an upload and its parts; one that isn't there is no error."""
        ...
