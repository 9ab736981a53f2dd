"""From what a handler returns to what RunPod takes: plain JSON, its files delivered, never larger than the limit.

RunPod answers 400 to a result that is too large, the SDK drops it, and the job stays IN_PROGRESS for ever (seen with
runpod 1.12.0, 2026-11-23). So the JSON is measured as the SDK will post it, and what is over the limit goes to the
bucket or the volume as one file, or fails the job with its size. docs/worker-io.md has the shapes.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker_runtime.delivery import FIX, Delivery
from worker_runtime.errors import OutputTooLarge
from worker_runtime.input_rules import AllowList
from worker_runtime.storage import Storage
from worker_runtime.storage_settings import StorageSettings, from_job
from worker_runtime.values import FoundFile, jsonable

SDK_KEYS = ("error", "refresh_worker")  # at the top of an output these belong to RunPod's SDK
ENVELOPE_BYTES = len('{"output": , "stopPod": true}')


@dataclass(frozen=True, slots=True)
class OutputRules:
    """Where outputs go and how large they may be, in bytes. `volume`: the mounted volume, None when there is none.

    `allow` opens addresses to buckets that a job names. RunPod takes 10 MB from `/run` and 20 MB from `/runsync`
    (its documentation, 2026-08-20).
    """

    storage: StorageSettings | None = None
    volume: Path | None = None
    max_result_bytes: int = 10_000_000
    max_sync_result_bytes: int = 20_000_000
    inline_bytes: int = 5_000_000
    allow: AllowList = field(default_factory=AllowList)

    def limit_bytes(self, job_id: str) -> int:
        """Return what a job's result may have: jobs of `/runsync` have ids that begin with `sync-`."""
        return self.max_sync_result_bytes if job_id.startswith("sync-") else self.max_result_bytes


class JobOutputs:
    """The way out for one job. Made before the handler runs, so that a wrong `s3Config` costs no GPU time."""

    def __init__(self, job: Mapping[str, Any], rules: OutputRules) -> None:
        """Raises InputInvalid when the job's `s3Config` can't be used."""
        job_id = str(job.get("id", ""))
        settings = from_job(job["s3Config"]) if job.get("s3Config") else rules.storage
        storage = None if settings is None else _storage(settings, rules.allow)
        self._delivery = Delivery(job_id, storage, rules.volume, rules.inline_bytes)
        self._limit_bytes = rules.limit_bytes(job_id)
        self._bytes_left = self._limit_bytes

    def finish(self, value: Any) -> Any:
        """Return the output as what to post. For a stream, call it for each part: RunPod gets their sum at the end.

        Raises OutputUnserialisable, OutputTooLarge, StorageUnreachable, StorageDenied and StorageFailed.
        """
        files: list[FoundFile] = []
        plain = jsonable(value, files)
        self._delivery.deliver(files)
        size_bytes = posted_bytes(plain)
        if size_bytes > self._bytes_left:
            plain = self._spill(plain, size_bytes)
            size_bytes = posted_bytes(plain)
        if size_bytes > self._bytes_left:
            raise self._too_large(size_bytes)
        self._bytes_left -= size_bytes
        return plain

    def _spill(self, plain: Any, size_bytes: int) -> dict[str, Any]:
        """Put the whole output into one file, and return the object that stands for it."""
        if not self._delivery.has_room:
            raise self._too_large(size_bytes)
        kept = {key: plain[key] for key in SDK_KEYS if key in plain} if isinstance(plain, dict) else {}
        rest = {key: item for key, item in plain.items() if key not in kept} if kept else plain
        whole = FoundFile("output", "output.json", json.dumps(rest, ensure_ascii=False).encode())
        self._delivery.deliver([whole], may_inline=False)
        return {"output_file": whole.slot, **kept}

    def _too_large(self, size_bytes: int) -> OutputTooLarge:
        streamed = self._limit_bytes - self._bytes_left
        after = f" after {streamed} bytes of earlier parts" if streamed else ""
        return OutputTooLarge(
            f"the output is {size_bytes} bytes of JSON{after}, and RunPod takes {self._limit_bytes}", fix=FIX
        )


def posted_bytes(output: Any) -> int:
    """Return how many bytes the SDK posts for an output (json.dumps with ensure_ascii=False, runpod 1.12.0)."""
    return len(json.dumps(output, ensure_ascii=False).encode()) + ENVELOPE_BYTES


@functools.lru_cache(maxsize=8)
def _storage(settings: StorageSettings, allow: AllowList) -> Storage:
    """Keep the clients of the buckets in use: making one takes up to a second."""
    return Storage(settings, allow=allow)
