"""Weights from the Hub into a Hugging Face cache: exactly the listed files of one commit. The only huggingface_hub."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from worker_runtime.errors import HubDenied, HubFailed, HubNotFound, HubUnreachable, NoSpace, StartError
from worker_runtime.events import EventLog
from worker_runtime.recipe import Model, WeightFile
from worker_runtime.settings import Settings

THREADS = 8
ATTEMPTS = 5
PAUSE_S = 1.0  # before the second attempt; doubles each time


def fetch(model: Model, files: Sequence[WeightFile], cache: Path, settings: Settings, log: EventLog) -> None:
    """Download the files, in parallel, into `cache`, and tell of each.

    Cache mode and never `local_dir`: with several workers on one volume the latter deletes files that another one
    reads (huggingface_hub 2.4, seen 2026-11-23). A failed connection, a 429 and a 5xx are tried again, as the client
    itself does not (one 503 on a CDN ends its download). Raises HubDenied, HubNotFound, HubUnreachable, HubFailed and
    NoSpace.
    """
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    total_bytes, done_bytes = sum(f.size_bytes for f in files), 0
    with ThreadPoolExecutor(THREADS) as pool:
        running = {pool.submit(_fetch_file, model, file, cache, settings): file for file in files}
        try:
            for future in as_completed(running):
                future.result()
                done_bytes += running[future].size_bytes
                path = running[future].path
                log.tell("fetched", model=model.key, path=path, done_bytes=done_bytes, total_bytes=total_bytes)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _fetch_file(model: Model, file: WeightFile, cache: Path, settings: Settings) -> None:
    from huggingface_hub import hf_hub_download

    for attempt in range(ATTEMPTS):
        try:
            hf_hub_download(
                model.repo,
                file.path,
                revision=model.commit,
                cache_dir=cache,
                token=settings.hub_token,
                endpoint=settings.hub_endpoint,
            )
            return
        except Exception as error:
            failure, is_transient = _explain(error, model, file)
            if not is_transient or attempt == ATTEMPTS - 1:
                raise failure from error
        time.sleep(PAUSE_S * 2**attempt)


def _explain(error: Exception, model: Model, file: WeightFile) -> tuple[StartError, bool]:
    """Return the error as the worker reports it, and whether another attempt may help."""
    from huggingface_hub import errors as hub

    what = f"{model.repo}@{model.commit[:12]} {file.path}"
    status = getattr(getattr(error, "response", None), "status_code", None)
    match error:
        case hub.GatedRepoError():  # before RepositoryNotFoundError, whose subclass it is
            return HubDenied(f"{model.repo} is gated and this token has no access to it", fix=_token_fix(model)), False
        case hub.RepositoryNotFoundError():
            return HubNotFound(f"no repository {model.repo}, or it is private", fix=_token_fix(model)), False
        case hub.RevisionNotFoundError() | hub.RemoteEntryNotFoundError():
            return HubNotFound(f"the Hub has no {what}", fix="resolve the recipe again, and build"), False
        case _ if status in (401, 403):
            return HubDenied(f"the Hub refused {what} ({status})", fix=_token_fix(model)), status == 403
        case _ if status is not None:
            failed = HubFailed(f"the Hub answered {status} for {what}", fix="try again later")
            return failed, status == 429 or status >= 500
        case OSError(errno=28 | 122):  # ENOSPC, EDQUOT: a volume's quota is seen only when it is hit
            return NoSpace(f"no space left while fetching {what}", fix="grow the volume or the container disk"), False
        case hub.LocalEntryNotFoundError():  # the client asked six times, over 24 s, before it raised this
            return HubUnreachable(f"no answer from the Hub for {what}", fix="check HF_ENDPOINT and the network"), False
        case OSError() if error.errno is not None and not isinstance(error, ConnectionError):
            return HubFailed(f"{what} could not be stored ({error.strerror})", fix="check the volume"), False
        case _:  # of any type: one thread's failed connection closes the client under the others' feet
            kind = type(error).__name__
            return HubUnreachable(f"no connection to the Hub for {what} ({kind})", fix="check the network"), True


def _token_fix(model: Model) -> str:
    return f"ask for access on the model's page and give a token as the secret HF_TOKEN (repository {model.repo})"
