"""Every error a user can meet, as a tree. Each class fixes one exit code; a stage owns a decade.

    FactoryError
    ├── RecipeError 10            the recipe file can't be read as a recipe
    │   └── CheckError 11         it can, and a check of severity `error` fails
    ├── ResolveError 20           the Hub
    │   ├── RepoNotFound 21 · AccessDenied 22 · RevisionNotFound 23
    │   ├── HubUnreachable 24 · HubRateLimited 25 · HubFailed 26
    │   ├── UnexpectedSize 27     `expect_gb` and the truth differ by more than 5 %
    │   └── NothingSelected 28    include/exclude leave no file, or an incomplete set of shards
    ├── SizeError 30
    │   ├── ContainerDiskTooSmall 31 · VolumeTooSmall 32 · VolumeTooLarge 33 · VramTooSmall 34
    ├── RenderError 40
    │   ├── TemplateError 41 · HandlerMissing 42 · LockDrift 43
    ├── BuildError 50
    │   ├── EngineUnreachable 51 · EngineForbidden 52 · EngineDiskFull 53 · BaseMissing 54
    │   ├── StepFailed 55 · WrongPlatform 56
    ├── PushError 60
    │   ├── PushDenied 61 · RegistryUnreachable 62 · RegistryFull 63 · RegistryFailed 64
    │   ├── LaneUnavailable 65 · LeakFound 66 · RegistryRefused 67
    ├── VerifyError 70
    │   ├── ImageNotInRegistry 71 · BlobMissing 72 · PlatformMismatch 73 · WorkerExited 74
    │   ├── TestJobFailed 75 · DockerHubFailed 76 · RegistryDenied 77
    │   └── AttestationWrong 78   SBOM, provenance or signature
    ├── ProvisionError 80         RunPod's management; every answer of its APIs that is no success
    │   ├── CloudDenied 81 · CloudUnreachable 82 · CloudFailed 83 · CloudGone 84 · CloudRefused 85
    │   ├── PreflightFailed 86    found before anything was made
    │   ├── CannotChange 87       what is there can't become what the recipe says
    │   └── RolloutTimedOut 88 · AmbiguousName 89
    ├── RunError 90               a job
    │   ├── JobFailed 91 · JobTimedOut 92 · JobCancelled 93 (or expired) · JobRefused 94
    │   └── EndpointNotFound 95 · ReleaseRolledBack 96 · ReleaseStopped 97 · GuardStopped 98
    └── DiagnoseError 100         `factory diagnose` found an error in what it looked at
        └── DiagnoseWarned 101    nothing worse than a warning
    ├── StoreError 110            what lies on a network volume, through RunPod's S3 API
    │   ├── StoreDenied 111 · StoreUnreachable 112 · StoreFailed 113 · StoreFull 114 · StoreMissing 115
    │   └── VolumeBusy 116 · WeightsWrong 117
    Settings 3 · Changes 4 (`factory plan` found some; no error) · Interrupted 130 (Ctrl-C) · else 1, a bug of ours

A message is one sentence: where, what is wrong, what was found. `fix` is one thing to do. Neither ever holds a secret.
"""

from __future__ import annotations

from collections.abc import Mapping


class FactoryError(Exception):
    """The root: `where: what. fix`, an exit code, and details for `--json`.

    `where` names the place (a file and line, an image, a URL without credentials), `what` the problem and
    what was found, `fix` the one thing to do about it. `details` holds machine-readable numbers.
    """

    exit_code = 1
    code = "bug"

    def __init__(
        self, what: str, *, where: str = "", fix: str = "", details: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(what)
        self.where = where
        self.what = what
        self.fix = fix
        self.details = dict(details or {})

    def __str__(self) -> str:
        """Return the one line a person reads."""
        line = f"{self.where}: {self.what}" if self.where else self.what
        return f"{line}; {self.fix}" if self.fix else line

    def as_record(self) -> dict[str, object]:
        """Return what `--json` prints for this error."""
        return {
            "code": self.code,
            "exit_code": self.exit_code,
            "where": self.where,
            "what": self.what,
            "fix": self.fix,
            **({"details": self.details} if self.details else {}),
        }


class SettingsError(FactoryError):
    """A setting of the machine (an environment variable or a flag) has no usable value."""

    exit_code, code = 3, "settings"


class Interrupted(FactoryError):
    """The user pressed Ctrl-C, and what was under way has been undone."""

    exit_code, code = 130, "interrupted"


class RecipeError(FactoryError):
    """A recipe file can't be read as a recipe; `problems` holds every sentence, in file order."""

    exit_code, code = 10, "recipe"

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
        self.details = {"problems": list(problems)}


class CheckError(RecipeError):
    """At least one check of severity `error` failed."""

    exit_code, code = 11, "check"


class ResolveError(FactoryError):
    """The model's files could not be read off the Hub."""

    exit_code, code = 20, "resolve"


class RepoNotFound(ResolveError):
    """No such repository, or a private one that this token can't see (the Hub answers alike)."""

    exit_code, code = 21, "repo_not_found"


class AccessDenied(ResolveError):
    """The repository is gated and this token has not been let in, or the token is invalid."""

    exit_code, code = 22, "access_denied"


class RevisionNotFound(ResolveError):
    """The repository has no such branch, tag or commit."""

    exit_code, code = 23, "revision_not_found"


class HubUnreachable(ResolveError):
    """No connection to the Hub."""

    exit_code, code = 24, "hub_unreachable"


class HubRateLimited(ResolveError):
    """The Hub still answers 429 after the retries."""

    exit_code, code = 25, "hub_rate_limited"


class HubFailed(ResolveError):
    """The Hub still answers 5xx after the retries, or something that isn't the Hub's API."""

    exit_code, code = 26, "hub_failed"


class UnexpectedSize(ResolveError):
    """The selection's true size differs from the recipe's `expect_gb` by more than 5 %."""

    exit_code, code = 27, "unexpected_size"


class NothingSelected(ResolveError):
    """The patterns select no file, or shards of a set are missing."""

    exit_code, code = 28, "nothing_selected"


class SizeError(FactoryError):
    """A size the recipe asks for can't work."""

    exit_code, code = 30, "size"


class ContainerDiskTooSmall(SizeError):
    """The explicit container disk lies below the floor that the image, models and scratch set."""

    exit_code, code = 31, "container_disk_too_small"


class VolumeTooSmall(SizeError):
    """The explicit volume is smaller than the bytes of the recipes that share it."""

    exit_code, code = 32, "volume_too_small"


class VolumeTooLarge(SizeError):
    """The recipes on one volume need more than RunPod's 4096 GB."""

    exit_code, code = 33, "volume_too_large"


class VramTooSmall(SizeError):
    """The weights as loaded fit no GPU pool of the recipe."""

    exit_code, code = 34, "vram_too_small"


class RenderError(FactoryError):
    """The build context could not be made."""

    exit_code, code = 40, "render"


class TemplateError(RenderError):
    """The Dockerfile template is missing, or fails to render."""

    exit_code, code = 41, "template"


class HandlerMissing(RenderError):
    """The recipe's handler file does not exist, or has no handler in it."""

    exit_code, code = 42, "handler_missing"


class LockDrift(RenderError):
    """The recipe and its lock file contradict each other, or with `--locked` there is no lock."""

    exit_code, code = 43, "lock_drift"


class BuildError(FactoryError):
    """The image could not be built."""

    exit_code, code = 50, "build"


class EngineUnreachable(BuildError):
    """No Docker engine answers at the configured address."""

    exit_code, code = 51, "engine_unreachable"


class EngineForbidden(BuildError):
    """The engine's socket is there, and this user may not use it."""

    exit_code, code = 52, "engine_forbidden"


class EngineDiskFull(BuildError):
    """The engine's data root lacks the space that the build, pull or run needs."""

    exit_code, code = 53, "engine_disk_full"


class BaseMissing(BuildError):
    """The base image can't be had."""

    exit_code, code = 54, "base_missing"


class StepFailed(BuildError):
    """A step of the Dockerfile failed; `details` has the step, its command and its last lines."""

    exit_code, code = 55, "step_failed"


class WrongPlatform(BuildError):
    """An image is not linux/amd64, the only platform RunPod runs."""

    exit_code, code = 56, "wrong_platform"


class PushError(FactoryError):
    """The image could not be pushed."""

    exit_code, code = 60, "push"


class PushDenied(PushError):
    """The registry refused the credentials, or there are none."""

    exit_code, code = 61, "push_denied"


class RegistryUnreachable(PushError):
    """No connection to the registry, or it went away in mid-push."""

    exit_code, code = 62, "registry_unreachable"


class RegistryFull(PushError):
    """The registry's storage is full."""

    exit_code, code = 63, "registry_full"


class RegistryFailed(PushError):
    """The registry answered with something else that is no success (429, 5xx, not a registry)."""

    exit_code, code = 64, "registry_failed"


class LaneUnavailable(PushError):
    """The lane that was asked for can't make this image: what it stands on is not in the registry."""

    exit_code, code = 65, "lane_unavailable"


class LeakFound(PushError):
    """The image holds a secret, so nothing was pushed. `details` has the places, never the values."""

    exit_code, code = 66, "leak_found"


class RegistryRefused(PushError):
    """The registry won't take what it was sent: too large, a media type it doesn't know, a digest that differs."""

    exit_code, code = 67, "registry_refused"


class VerifyError(FactoryError):
    """The pushed image does not hold what it must."""

    exit_code, code = 70, "verify"


class ImageNotInRegistry(VerifyError):
    """The registry has no such tag or digest (or hides it from these credentials)."""

    exit_code, code = 71, "image_not_in_registry"


class BlobMissing(VerifyError):
    """A layer or the config named by the manifest is absent, or of another size."""

    exit_code, code = 72, "blob_missing"


class PlatformMismatch(VerifyError):
    """The image in the registry is not linux/amd64."""

    exit_code, code = 73, "platform_mismatch"


class WorkerExited(VerifyError):
    """The container ended before it answered its first job; `details` has exit code and last lines."""

    exit_code, code = 74, "worker_exited"


class TestJobFailed(VerifyError):
    """A test job's answer is not what the recipe expects."""

    __test__ = False  # not a pytest class
    exit_code, code = 75, "test_job_failed"


class DockerHubFailed(VerifyError):
    """Docker Hub's own API contradicts the registry, or refuses (404, 401, 429)."""

    exit_code, code = 76, "docker_hub"


class RegistryDenied(VerifyError):
    """The registry answered 401 or 403: no credentials, wrong ones, or ones that may not read this repository."""

    exit_code, code = 77, "registry_denied"


class AttestationWrong(VerifyError):
    """An SBOM, provenance or signature is missing, or does not belong to this image."""

    exit_code, code = 78, "attestation_wrong"


class ProvisionError(FactoryError):
    """RunPod's account could not be read or changed. `details` has status, code, request_id and hint where known."""

    exit_code, code = 80, "provision"


class CloudDenied(ProvisionError):
    """RunPod answered 401 or 403, or there is no key."""

    exit_code, code = 81, "cloud_denied"


class CloudUnreachable(ProvisionError):
    """No connection to RunPod, or silence, after the retries."""

    exit_code, code = 82, "cloud_unreachable"


class CloudFailed(ProvisionError):
    """RunPod still answers 429 or 5xx after the retries, or something that isn't its API."""

    exit_code, code = 83, "cloud_failed"


class CloudGone(ProvisionError):
    """RunPod answered 410: this API has been retired."""

    exit_code, code = 84, "cloud_gone"


class CloudRefused(ProvisionError):
    """RunPod refused a request (quota, balance, a name that is taken, a field); the hint says what to do."""

    exit_code, code = 85, "cloud_refused"


class PreflightFailed(ProvisionError):
    """What the plan needs isn't there (pool, stock, balance, quota, secret, image); nothing was made."""

    exit_code, code = 86, "preflight"


class CannotChange(ProvisionError):
    """A volume, template or endpoint that exists can't become what the recipe says."""

    exit_code, code = 87, "cannot_change"


class RolloutTimedOut(ProvisionError):
    """Workers of the old configuration are still there after the time allowed."""

    exit_code, code = 88, "rollout_timed_out"


class AmbiguousName(ProvisionError):
    """Two resources have the name that factory looks for."""

    exit_code, code = 89, "ambiguous_name"


class RunError(FactoryError):
    """A job could not be submitted or followed."""

    exit_code, code = 90, "run"


class JobFailed(RunError):
    """The job ended as FAILED; `details` has its error."""

    exit_code, code = 91, "job_failed"


class JobTimedOut(RunError):
    """The job ended as TIMED_OUT, or did not end within the time allowed."""

    exit_code, code = 92, "job_timed_out"


class JobCancelled(RunError):
    """The job was cancelled or purged, or RunPod no longer knows it."""

    exit_code, code = 93, "job_cancelled"


class JobRefused(RunError):
    """The job can't be submitted: an empty input, a payload over RunPod's limit, or RunPod said no."""

    exit_code, code = 94, "job_refused"


class EndpointNotFound(RunError):
    """There is no such endpoint."""

    exit_code, code = 95, "endpoint_not_found"


class ReleaseRolledBack(RunError):
    """The test jobs failed on the new release, and the previous one has been put back."""

    exit_code, code = 96, "release_rolled_back"


class ReleaseStopped(RunError):
    """The test jobs failed on a first release: there was nothing to go back to, so its workers are stopped."""

    exit_code, code = 97, "release_stopped"


class GuardStopped(RunError):
    """A guarded endpoint's workers only crashed, or could not pull their image: no more of them may start."""

    exit_code, code = 98, "guard_stopped"


class DiagnoseError(FactoryError):
    """What keeps the endpoint from answering was found; the findings say what it is."""

    exit_code, code = 100, "diagnose"


class DiagnoseWarned(DiagnoseError):
    """The endpoint may answer, and something is wrong that will hurt; the findings say what it is."""

    exit_code, code = 101, "diagnose_warned"


class StoreError(FactoryError):
    """What lies on a network volume could not be read or written through RunPod's S3 API."""

    exit_code, code = 110, "store"


class StoreDenied(StoreError):
    """RunPod's S3 API refused the keys, or there are none (they are not the account's API key)."""

    exit_code, code = 111, "store_denied"


class StoreUnreachable(StoreError):
    """No connection to RunPod's S3 API, or silence, after the retries."""

    exit_code, code = 112, "store_unreachable"


class StoreFailed(StoreError):
    """RunPod's S3 API still answers 5xx after the retries, refuses a request, or did something else than asked."""

    exit_code, code = 113, "store_failed"


class StoreFull(StoreError):
    """What shall go onto the volume does not fit there."""

    exit_code, code = 114, "store_full"


class StoreMissing(StoreError):
    """There is no such volume, no S3 API in its data centre, or nothing of the recipe belongs on a volume."""

    exit_code, code = 115, "store_missing"


class VolumeBusy(StoreError):
    """A worker is fetching weights onto the volume just now."""

    exit_code, code = 116, "volume_busy"


class WeightsWrong(StoreError):
    """Weights on the volume are absent, not marked as ready, or not what the Hub has; `details` names each file."""

    exit_code, code = 117, "weights_wrong"
