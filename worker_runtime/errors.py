"""Every error a job or a start can end in: a code, one sentence and one fix.

    WorkerError
    ├── StartError               the worker could not start; every job is answered with it
    │   ├── settings · recipe · unfit
    │   ├── handler_missing · handler_import · options_invalid · handler_load
    │   ├── volume_missing · storage_unwritable · no_space
    │   ├── weights_missing · weights_corrupt · weights_timeout
    │   └── hub_denied · hub_not_found · hub_unreachable · hub_failed
    └── JobError                 one job failed; the worker goes on
        ├── input_invalid · input_unreadable · input_refused
        ├── handler_failed · command_failed · command_timeout
        ├── job_timeout · out_of_memory · gpu_failed
        ├── start_up_slow · worker_stopped
        ├── output_unserialisable · output_too_large
        └── storage_unreachable · storage_denied · storage_failed

docs/worker.md has the cause and the fix of each code.
"""

from __future__ import annotations


class WorkerError(Exception):
    """The root. `what` is one sentence with what was found, `fix` one thing to do; neither holds a secret."""

    code = "bug"

    def __init__(self, what: str, *, fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        """Return `code: sentence; fix`, the string that RunPod shows as the job's error."""
        return f"{self.code}: {self.what}; {self.fix}" if self.fix else f"{self.code}: {self.what}"

    def as_fields(self) -> dict[str, str]:
        """Return the fields of the log line."""
        return {"code": self.code, "sentence": self.what, "fix": self.fix}


class StartError(WorkerError):
    """The worker can't start."""

    code = "start"


class SettingsError(StartError):
    """An environment variable has no usable value."""

    code = "settings"


class RecipeError(StartError):
    """`recipe.json` is missing, or isn't what `factory render` writes."""

    code = "recipe"


class Unfit(StartError):
    """The machine isn't fit for work: memory, disk, network or GPU. RunPod's SDK would kill the worker for it."""

    code = "unfit"


class HandlerMissing(StartError):
    """No built-in handler of that name, no such file, or no class `Handler` in it."""

    code = "handler_missing"


class HandlerImportFailed(StartError):
    """The handler's module, or one that it imports, fails to import."""

    code = "handler_import"


class OptionsInvalid(StartError):
    """The recipe's `handler.options` are not what the handler takes."""

    code = "options_invalid"


class HandlerLoadFailed(StartError):
    """The handler's `load` raised."""

    code = "handler_load"


class VolumeMissing(StartError):
    """A model lies on the network volume, and none is mounted."""

    code = "volume_missing"


class StorageUnwritable(StartError):
    """The place where the weights go can't be written."""

    code = "storage_unwritable"


class NoSpace(StartError):
    """The weights that are still to be fetched don't fit."""

    code = "no_space"


class WeightsMissing(StartError):
    """Files that must be there already (placements `image` and `cached`) are absent or of another size."""

    code = "weights_missing"


class WeightsCorrupt(StartError):
    """A file's digest is wrong, also after it was fetched again."""

    code = "weights_corrupt"


class WeightsTimeout(StartError):
    """The weights did not arrive within the time that they may take."""

    code = "weights_timeout"


class HubDenied(StartError):
    """The Hub wants a token, or another one."""

    code = "hub_denied"


class HubNotFound(StartError):
    """The Hub has no such repository, commit or file (or hides it from this token)."""

    code = "hub_not_found"


class HubUnreachable(StartError):
    """No connection to the Hub, also after the retries."""

    code = "hub_unreachable"


class HubFailed(StartError):
    """The Hub still answers with an error after the retries."""

    code = "hub_failed"


class JobError(WorkerError):
    """One job failed."""

    code = "job"


class InputInvalid(JobError):
    """The job's input is not what the handler takes; the sentence lists every problem with its path."""

    code = "input_invalid"


class InputUnreadable(JobError):
    """A media input could not be fetched or decoded."""

    code = "input_unreadable"


class InputRefused(JobError):
    """A media URL leads to a private address, or the file is too large."""

    code = "input_refused"


class HandlerFailed(JobError):
    """The handler raised."""

    code = "handler_failed"


class JobTimeout(JobError):
    """The job took longer than it may (`policy.executionTimeout`, FACTORY_JOB_S)."""

    code = "job_timeout"


class OutOfMemory(JobError):
    """The GPU's or the machine's memory did not suffice for the job."""

    code = "out_of_memory"


class GpuFailed(JobError):
    """The GPU failed in a way that nothing in this process mends; the worker is replaced."""

    code = "gpu_failed"


class StartUpSlow(JobError):
    """The worker was still bringing weights or loading when the job's time was over."""

    code = "start_up_slow"


class WorkerStopped(JobError):
    """The worker was told to stop, and the job did not end within the grace."""

    code = "worker_stopped"


class CommandFailed(JobError):
    """The program of a `command` handler ended with another exit code than 0, or wrote no output."""

    code = "command_failed"


class CommandTimeout(JobError):
    """The program of a `command` handler ran longer than its `timeout_s` and was killed."""

    code = "command_timeout"


class OutputUnserialisable(JobError):
    """The handler's output can't be JSON."""

    code = "output_unserialisable"


class OutputTooLarge(JobError):
    """The handler's output is larger than RunPod takes."""

    code = "output_too_large"


class StorageUnreachable(JobError):
    """No connection to the S3-compatible storage, also after the retries."""

    code = "storage_unreachable"


class StorageDenied(JobError):
    """The storage refuses the credentials, or what they want to do."""

    code = "storage_denied"


class StorageFailed(JobError):
    """The storage answers with something else that is no success: no such bucket, no space, 5xx after the retries."""

    code = "storage_failed"
