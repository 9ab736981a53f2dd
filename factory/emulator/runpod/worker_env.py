"""The environment that RunPod gives a worker: its queue, who it is, where it is, and what the endpoint says.

| variable | from |
| --- | --- |
| RUNPOD_WEBHOOK_GET_JOB, _POST_OUTPUT, _POST_STREAM, _PING | addresses; the SDK fills in `$ID` and `$RUNPOD_POD_ID` |
| RUNPOD_PING_INTERVAL | ms between two heartbeats |
| RUNPOD_AI_API_KEY | sent as Authorization; without it the SDK doesn't ping |
| RUNPOD_POD_ID, RUNPOD_POD_HOSTNAME, RUNPOD_ENDPOINT_ID | who it is |
| RUNPOD_DC_ID, RUNPOD_VOLUME_ID, RUNPOD_GPU_TYPE_ID, RUNPOD_GPU_COUNT, RUNPOD_CPU_COUNT, RUNPOD_MEM_GB | where it is |

Names and forms: runpod 1.12.0's worker against a local server, and docs.runpod.io ("Environment variables"), both read
2026-11-23. What RunPod sets wins over the endpoint's own, and the endpoint's own over the emulator's (HF_ENDPOINT).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote_plus

from factory.emulator.runpod.catalogue import Catalogue
from factory.emulator.runpod.entities import Endpoint, Secret, Worker

PING_INTERVAL_MS = 10_000
"""The SDK's default (runpod 1.12.0)."""
INIT_TIMEOUT_S = 420.0
"""A worker that hasn't asked for a job 7 minutes after its start is unhealthy (docs.runpod.io, read 2026-11-23)."""

_SECRET = re.compile(r"\{\{\s*RUNPOD_SECRET_([\w.-]+)\s*\}\}")


def worker_environment(
    worker: Worker,
    endpoint: Endpoint,
    *,
    url: str,
    key: str,
    secrets: Iterable[Secret],
    catalogue: Catalogue,
    volume_id: str | None,
    extra: Mapping[str, str],
) -> dict[str, str]:
    """Return a worker's whole environment, secrets resolved. `url` is the emulator's, as the worker reaches it."""
    values = {secret.name: secret.value for secret in secrets}
    own = {name: resolved(value, values) for name, value in endpoint.container.env.items()}
    return {**extra, **own, **_queue(worker, url, key), **_place(worker, endpoint, catalogue, volume_id)}


def resolved(value: str, secrets: Mapping[str, str]) -> str:
    """Put secrets in the place of `{{ RUNPOD_SECRET_name }}`. An unknown one stays as it is (unconfirmed at RunPod)."""
    return _SECRET.sub(lambda found: secrets.get(found[1], found[0]), value)


def init_timeout_s(endpoint: Endpoint) -> float:
    """Return how long a worker may take until it asks for a job: `RUNPOD_INIT_TIMEOUT`, in seconds, or 7 minutes."""
    text = endpoint.container.env.get("RUNPOD_INIT_TIMEOUT", "")
    return float(text) if re.fullmatch(r"[1-9]\d{0,6}", text) else INIT_TIMEOUT_S


def _queue(worker: Worker, url: str, key: str) -> dict[str, str]:
    """Each address holds a `?` already: the SDK appends `&…` to it."""
    base, gpu = f"{url}/v2/{worker.endpoint_id}", f"?gpu={quote_plus(worker.gpu_type or 'CPU')}"
    return {
        "RUNPOD_WEBHOOK_GET_JOB": f"{base}/job-take/$ID{gpu}",
        "RUNPOD_WEBHOOK_POST_OUTPUT": f"{base}/job-done/$RUNPOD_POD_ID/$ID{gpu}",
        "RUNPOD_WEBHOOK_POST_STREAM": f"{base}/job-stream/$RUNPOD_POD_ID/$ID{gpu}",
        "RUNPOD_WEBHOOK_PING": f"{base}/ping/$RUNPOD_POD_ID{gpu}",
        "RUNPOD_PING_INTERVAL": str(PING_INTERVAL_MS),
        "RUNPOD_AI_API_KEY": key,
        "RUNPOD_POD_ID": worker.id,
        "RUNPOD_POD_HOSTNAME": f"{worker.id}-{worker.endpoint_id}",
        "RUNPOD_ENDPOINT_ID": worker.endpoint_id,
    }


def _place(worker: Worker, endpoint: Endpoint, catalogue: Catalogue, volume_id: str | None) -> dict[str, str]:
    place = {"RUNPOD_GPU_COUNT": str(worker.gpu_count)}
    if worker.data_center:
        place["RUNPOD_DC_ID"] = worker.data_center
    if volume_id:
        place["RUNPOD_VOLUME_ID"] = volume_id
    if worker.gpu_type:
        place["RUNPOD_GPU_TYPE_ID"] = worker.gpu_type
    if endpoint.cpus:
        cpu = endpoint.cpus[0]
        place["RUNPOD_CPU_COUNT"] = str(cpu.vcpus)
        if cpu.id in catalogue.cpus:
            place["RUNPOD_MEM_GB"] = f"{cpu.vcpus * catalogue.cpus[cpu.id].ram_gb_per_vcpu:g}"
    return place
