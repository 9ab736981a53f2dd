"""REST v2's JSON ↔ the nouns of `factory/account.py` (RunPod's OpenAPI 2.0.0, read 2026-11-23).

Reading ignores keys that it doesn't know and takes RunPod's defaults for those that may be absent. What it can't do
without raises KeyError, TypeError or ValueError: the caller says so in a sentence.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, get_args

from factory.account import (
    CloudWorker,
    DataCenter,
    Endpoint,
    EndpointSpec,
    GpuOffer,
    Login,
    LogLine,
    Pod,
    Release,
    Rollout,
    Stock,
    Template,
    TemplateSpec,
    Volume,
)

Json = Mapping[str, Any]

_STATUSES = ("RUNNING", "IDLE", "INITIALIZING", "THROTTLED", "UNHEALTHY")


# --- read ----------------------------------------------------------------------------------------------------------
def read_volume(body: Json) -> Volume:
    """Return a network volume."""
    return Volume(str(body["id"]), str(body["name"]), str(body["dataCenter"]), int(body["size"]))


def read_login(body: Json) -> Login:
    """Return a registry login; RunPod keeps its password to itself."""
    return Login(str(body["id"]), str(body["name"]))


def read_template(body: Json) -> Template:
    """Return a template."""
    spec = TemplateSpec(
        name=str(body["name"]),
        image=str(body.get("image") or ""),
        container_disk_gb=int(body.get("disk") or 0),
        env=_env(body),
        login_id=body.get("registry") or None,
    )
    return Template(str(body["id"]), spec, bool(body.get("serverless")), args=str(body.get("args") or ""))


def read_endpoint(body: Json) -> Endpoint:
    """Return an endpoint; REST v2 shows neither a version nor a template there."""
    gpu, workers, scaling = body.get("gpu") or {}, body["workers"], body["scaling"]
    is_by_delay = scaling["type"] == "QUEUE_DELAY"
    spec = EndpointSpec(
        name=str(body["name"]),
        image=str(body.get("image") or ""),
        container_disk_gb=int(body.get("disk") or 0),
        env=_env(body),
        login_id=body.get("registry") or None,
        pools=tuple(gpu.get("pools") or ()),
        gpu_count=int(gpu.get("count") or 1),
        min_cuda=gpu.get("minCudaVersion") or None,
        cpus=tuple(f"{cpu['id']}-{cpu['vcpuCount']}-{cpu['memory']}" for cpu in body.get("cpu") or ()),
        workers_min=int(workers.get("min") or 0),
        workers_max=int(workers["max"]),
        idle_timeout_s=workers.get("idleTimeout"),
        scaler="queue_delay" if is_by_delay else "request_count",
        scaler_value=float(scaling["queueDelay"] if is_by_delay else scaling["requestCount"]),
        data_centers=tuple(body.get("dataCenterIds") or ()),
        volume_ids=tuple(body.get("networkVolumes") or ()),
        execution_timeout_ms=int(body.get("timeout") or 0),
        flashboot=(body.get("flashboot") or "OFF") != "OFF",
    )
    extra = {
        "args": body.get("args"),
        "excluded_gpus": tuple(gpu.get("excludedTypes") or ()),
        "allowed_cuda": tuple(gpu.get("allowedCudaVersions") or ()),
        "flashboot": body.get("flashboot") if body.get("flashboot") == "PRIORITY_FLASHBOOT" else None,
    }
    kept = {name: value for name, value in extra.items() if value}
    return Endpoint(str(body["id"]), spec, body.get("type", "QUEUE") == "QUEUE", extra=kept)


def read_worker(body: Json) -> CloudWorker:
    """Return a worker; a status that we don't know is one that isn't ready yet."""
    status = str(body["status"])
    return CloudWorker(
        id=str(body["id"]),
        status=status if status in _STATUSES else "INITIALIZING",  # type: ignore[arg-type]
        is_stale=bool(body["isStale"]),
        version=body.get("version"),
        image=body.get("image"),
        gpu=body.get("gpuTypeId"),
        data_center=body.get("dataCenterId"),
        uptime_s=body.get("uptimeSeconds"),
    )


def read_release(body: Json) -> Release:
    """Return a release."""
    changes = tuple((str(d["field"]), d.get("old"), d.get("new")) for d in body.get("diff") or ())
    return Release(body.get("version"), str(body["createdAt"]), int(body.get("workerCount") or 0), changes)


def read_rollout(body: Json) -> Rollout:
    """Return how far the current version has come, from the list of releases."""
    at = body["rollout"]
    return Rollout(
        version=body.get("endpointVersion"),
        on_latest=int(at["workersOnLatest"]),
        total=int(at["workersTotal"]),
        is_in_progress=bool(at["inProgress"]),
    )


def read_gpu(body: Json) -> GpuOffer:
    """Return a GPU type as `include=AVAILABILITY&product=SERVERLESS` shows it; places without stock are left out."""
    price = (body.get("price") or {}).get("serverless")
    versions = {str(cuda["version"]) for cuda in body.get("cudaVersions") or ()}
    return GpuOffer(
        id=str(body["id"]),
        name=str(body.get("name") or body["id"]),
        pool=body.get("pool") or None,
        vram_gb=int(body["memory"]),
        usd_per_h=None if price is None else float(price),
        stock={
            str(place["id"]): level
            for place in body.get("dataCenters") or ()
            if (level := _stock(place.get("availability"))) != "none"
        },
        cuda_versions=tuple(sorted(versions, key=_by_number)),
    )


def read_data_center(body: Json) -> DataCenter:
    """Return a data centre."""
    return DataCenter(str(body["id"]), str(body.get("region") or ""), tuple(body.get("networkVolumeTypes") or ()))


def read_pod(body: Json) -> Pod:
    """Return a pod; `cost` is what it costs an hour now (0 when EXITED or TERMINATED)."""
    gpu, mounts = body.get("gpu") or {}, body.get("mounts") or {}
    return Pod(
        id=str(body["id"]),
        name=str(body.get("name") or ""),
        is_running=body["status"] not in ("EXITED", "TERMINATED"),
        usd_per_h=float(body.get("cost") or 0),
        gpu=gpu.get("id"),
        gpu_count=int(gpu.get("count") or 0),
        data_center=body.get("dataCenterId"),
        volume_ids=tuple(str(mount["volumeId"]) for mount in mounts.get("network") or ()),
    )


def read_spend(body: Json) -> dict[str, float]:
    """Return endpoint id → US dollars, all buckets of a serverless bill together."""
    found: dict[str, float] = {}
    for record in body["records"]:
        endpoint_id = str(record["serverlessId"])
        found[endpoint_id] = found.get(endpoint_id, 0.0) + float(record["totalAmount"])
    return found


def read_log_line(body: Json, event_id: str = "") -> LogLine:
    """Return one line of a worker's log; `event_id` is that of the server-sent event."""
    return LogLine(
        ts=str(body.get("ts") or ""),
        source="system" if body.get("source") == "system" else "container",
        line=str(body["line"]),
        id=event_id,
    )


# --- write ---------------------------------------------------------------------------------------------------------
def write_template(spec: TemplateSpec) -> dict[str, Any]:
    """Return the body that makes a template, or gives one another content: all that factory manages of it."""
    return {"name": spec.name, "serverless": True, **_container(spec)}


def write_endpoint(spec: EndpointSpec) -> dict[str, Any]:
    """Return the body that makes a queue endpoint, without its template."""
    return {**_settings(spec, "FLASHBOOT"), "type": "QUEUE", **_compute(spec)}


def write_endpoint_change(
    endpoint: Endpoint, spec: EndpointSpec, excluded_gpus: Collection[str] = ()
) -> dict[str, Any]:
    """Return the PATCH that gives an endpoint all that factory manages and keeps what it doesn't.

    Supplied `pools` clear the excluded types, so those are restated: `excluded_gpus`, of the pools that stay. A floor
    and a list of CUDA versions exclude each other (400): a floor of ours clears the list, `""` clears a floor.
    """
    body = {**_settings(spec, endpoint.extra.get("flashboot") or "FLASHBOOT"), **_compute(spec)}
    if spec.pools:
        body["gpu"]["excludedTypes"] = sorted(excluded_gpus)
        body["gpu"]["minCudaVersion"] = spec.min_cuda or ""
        body["gpu"]["allowedCudaVersions"] = [] if spec.min_cuda else list(endpoint.extra.get("allowed_cuda") or ())
    return body


def _settings(spec: EndpointSpec, flashboot: str) -> dict[str, Any]:
    is_by_delay = spec.scaler == "queue_delay"
    workers = {"min": spec.workers_min, "max": spec.workers_max}
    if is_by_delay and spec.idle_timeout_s is not None:  # 422 with REQUEST_COUNT on a queue
        workers["idleTimeout"] = spec.idle_timeout_s
    return {
        "name": spec.name,
        **_container(spec),
        "workers": workers,
        "scaling": {"type": "QUEUE_DELAY", "queueDelay": spec.scaler_value}
        if is_by_delay
        else {"type": "REQUEST_COUNT", "requestCount": int(spec.scaler_value)},
        "dataCenterIds": list(spec.data_centers),
        "networkVolumes": list(spec.volume_ids),
        "timeout": spec.execution_timeout_ms,
        "flashboot": flashboot if spec.flashboot else "OFF",
    }


def _container(spec: TemplateSpec | EndpointSpec) -> dict[str, Any]:
    """Return what runs. `args` is always stated: an older value would replace the image's own command."""
    return {
        "image": spec.image,
        "args": "",
        "disk": spec.container_disk_gb,
        "env": dict(spec.env),
        "registry": spec.login_id,
    }


def _compute(spec: EndpointSpec) -> dict[str, Any]:
    if spec.cpus:
        return {"cpu": [write_cpu(cpu) for cpu in spec.cpus]}
    floor = {"minCudaVersion": spec.min_cuda} if spec.min_cuda else {}
    return {"gpu": {"pools": list(spec.pools), "count": spec.gpu_count, **floor}}


def write_cpu(cpu: str) -> dict[str, Any]:
    """Return `cpu3c-2-4` (flavour, vCPUs, GB of memory) as REST v2 asks for it: the memory follows from the flavour."""
    flavour, vcpus = cpu.split("-")[:2]
    return {"id": flavour, "vcpuCount": int(vcpus)}


def _env(body: Json) -> dict[str, str]:
    return {str(name): str(value) for name, value in (body.get("env") or {}).items()}


def _stock(level: object) -> Stock:
    word = str(level).lower()
    return word if word in get_args(Stock) else "none"  # type: ignore[return-value]


def _by_number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
